"""`python -m data_lists CONVERTER`: write a dataset's datalist, one converter a dataset.

A converter is a module with `add_arguments(parser)` and `convert(args) -> Datalist`. What all of them share
is done here: folds for the exams that came without, writing the list, and the table of what is in it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections import Counter
from pathlib import Path

from pipeline.datalist import SPLITS, Datalist, InputError, check_names, run_main, save
from pipeline.folds import assign_folds, assign_validation, hold_out

# converter -> (module, what it reads). A module is imported only when its converter is called.
CONVERTERS = {
    "csv": ("data_lists.from_csv", "your own exams, from a spreadsheet saved as CSV"),
    "csaw-cc": ("data_lists.csaw_cc", "CSAW-CC, screening mammograms of Karolinska"),
    "tdsc-abus": ("data_lists.tdsc_abus", "the TDSC-ABUS 2023 challenge: automated breast ultrasound"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one converter; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="python -m data_lists",
        description="Write the datalist of a dataset.",
        epilog="`python -m data_lists CONVERTER --help` explains one. "
        "What was written is checked by `python -m pipeline verify LIST`.",
    )
    converters = parser.add_subparsers(dest="converter", metavar="CONVERTER", required=True)
    for name, (module, text) in CONVERTERS.items():
        sub = converters.add_parser(name, help=text, description=f"Convert {text}.",
                                    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        if argv[:1] == [name]:
            importlib.import_module(module).add_arguments(sub)
            _add_shared_arguments(sub)
    args = parser.parse_args(argv)
    return run_main(lambda: write(args))


def _add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", required=True, metavar="LIST.json", help="the datalist to write")
    parser.add_argument("--name", help="name of the dataset (default: the output's name)",
                        default=argparse.SUPPRESS)
    parser.add_argument("--folds", type=int, default=5, help="number of folds, where the data bring none")
    parser.add_argument("--held-out", type=float, metavar="SHARE", default=argparse.SUPPRESS,
                        help="share of the patients to set aside for a last test of a network trained on all others")
    parser.add_argument("--seed", type=int, default=0, help="seed of the folds")


def write(args: argparse.Namespace) -> int:
    """Convert, give folds, write the list in one go, and print what is in it."""
    output = Path(args.output)
    if output.suffix != ".json":  # a slip such as `-o exams.csv` must not replace the spreadsheet
        raise InputError(f"-o {output.name}: the datalist's name must end in .json")
    if not 0 <= args.seed < 2**32:
        raise InputError(f"--seed {args.seed}: give a whole number from 0 to {2**32 - 1}")
    args.name = getattr(args, "name", None) or output.stem
    datalist = importlib.import_module(CONVERTERS[args.converter][0]).convert(args)
    if not datalist.exams:
        raise InputError("no exam was found; check what the converter was given")
    check_names(datalist.exams)
    given = {exam.fold for exam in datalist.exams}
    share = getattr(args, "held_out", None)
    if share is not None and (given != {None} or datalist.folds):
        raise InputError("--held-out: the data bring folds of their own; leave one of the two out")
    if share is not None:
        datalist.folds = hold_out(datalist.exams, share, args.folds, args.seed)
    elif given == {None}:
        datalist.folds = assign_folds(datalist.exams, args.folds, args.seed)
    elif not datalist.folds:
        datalist.folds = assign_validation(datalist.exams, len(given), args.seed)
    try:
        save(datalist, output)
    except OSError as error:
        raise InputError(f"-o {output.name}: cannot be written ({error.strerror}); choose another") from None
    print(summary(datalist))
    print(f"\nwrote {args.output}; check its images with `python -m pipeline verify {args.output}`")
    return 0


def summary(datalist: Datalist) -> str:
    """A table of a datalist: exams, patients, labels, and the size of each fold's parts. Names no patient."""
    exams = datalist.exams
    breasts = Counter(_label(breast) for exam in exams for breast in exam.breasts.values())
    lesions = [lesion for exam in exams for lesion in exam.lesions]
    malignant = sum(lesion.malignant == 1 for lesion in lesions)
    images = Counter(image for exam in exams for image in exam.images)
    kinds = ", ".join(f"{breasts[kind]} {kind}" for kind in ("malignant", "benign", "none", "unknown"))
    lines = [
        f"{datalist.name} ({datalist.modality})",
        f"  exams     {len(exams)} of {len({exam.patient_id for exam in exams})} patients",
        f"  images    {', '.join(f'{image} {count}' for image, count in images.items())}",
        f"  breasts   {breasts.total()}: {kinds}",
        f"  lesions   {len(lesions)}: {malignant} malignant",
        "",
        f"  {'fold':<6}" + "".join(f"{split:>12}" for split in SPLITS) + f"{'malignant in test':>20}",
    ]
    for fold in range(datalist.folds["count"]):
        sizes = Counter(exam.split(fold) for exam in exams)
        worst = sum(exam.fold == fold and exam.worst_label() == 2 for exam in exams)
        lines.append(f"  {fold:<6}" + "".join(f"{sizes[split]:>12}" for split in SPLITS) + f"{worst:>20}")
    return "\n".join(lines)


def _label(breast: dict[str, int | None]) -> str:
    if breast.get("malignant") is None:
        return "unknown"
    return "malignant" if breast["malignant"] else "benign" if breast.get("benign") else "none"


if __name__ == "__main__":
    sys.exit(main())
