"""MONAI Label's stock `monaibundle` app with exports as its models: how it is laid out, and what starts it.

`python -m pipeline.serve.label_app EXPORTED… --studies DIR` becomes the server, in an environment that holds MONAI
Label: what the container `label` runs. `pipeline.serve.label` starts one of another environment and asks it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import InputError, run_main

_APP = "monailabel/sample-apps/monaibundle"  # under the environment's prefix
_STAND_INS = Path(__file__).resolve().parents[2] / "docker" / "label"
# Nothing is downloaded at the start.
_SETTINGS = {"zoo_source": "local", "sam2": "false"}
_EXTENSIONS = "MONAI_LABEL_DATASTORE_FILE_EXT"
_IMAGES = ["*.dcm", "*.nii.gz", "*.nii", "*.nrrd", "*.png"]


def exports(folders: Sequence[Path]) -> list[Path]:
    """Folders of exports among these, and right in them.

    Raises:
        InputError: there is none, or two have one name.
    """
    places = [each for folder in folders for each in (folder, *sorted(folder.glob("*")))]
    found = {each.resolve(): each for each in places if (each / "export.json").is_file()}
    if not found:
        raise InputError(f"{folders[0]}: holds no export; `python -m pipeline export` writes one")
    names = [each.name for each in found.values()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{twice[0]}: the name of two exports, which would be one model; rename one's folder")
    return list(found.values())


def trains_on_raw_exams(exported: Path) -> bool:
    """Whether an export's training takes what the server hands to one: raw exams with label files."""
    config = json.loads((exported / "configs" / "train.json").read_text(encoding="utf-8"))
    return str(config["train"]["dataset"]["_target_"]).endswith(".LabelledDataset")


def lay_out_app(prefix: Path, exported: Sequence[Path], place: Path, train: bool) -> None:
    """Write the app, which writes into its own folder, with the exports as its models.

    Args:
        prefix: of an environment as `docker/label-constraints.txt` describes.
        exported: folders of exports.
        place: new folder.
        train: copy the exports, because training replaces their weights, and offer those that train on raw exams;
            else they are linked, so that they may lie on a read-only volume.

    Raises:
        InputError: no such environment.
    """
    if not (prefix / _APP).is_dir():
        raise InputError(f"{prefix}: no environment with MONAI Label; see docs/how_to/serve_with_monai_label.md")
    shutil.copytree(prefix / _APP, place, ignore=shutil.ignore_patterns("model", "logs", "__pycache__"))
    (place / "model").mkdir()
    for each in exported:
        model = place / "model" / each.name
        if not train:
            model.symlink_to(each.resolve(), target_is_directory=True)
            continue
        shutil.copytree(each, model)
        if not trains_on_raw_exams(model):
            (model / "configs" / "train.json").unlink()  # what has one is offered for training


def start(app: Path, studies: Path, host: str, port: int, train: bool) -> tuple[list[str], dict[str, str]]:
    """Returns the words for the environment's interpreter that start an app, and the variables that it needs."""
    models = sorted(each.name for each in (app / "model").iterdir())
    words = ["-m", "monailabel.main", "start_server", "--app", str(app), "--studies", str(studies), "--host", host,
             "--port", str(port)]
    for name, value in {"models": ",".join(models), **_SETTINGS, "skip_trainers": str(not train).lower()}.items():
        words += ["--conf", name, value]
    return words, {"PYTHONPATH": str(_STAND_INS), _EXTENSIONS: os.environ.get(_EXTENSIONS, json.dumps(_IMAGES))}


def main(argv: Sequence[str] | None = None) -> int:
    """Serve exports with this environment's MONAI Label, without training."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.serve.label_app", description=main.__doc__)
    parser.add_argument("exported", type=Path, nargs="+", help="export of a bundle, or a folder that holds some")
    parser.add_argument("--studies", type=Path, required=True, help="folder of images; the server writes into it")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    args = parser.parse_args(argv)
    found = exports(args.exported)
    app = Path(tempfile.mkdtemp(prefix="breast-bundles-")) / "app"
    lay_out_app(Path(sys.prefix), found, app, train=False)
    words, variables = start(app, args.studies, args.host, args.port, train=False)
    os.execve(sys.executable, [sys.executable, *words], {**os.environ, **variables})


if __name__ == "__main__":
    sys.exit(run_main(main))
