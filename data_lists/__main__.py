"""`python -m data_lists CONVERTER`: write a dataset's datalist, one converter a dataset; alone, it lists them.

A converter is a module with `add_arguments(parser)` and `convert(args) -> Datalist`; `datasets` says what each is.
What all of them share is done here: folds for the exams that came without, where the list comes from, writing it, and
the table of what is in it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from data_lists.datasets import DATASETS, table
from pipeline import __version__
from pipeline.datalist import SPLITS, Datalist, InputError, check_names, run_main, save
from pipeline.folds import assign_folds, assign_validation, hold_out
from pipeline.help_format import HelpFormatter

OWN = "own"  # --folds own: official folds are ignored
_OWN_FOLDS = 5
# Options that name files or say how a run is made, not what is in the list.
_UNTOLD = {"converter", "output", "name", "root", "table", "images", "exams", "lesions", "points", "map", "yes",
           "extract", "official", "folds", "seed", "validation", "drop_unlabelled"}


def main(argv: list[str] | None = None) -> int:
    """Run one converter; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        return run_main(lambda: print(table(), "`python -m data_lists CONVERTER --help` explains one; `check A.json "
                                      "B.json` compares lists.", sep="\n"))
    parser = argparse.ArgumentParser(
        prog="python -m data_lists",
        description="Write the datalist of a dataset.",
        epilog="`python -m data_lists CONVERTER --help` explains one. "
        "What was written is checked by `python -m pipeline verify LIST`.",
    )
    converters = parser.add_subparsers(dest="converter", metavar="CONVERTER", required=True)
    for name, dataset in DATASETS.items():
        sub = converters.add_parser(name, help=dataset.text, description=f"Convert {dataset.text}.",
                                    formatter_class=HelpFormatter)
        if argv[:1] == [name]:
            _module(name).add_arguments(sub)
            _add_shared_arguments(sub)
    check = converters.add_parser("check", help="patients and images that lists share")
    check.add_argument("lists", nargs="+", metavar="LIST.json")
    args = parser.parse_args(argv)
    if args.converter == "check":
        return run_main(lambda: importlib.import_module("data_lists.check").main(args.lists))
    return run_main(lambda: write(args))


def _module(converter: str) -> Any:
    return importlib.import_module(f"data_lists.{DATASETS[converter].module}")  # only when its converter is called


def _add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", required=True, metavar="LIST.json", help="the datalist to write")
    parser.add_argument("--name", help="name of the dataset (default: the output's name)",
                        default=argparse.SUPPRESS)
    parser.add_argument("--folds", type=_folds, default=_OWN_FOLDS, metavar="N", help="number of folds, where the data "
                        f"bring none; {OWN}: {_OWN_FOLDS} folds of our own, whatever the data bring")
    parser.add_argument("--held-out", type=float, metavar="SHARE", default=argparse.SUPPRESS,
                        help="share of the patients to set aside for a last test of a network trained on all others")
    parser.add_argument("--validation", type=float, metavar="SHARE", default=argparse.SUPPRESS,
                        help="share of all exams in the folds that validates in each, e.g. 0.2: five folds have three, "
                        "one and one fifth to train, validate and test (default: one of N parts of what is not tested)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the folds")
    parser.add_argument("--drop-unlabelled", action="store_true", help="leave out breasts whose label is not known")


def _folds(text: str) -> int | str:
    return text if text == OWN else int(text)


def write(args: argparse.Namespace) -> int:
    """Convert, give folds, write the list in one go, and print what is in it."""
    output = Path(args.output)
    if output.suffix != ".json":  # a slip such as `-o exams.csv` must not replace the spreadsheet
        raise InputError(f"-o {output.name}: the datalist's name must end in .json")
    if not 0 <= args.seed < 2**32:
        raise InputError(f"--seed {args.seed}: give a whole number from 0 to {2**32 - 1}")
    args.name = getattr(args, "name", None) or output.stem
    args.official = args.folds != OWN
    args.folds = args.folds if args.official else _OWN_FOLDS
    datalist = _module(args.converter).convert(args)
    if args.drop_unlabelled:
        _drop_unlabelled(datalist)
    if not datalist.exams:
        raise InputError("no exam was found; check what the converter was given")
    check_names(datalist.exams)
    given = {exam.fold for exam in datalist.exams}
    share = getattr(args, "held_out", None)
    if share is not None and (given != {None} or datalist.folds):
        raise InputError("--held-out: the data bring folds of their own; leave one of the two out")
    validation = getattr(args, "validation", None)
    if validation is not None and datalist.folds and "validation" not in datalist.folds:
        raise InputError("--validation: the data say themselves what validates; leave it out, or add --folds own")
    if share is not None:
        datalist.folds = hold_out(datalist.exams, share, args.folds, args.seed, validation)
    elif given == {None}:
        datalist.folds = assign_folds(datalist.exams, args.folds, args.seed, validation)
    elif not datalist.folds:
        datalist.folds = assign_validation(datalist.exams, len(given), args.seed, validation)
    _tell_source(datalist, args)
    save(datalist, output)
    print(summary(datalist))
    print(f"\nwrote {args.output}; check its images with `python -m pipeline verify {args.output}`")
    return 0


