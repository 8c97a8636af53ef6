"""Write a trained bundle as one folder, or one zip: configs as JSON, weights, the library, licence and model card.

What comes out needs no overlay, no setting on the command line and nothing of this repository: `monai.bundle` loads its
JSON from any working directory, MONAI Label serves it, `predict` answers with it. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.errors import InputError, one_line
from pipeline.files.archives import zip_folder
from pipeline.files.atomic import write_bytes, write_text
from pipeline.networks.checkpoint import other_epochs
from pipeline.serve import card
from pipeline.serve.trained import Trained, merged, read_trained, receipt_of, weight_names
from pipeline.serve.wheel import wheel
from pipeline.study.plan import read_config
from pipeline.training.settings import check_settings

MARK = "export.json"  # in the folder: what we made, and may replace
MODEL = "model.pt"  # the network's; MONAI Label takes the shortest name
LABEL = "label_train.yaml"  # of a bundle that MONAI Label may train
_PATHS = "$@bundle_root + '/models/{}'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the bundle's folder, e.g. bundles/breast_mri_curriculum")
    parser.add_argument("--run", type=Path, help="folder of the study that trained it: weights, sizes and figures")
    parser.add_argument("--variant", help="which variant of the study (default: the one it is about)")
    parser.add_argument("--fold", type=int, help="which fold (default: the final one)")
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=FILE", help="instead of --run: "
                        "weights, as many as inference.yaml names, e.g. weights=model.pt; may be repeated")
    parser.add_argument("--overlay", type=Path, action="append", default=[], help="with --weights: config to merge "
                        "into inference, e.g. the sizes of the training; may be repeated")
    parser.add_argument("--url", default="", metavar="BASE", help="address under which you publish large files, for "
                        "large_files.yml: BASE/models/model.pt (default: left empty there)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where the folder BUNDLE is put, or a .zip")


def main(args: argparse.Namespace) -> int:
    """Write the folder; returns 0."""
    if args.url and not re.fullmatch(r"https?://[^\s\"\\\\]+", args.url):
        raise InputError(f"--url {args.url[:60]}: give an address that begins with https://")
    configs = args.bundle / "configs"
    if not (configs / "inference.yaml").is_file():
        raise InputError(f"{args.bundle}: not a bundle (no configs/inference.yaml); name its folder")
    for path in args.overlay:
        if not path.is_file():
            raise InputError(f"{path.name}: no such file; check its name")
    trained = _trained(args)
    with _placed(args.output, args.bundle.resolve().name) as work:
        _write(work, args.bundle, trained, args.url)
        _check(work)
    config = args.output if args.output.suffix == ".zip" else args.output / args.bundle.resolve().name
    print(f"exported: {config}; try it: python -m pipeline predict {config} EXAM -o OUT")
    return 0


def _trained(args: argparse.Namespace) -> Trained:
    if (args.run is None) == (not args.weights):
        raise InputError("give either --run, the folder of a study, or --weights NAME=FILE")
    if args.run is not None:
        if args.overlay:
            raise InputError("--overlay goes with --weights: --run says itself what it was trained with")
        return read_trained(args.bundle, args.run, args.variant, args.fold)
    configs = args.bundle / "configs"
    files = {name: [configs / f"{name}.yaml"] for name in ("inference", "train", "evaluate", "prepare")}
    files["inference"] += args.overlay
    names = weight_names(merged(files["inference"]))
    given = dict(word.partition("=")[::2] for word in args.weights)
    if wrong := [word for word in args.weights if "=" not in word] + sorted(set(given) - set(names)):
        raise InputError(f"--weights {wrong[0]}: give NAME=FILE with NAME one of {', '.join(names)}")
    if missing := [name for name in names if name not in given]:
        raise InputError(f"--weights {missing[0]}=FILE is missing; {args.bundle.name} names {', '.join(names)}")
    weights = {name: Path(given[name]) for name in names}
    if lost := [path for path in weights.values() if not path.is_file()]:
        raise InputError(f"{lost[0].name}: no such file; check its name")
    files["metadata"] = [configs / "metadata.json"]
    return Trained(weights, configs={name: (paths, {}) for name, paths in files.items()})


@contextmanager
def _placed(output: Path, name: str) -> Iterator[Path]:
    """A folder `name` to fill, which becomes `output/name`, or the zip `output`, where the block ends well.

    Raises:
        InputError: something else is there.
    """
    zipped = output.suffix == ".zip"
    target, parent = (output, output.parent) if zipped else (output / name, output)
    if target.exists() and not (zipped or (target / MARK).is_file()):
        raise InputError(f"{target}: is there, and no earlier export; choose another -o, or move it away")
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    around = Path(tempfile.mkdtemp(dir=parent, prefix=f".{name}."))
    work, aside = around / name, around / "before"
    try:
        work.mkdir(mode=0o755)
        yield work
        if zipped:
            zip_folder(work, around / "zip")
            (around / "zip").replace(target)
        else:
            if target.exists():
                target.rename(aside)
            work.rename(target)
    except BaseException:
        shutil.rmtree(around, ignore_errors=True)
        for folder in made:  # nothing came of it
            folder.rmdir()
        raise
    shutil.rmtree(around, ignore_errors=True)


def _write(work: Path, bundle: Path, trained: Trained, url: str) -> None:
    from monai.bundle import ConfigParser  # slow to import

    inference = merged(trained.configs["inference"][0])
    names = weight_names(inference)
    files = {key: MODEL if i == 0 else names[key] for i, key in enumerate(names)}
    (work / "models").mkdir()
    # As they answered together where the model was evaluated, unless it was asked to answer alone.
    several = "more_weights" in inference and trained.settings.get("more_weights") != []
    for key, path in trained.weights.items():
        for each in [path, *(other_epochs(path) if several else [])]:
            _copy_weights(each, work / "models" / each.name.replace(path.stem, Path(files[key]).stem, 1))
        inference[key] = _PATHS.format(files[key])
    _take(inference, trained.settings)
    if "more_weights" in inference and not several:
        inference["more_weights"] = []
    inference["threshold"] = trained.threshold
    check_settings(inference)
    _json(work / "configs" / "inference.json", inference)
    for name in ("train", "evaluate", "prepare"):
        paths, settings = trained.configs[name]
        label = bundle / "configs" / LABEL
        # Raw exams, too, at the sizes of the answers; not where another network answers than train.yaml's own.
        if name == "train" and label.is_file() and _network(inference) == _network(read_config(paths[0])):
            told, known = read_config(label), read_config(paths[0])
            settings = {**{key: inference[key] for key in told if key in inference},
                        **{key: value for key, value in settings.items() if key not in told.keys() & known.keys()}}
            paths = [*paths, label]
        content = merged(paths)
        if name == "evaluate":  # the weights that are here
            content |= {key: inference[key] for key in names if key in content}
            content |= {"more_weights": []} if inference.get("more_weights") == [] else {}
        _json(work / "configs" / f"{name}.json", _take(content, settings))
    shutil.copyfile(bundle / "configs" / "logging.conf", work / "configs" / "logging.conf")
    shutil.copyfile(bundle / "LICENSE", work / "LICENSE")
    shutil.copytree(bundle / "docs", work / "docs", copy_function=shutil.copyfile)
    if trained.report is not None:
        shutil.copyfile(trained.report, work / "docs" / "metrics.json")
    library, packed = wheel()
    write_bytes(work / "wheels" / library, packed)
    parser = ConfigParser({**inference})
    shape = [int(n) for n in parser.get_parsed_content("input_shape")]
    own = merged(trained.configs["metadata"][0])
    _json(work / "configs" / "metadata.json", card.metadata(own, inference, shape, trained, library))
    text = (work / "docs" / "README.md").read_text(encoding="utf-8")
    write_text(work / "docs" / "README.md", card.readme(text, bundle.resolve().name, trained, library))
    _json(work / MARK, {"bundle": bundle.resolve().name, "version": __version__, **trained.about})
    if (large := card.large_files(work, url)) is not None:
        write_text(work / "large_files.yml", large)
    write_text(work / card.SUMS, card.sums(work))


def _copy_weights(path: Path, target: Path) -> None:
    """A file of weights with its receipt, where it has one."""
    shutil.copyfile(path, target)
    if (receipt := receipt_of(path)) is not None:
        shutil.copyfile(receipt, target.with_name(receipt.name.replace(path.name, target.name)))


def _network(config: Mapping[str, Any]) -> Any:
    return config["network_def"]["_target_"]


def _take(config: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a config has, as they were; expressions stay."""
    for key, value in settings.items():
        if key in config and not isinstance(config[key], dict) and not str(config[key]).startswith(("$", "@")):
            config[key] = value
    return config


def _json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=4, allow_nan=False) + "\n")


def loaded(folder: Path, parts: Sequence[str], **settings: Any) -> Any:
    """The parser of an exported bundle's `inference.json`, its weights loaded.

    Args:
        folder: of the export.
        parts: of the config, to be made.
        settings: of the config, to be set.

    Raises:
        InputError: it cannot be loaded, with the first reason.
    """
    from monai.bundle import ConfigParser

    try:
        parser = ConfigParser()
        parser.read_config(str(folder / "configs" / "inference.json"))
        for key, value in {"bundle_root": str(folder), **settings}.items():
            parser[key] = value
        parser.parse()
        for part in ("load", *parts):
            parser.get_parsed_content(part)
        return parser
    except Exception as error:
        reason = one_line(error) or f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
        raise InputError(f"{folder.name}: cannot be loaded: {reason}") from None


def _check(work: Path) -> None:
    """An export that its own config cannot load is none."""
    loaded(work, ("preprocessing", "inferer", "postprocessing"), device="cpu")
