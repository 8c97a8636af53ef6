"""What an export says of itself: metadata of this very model, its model card, the list of its files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.serve.trained import Trained

LARGE = 25 << 20  # bytes; larger files are listed apart, as the model zoo wants it
SUMS = "SHA256SUMS"
_SAYS = ("License", "References")
_COMMANDS = """## MONAI Bundle Commands

In this folder. PREPARED holds arrays of own exams, which `prepare.json` makes of a datalist (`python -m data_lists`).

#### Execute preparation

```sh
python -m monai.bundle run --config_file configs/prepare.json --bundle_root . --datalist LIST.json --output_dir PREPARED
```

#### Execute training

```sh
python -m monai.bundle run --config_file configs/train.json --bundle_root . --dataset_dir PREPARED --fold 0 \\
    --output_dir eval/train --ckpt_dir eval/train
```

#### Execute inference

```sh
python -m monai.bundle run --config_file configs/inference.json --bundle_root . --dataset_dir EXAM --output_dir OUT
```

Stages before this one, baselines and the study of all folds are run from the project's repository.
"""


_OWN = re.compile(r"(?:^|(?<=\n))(?:## )?MONAI Bundle Commands\n.*?(?=\n##? |\Z)", re.DOTALL)


def metadata(content: Mapping[str, Any], inference: Mapping[str, Any], shape: list[int], trained: Trained,
             wheel: str) -> dict[str, Any]:
    """A bundle's `metadata.json` with the shape, the channels and the figures of the model.

    Args:
        content: the bundle's own.
        inference: the exported `inference.json`.
        shape: of the network's input, without batch and channels.
        trained: the model.
        wheel: file name of the library's wheel.
    """
    image = dict(content["network_data_format"]["inputs"]["image"])
    image["spatial_shape"] = shape
    if isinstance(channels := inference.get("channels"), list):
        image |= {"num_channels": len(channels), "channel_def": {str(i): name for i, name in enumerate(channels)}}
    formats = {**content["network_data_format"], "inputs": {"image": image}}
    install = f"Install its library first: pip install wheels/{wheel}"
    return {**content, "description": f"{content['description']}. {install}", "network_data_format": formats,
            "eval_metrics": trained.metrics}


def readme(text: str, name: str, trained: Trained, wheel: str) -> str:
    """The model card: the bundle's own, with what is to be installed and what this model is put behind its first
    section, and the commands that run here instead of the repository's; headings that the bundle lacks are added.
    """
    text = re.sub(r" The bundle comes without trained weights[^.]*\.", "", text)
    first, mark, rest = text.partition("\n## ")
    lines = [first.rstrip(), "", "## Install", "", "The configs use the project's own library, which is on no package "
             "index and comes along:", "", "```sh", f"pip install wheels/{wheel}", "```", "", "## This model", "",
             *_about(trained), "", "```sh", f"python -m pipeline predict {name} EXAM -o OUT", "```", ""]
    text = "\n".join(lines) + mark + _OWN.sub(lambda _: _COMMANDS, rest)
    for heading in _SAYS:
        if not any(line.lstrip("#").strip() == heading for line in text.splitlines() if line.startswith("#")):
            text = text.rstrip() + f"\n\n# {heading}\n\n" + (
                "Apache License 2.0, see [LICENSE](../LICENSE).\n" if heading == "License" else
                "See `references` in [metadata.json](../configs/metadata.json).\n")
    return text


def _about(trained: Trained) -> list[str]:
    about = trained.about
    if not about:
        return ["Weights that were named by hand; nothing is known of their training."]
    data = about["dataset"]
    fold = "the final fold, all exams but those held out" if about["final"] else f"fold {about['fold']}"
    kind = " synthetic" if data.get("synthetic") else ""
    lines = [f"- Variant: {about['label']} (`{about['variant']}`), {fold}, preset `{about['preset']}`",
             f"- Data: {data['name']}, {data['exams']}{kind} exams of {data['patients']} patients",
             f"- Decision: positive from a probability of {trained.threshold}, {about['rule']}" if trained.threshold
             is not None else f"- Decision: {about['rule']}", ""]
    if not trained.metrics:
        return [*lines, "The study had no report when this was written: no figures."]
    what = "on the held-out exams" if about["final"] else "means over the study's folds, on exams not trained on"
    table = [f"| {name} | {value:.3f} |" for name, value in trained.metrics.items()]
    return [*lines, f"Figures of the variant, {what}, a row {'an' if str(about['unit'])[:1] in 'aeiou' else 'a'} "
            f"{about['unit']} ([metrics.json](metrics.json) has their intervals):", "", "| | |", "|---|---|", *table]


def sums(folder: Path) -> str:
    """SHA-256 of every file, as `sha256sum -c` takes it."""
    return "".join(f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder))


def large_files(folder: Path, base: str = "") -> str | None:
    """The model zoo's `large_files.yml`; None where no file is that large.

    Args:
        folder: of the export.
        base: address under which the publisher puts these files, as they lie in the folder; empty: not known yet.
    """
    large = [path for path in _files(folder) if path.stat().st_size > LARGE]
    entries = [f'  - path: "{path.relative_to(folder).as_posix()}"\n    url: "{_url(base, path, folder)}"\n'
               f'    hash_val: "{_digest(path)}"\n'
               '    hash_type: "sha256"\n' for path in large]
    return "large_files:\n" + "".join(entries) if entries else None


def _url(base: str, path: Path, folder: Path) -> str:
    return f"{base.rstrip('/')}/{path.relative_to(folder).as_posix()}" if base else ""


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
