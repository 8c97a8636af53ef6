"""Answer exams with an exported bundle: `python -m pipeline predict EXPORTED EXAM -o OUT`."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.files.archives import unpacked
from pipeline.files.receipts import digest
from pipeline.serve.card import SUMS
from pipeline.serve.export import MARK, loaded
from pipeline.training.settings import check_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("exported", type=Path, help="folder or zip that `python -m pipeline export` wrote; it is "
                        "code: use those that you trust")
    parser.add_argument("exam", type=Path, help="an exam as you have it: a folder of DICOM or of one file a contrast "
                        "or view, a zip of it, or one image; or a folder of exams")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where NAME_result.json, NAME_heatmap.nii.gz "
                        "and NAME_preview.png are put")
    parser.add_argument("--lesions", type=Path, help="where lesions are, for bundles that score marked ones: a table, "
                        "or a list of points of 3D Slicer (default: the one beside the exam)")
    parser.add_argument("--labels", action="store_true", help="write the map as levels from 0.50, 0.75 and 0.90")
    parser.add_argument("--dicom", action="store_true", help="write the answer as DICOM objects of the exam's study, "
                        "too: map, levels, report and picture; for exams that are DICOM")
    parser.add_argument("--device", help="cpu, cuda or cuda:1 (default: a GPU where there is one)")


def main(args: argparse.Namespace) -> int:
    """Write the answers; returns 0 where every exam has one."""
    from pipeline import answers  # with it MONAI, which is slow to import
    from pipeline.serve import dicom_answers

    check_device(args.device)
    with ExitStack() as stack:
        bundle, exam = (stack.enter_context(unpacked(path)) for path in (args.exported, args.exam))
        check_sums(bundle)
        settings: dict[str, Any] = {"dataset_dir": str(exam), "output_dir": str(args.output)}
        if args.lesions is not None:
            settings["lesions"] = str(args.lesions)
        if args.labels:
            settings["heatmap"] = "labels"
        if args.device is not None:
            settings["device"] = args.device
        evaluator = loaded(bundle, (), **settings).get_parsed_content("evaluator")
        after = None
        if args.dicom:
            dicom_answers.check(evaluator.data_loader.dataset.data)
            after = partial(dicom_answers.write, output_dir=args.output, model=dicom_answers.model_of(bundle))
        answers.run(evaluator, after)
    return 0


def check_sums(folder: Path) -> None:
    """Refuse what is no export, or was changed since it was one.

    Raises:
        InputError: either.
    """
    if not (folder / MARK).is_file() or not (folder / SUMS).is_file():
        raise InputError(f"{folder.name}: no exported bundle ({MARK}, {SUMS}); write one with `python -m pipeline "
                         "export`")
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        sha256, _, name = line.partition("  ")
        if not (folder / name).is_file() or digest(folder / name) != sha256:
            raise InputError(f"{folder.name}/{name}: is missing, or was changed since the export; copy it again",
                             code="changed")
