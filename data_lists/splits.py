"""Official splits and folds of a dataset, as the list stores them; leaks are counted, and mended when asked."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.datalist import Exam
from pipeline.folds import assign_validation, set_aside, set_aside_exams


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The option of datasets that come with a split."""
    parser.add_argument("--clean", action="store_true", help="patients on both sides of the official split go to its "
                        "test part")


def official_test(exams: list[Exam], tested: Callable[[Exam], bool], args: argparse.Namespace
                  ) -> tuple[dict[str, Any], str]:
    """Hold out the official test part and cross-validate the rest, in place.

    Args:
        exams: all that will be in the list.
        tested: whether an exam is in the official test part.
        args: `official` (false: the split is ignored), `clean`, `folds`, `seed`, perhaps `validation`.

    Returns:
        the list's folds, empty where they are still to be made, and what was done, in words.
    """
    test = [exam for exam in exams if tested(exam)]
    if not args.official:
        return {}, "folds of our own, the official split is ignored"
    if not test or len(test) == len(exams):
        return {}, "folds of our own: only one part of the official split is there"
    patients = {exam.patient_id for exam in test}
    leaked = [exam for exam in exams if exam.patient_id in patients and not tested(exam)]
    both = len({exam.patient_id for exam in leaked})
    drawn = (args.folds, args.seed, getattr(args, "validation", None))
    if not both:
        return set_aside(exams, patients, *drawn), "official test part held out"
    if args.clean:
        _say(f"{both} patients were on both sides of the official split; their {len(leaked)} training exams are in the "
             "test part now")
        return set_aside(exams, patients, *drawn), (
            f"official test part held out, {len(leaked)} training exams of {both} of its patients with it")
    _say(f"warning: {both} patients are on both sides of the official split, with {len(leaked)} exams in its training "
         "part; training refuses the list. --clean moves these to the test part, --folds own ignores the split")
    return set_aside_exams(exams, test, *drawn), (
        f"official test part held out, {both} of its patients are in training as well")


def official_folds(exams: list[Exam], parts: Mapping[str, Mapping[int, str]], args: argparse.Namespace
                   ) -> tuple[dict[str, Any], str]:
    """Take over official folds, in place, where every exam is tested once; else say what is done instead.

    Args:
        exams: all that will be in the list.
        parts: exam's id to fold to `train`, `val` or `test`.
        args: as of `official_test`.

    Returns:
        as `official_test`.
    """
    if not args.official:
        return {}, "folds of our own, the official ones are ignored"
    folds = sorted({fold for own in parts.values() for fold in own})
    number = {fold: k for k, fold in enumerate(folds)}
    in_test = {exam.exam_id: [f for f in folds if parts.get(exam.exam_id, {}).get(f) == "test"] for exam in exams}
    if len(folds) > 1 and all(len(own) == 1 for own in in_test.values()):
        for exam in exams:
            exam.fold = number[in_test[exam.exam_id][0]]
            exam.validation_folds = [number[f] for f, part in parts[exam.exam_id].items() if part.startswith("val")]
        return {"count": len(folds), "seed": args.seed}, f"the {len(folds)} official folds"
    aside = [exam for exam in exams if in_test[exam.exam_id]]
    validated = {exam.exam_id: [f for f in folds if parts.get(exam.exam_id, {}).get(f, "").startswith("val")]
                 for exam in exams if not in_test[exam.exam_id]}
    always = all(len(in_test[exam.exam_id]) == len(folds) for exam in aside)
    if aside and always and len(folds) > 1 and all(len(own) == 1 for own in validated.values()):
        rest = [exam for exam in exams if not in_test[exam.exam_id]]
        for exam in rest:
            exam.fold = number[validated[exam.exam_id][0]]
        made = assign_validation(rest, len(folds), args.seed, getattr(args, "validation", None))
        for exam in aside:
            exam.fold, exam.held_out, exam.validation_folds = len(folds), True, []
        return {**made, "count": len(folds) + 1, "held_out": len(folds)}, (
            "the official test part is held out; each other exam is tested in the fold that it officially validates, "
            "and validation parts are drawn anew")
    if aside and len(aside) < len(exams):
        made, text = official_test(exams, lambda exam: bool(in_test[exam.exam_id]), args)
        return made, f"{text}; the official folds do not test every exam once, so that ours take their place"
    return {}, "folds of our own: the official ones do not test every exam once"


def _say(text: str) -> None:
    print(text, file=sys.stderr)
