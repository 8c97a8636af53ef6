"""Write a trained bundle as one folder: configs merged and as JSON, weights, licence and model card.

What comes out needs no overlay and no setting on the command line: `monai.bundle.load` reads its JSON, MONAI Label
serves it from any working directory, and it can be zipped and sent.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.errors import InputError
from pipeline.files.atomic import write_json

MARK = "export.json"  # in the folder: what we made, and may replace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the bundle's folder, e.g. bundles/breast_mri_curriculum")
    parser.add_argument("--weights", type=Path, required=True, help="the trained model.pt")
    parser.add_argument("--overlay", type=Path, action="append", default=[],
                        help="config to merge into inference, e.g. the sizes of the training; may be repeated")
    parser.add_argument("--metrics", type=Path, help="metrics.json of the report, kept beside the weights")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where the folder BUNDLE is put")


def main(args: argparse.Namespace) -> int:
    """Write the folder; returns 0."""
    from monai.bundle import ConfigParser  # slow to import

    configs = args.bundle / "configs"
    if not (configs / "inference.yaml").is_file():
        raise InputError(f"{args.bundle}: not a bundle (no configs/inference.yaml); name its folder")
    for path in (*args.overlay, *([args.metrics] if args.metrics else [])):
        if not path.is_file():
            raise InputError(f"{path.name}: no such file; check its name")
    target = args.output / args.bundle.name
    if target.exists() and not (target / MARK).is_file():
        raise InputError(f"{target}: is there, and no earlier export; choose another -o, or move it away")
    inference = ConfigParser.load_config_files([str(p) for p in [configs / "inference.yaml", *args.overlay]])
    _check_weights(inference, args.weights)
    args.output.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=args.output, prefix=f".{args.bundle.name}."))
    try:
        write_json(work / "configs" / "inference.json", inference)
        for name in ("train", "prepare"):
            write_json(work / "configs" / f"{name}.json", ConfigParser.load_config_files(str(configs / f"{name}.yaml")))
        for name in ("metadata.json", "logging.conf"):
            shutil.copy(configs / name, work / "configs" / name)
        shutil.copytree(args.bundle / "docs", work / "docs")
        shutil.copy(args.bundle / "LICENSE", work / "LICENSE")
        (work / "models").mkdir()
        shutil.copy(args.weights, work / "models" / "model.pt")
        if args.metrics:
            shutil.copy(args.metrics, work / "docs" / "metrics.json")
        write_json(work / MARK, {"bundle": args.bundle.name, "version": __version__})
        work.chmod(0o755)
        aside = args.output / f".{args.bundle.name}.before"
        shutil.rmtree(aside, ignore_errors=True)  # of an export that was killed
        if target.exists():
            target.rename(aside)
        work.rename(target)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    config = target / "configs" / "inference.json"
    print(f"exported: {target}; try it: python -m monai.bundle run --config_file {config} --bundle_root {target} "
          "--dataset_dir EXAM --output_dir OUT")
    return 0


def _check_weights(config: dict[str, Any], weights: Path) -> None:
    """Weights that do not fit would be served without a word by hosts that load them loosely."""
    from monai.bundle import ConfigParser

    from pipeline.networks.checkpoint import load_weights

    network = ConfigParser(dict(config)).get_parsed_content("network_def")
    load_weights(network, weights)