def _drop_unlabelled(datalist: Datalist) -> None:
    """Leave out breasts whose label is not known, with their views and lesions, and exams that have no other."""
    left_out = Counter[str]()
    for exam in datalist.exams:
        unknown = {side for side, breast in exam.breasts.items() if breast.get("malignant") is None}
        left_out["breasts whose label is not known"] += len(unknown)
        exam.breasts = {side: breast for side, breast in exam.breasts.items() if side not in unknown}
        exam.lesions = [lesion for lesion in exam.lesions if lesion.side not in unknown]
        exam.findings = [finding for finding in exam.findings if finding.view[0] not in unknown]
        if datalist.modality == "MG":
            exam.images = {view: path for view, path in exam.images.items() if view[0] not in unknown}
    datalist.exams = [exam for exam in datalist.exams if exam.breasts]
    datalist.source.setdefault("left_out", {}).update({what: count for what, count in left_out.items() if count})


def _tell_source(datalist: Datalist, args: argparse.Namespace) -> None:
    """Where the list comes from, for all that is made of it; and on standard error what was left out."""
    notes = datalist.source.get("notes", [])
    dataset, breasts = DATASETS[args.converter], Counter(
        _label(breast) for exam in datalist.exams for breast in exam.breasts.values())
    datalist.truth = datalist.truth or dataset.truth
    options = {name: value for name, value in sorted(vars(args).items())
               if name not in _UNTOLD and isinstance(value, (bool, int, float, str))}
    datalist.source = {
        "converter": args.converter, "version": __version__, "options": options,
        "label_rule": datalist.source.get("label_rule") or dataset.rule, "licence": dataset.licence,
        "counts": {"exams": len(datalist.exams), "patients": len({exam.patient_id for exam in datalist.exams}),
                   **{f"breasts: {kind}": count for kind, count in sorted(breasts.items())}},
        "left_out": datalist.source.get("left_out", {}),
        **({"split": datalist.source["split"]} if datalist.source.get("split") else {}),
    }
    for what, count in datalist.source["left_out"].items():
        print(f"left out: {count} {what}", file=sys.stderr)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def summary(datalist: Datalist) -> str:
    """A table of a datalist: exams, patients, labels, and the size of each fold's parts. Names no patient."""
    exams = datalist.exams
    breasts = Counter(_label(breast) for exam in exams for breast in exam.breasts.values())
    lesions = [lesion for exam in exams for lesion in exam.lesions]
    malignant = sum(lesion.malignant == 1 for lesion in lesions)
    unplaced = sum(lesion.point is None for lesion in lesions)
    findings = [finding for exam in exams for finding in exam.findings]
    images = Counter(image for exam in exams for image in exam.images)
    kinds = ", ".join(f"{breasts[kind]} {kind}" for kind in ("malignant", "benign", "none", "unknown"))
    lines = [
        f"{datalist.name} ({datalist.modality})",
        f"  exams     {len(exams)} of {len({exam.patient_id for exam in exams})} patients",
        f"  images    {', '.join(f'{image} {count}' for image, count in images.items())}",
        f"  breasts   {breasts.total()}: {kinds}",
        f"  lesions   {len(lesions)}: {malignant} malignant",
        *([f"  places    {unplaced} lesions without a point"] if unplaced else []),
        *([f"  findings  {len(findings)}: {sum(f.malignant == 1 for f in findings)} malignant"] if findings else []),
        *([f"  labels    by {datalist.truth}"] if datalist.truth else []),
        *([f"  split     {datalist.source['split']}"] if datalist.source.get("split") else []),
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
