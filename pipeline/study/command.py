"""`python -m pipeline study`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from pipeline import datalist
from pipeline.errors import InputError
from pipeline.files.atomic import write_json
from pipeline.files.receipts import digest_of
from pipeline.study import apply
from pipeline.study.engines.local import Runner, cores
from pipeline.study.plan import Study, predictions_of, read_study
from pipeline.study.record import adopt, check_place, listed_inputs, prepared_inputs, write_study
from pipeline.study.shell import line
from pipeline.study.step import Step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the bundle's folder, e.g. bundles/breast_mri_curriculum; with "
                        "--apply, RUN")
    parser.add_argument("--datalist", type=Path, help="JSON written by `python -m data_lists`")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder of the study")
    parser.add_argument("--apply", type=Path, metavar="LIST", help="external validation: score the exams of "
                        "this datalist, another cohort's, by all that the study RUN trained, for its report")
    parser.add_argument("--preset", default="paper", help="paper: full size; demo: small sizes for minutes on a CPU")
    parser.add_argument("--folds", default="all", help="how many folds, or which: 2, or 0,3")
    parser.add_argument("--variants", "--subsets", default="all", metavar="A,B", help="which variants of study.yaml, "
                        "separated by commas; of a study of contrast subsets e.g. pre+post3+sub,pre+post2+t2")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="given", help="a setting for "
                        "the variants of study.yaml that need or take it; a variant that needs one which is not given "
                        "is left out, e.g. mammography's comparator: four_view=FILE, patch_classifier=FILE")
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one a GPU, or one a core)")
    parser.add_argument("--overlay", type=Path, action="append", default=[], help="config to put last, e.g. "
                        "bundles/common/smoke.yaml; may be repeated")
    parser.add_argument("--shard", default="0/1", metavar="I/N", help="do every N-th run only, for job arrays")
    parser.add_argument("--prepare-only", action="store_true", help="stop after the preparation, as a job array wants "
                        "it: its tasks must not prepare at the same time")
    parser.add_argument("--check", action="store_true", help="read every file that finished steps left, name those "
                        "that are not whole any more, run nothing")
    parser.add_argument("--adopt", action="store_true", help="take steps as done that were finished before steps had "
                        "receipts: their files are believed as they are")
    parser.add_argument("--print", action="store_true", dest="only_print", help="print the commands, run nothing")


def main(args: argparse.Namespace) -> int:
    """Run the study, or apply one; returns 0 when all of it is done."""
    if args.apply is not None:
        if args.datalist is not None or args.out is not None:
            raise InputError("--apply takes the study as it is: give its folder and --apply LIST, without --datalist "
                             "and --out")
        return apply.main(args.bundle, args.apply, args.jobs)
    for name in ("datalist", "out"):
        if getattr(args, name) is None:
            raise InputError(f"--{name} is missing; give --datalist LIST and --out RUN")
    study, source = read_study(args)
    index, count = _shard(args.shard)
    last = source.folds.get("held_out")  # trains and tests the most: it begins first, so that no core waits for it
    order = sorted(study.folds, key=lambda fold: fold != last)
    chains = [study.chain(v, f) for f in order for v in study.variants][index::count]
    combined = [(name, fold) for fold in order for name in study.combined]
    prepare = study.prepare_step(args.datalist)
    steps = [prepare, *(step for chain in chains for step in chain),
             *(study.combine_step(*which) for which in combined[index::count])]
    if args.only_print:
        for step in steps:
            print(line(step.command))
        return 0
    if args.check:
        return _check(steps)
    check_place(study, source)
    _check_members(study, combined)
    runner = Runner(args.jobs)
    with runner.stopping_children():
        return _run(args, study, source, runner, prepare, chains, combined, alone=count == 1)


def _run(args: argparse.Namespace, study: Study, source: datalist.Datalist, runner: Runner, prepare: Step,
         chains: list[list[Step]], combined: list[tuple[str, int]], alone: bool) -> int:
    listed = listed_inputs(args.datalist, source)
    if alone:
        _verify(args.datalist, listed, study, runner)
    runner.total = 1 + sum(map(len, chains)) + len(combined)
    runner.run_chain([prepare], cores(), listed)
    inputs = prepared_inputs(study.out / "prepared")
    for chain in chains:
        adopt(chain, inputs, args.adopt)
    write_study(study, source)
    if args.prepare_only:
        return 0
    failure = None
    try:
        runner.run_all(chains, inputs)
    except InputError as error:  # a failed chain keeps nobody from combining others
        failure = error
    for name, fold in combined:
        if (failure or not alone) and not _members_are_done(study, name, fold):
            print(f"{name} fold {fold}: waits for predictions that it takes; the command that makes the last one "
                  "combines them", flush=True)
            runner.total -= 1
            continue
        runner.run_chain([study.combine_step(name, fold)], cores(), digest_of([inputs, study.taken(name, fold)]))
    write_study(study, source)
    if failure:
        raise failure
    print(f"study: {runner.total} steps done; next: python -m pipeline report {study.out}")
    return 0


def _check_members(study: Study, combined: list[tuple[str, int]]) -> None:
    """Predictions that a combined variant takes are made by this command, or there already: ask before it trains."""
    for name, fold in combined:
        for member in study.plan["combined"][name]["of"]:
            if member not in study.variants:
                predictions_of(study.out, member, fold, name)


def _members_are_done(study: Study, name: str, fold: int) -> bool:
    return all(study.chain(member, fold)[-1].receipt() is not None for member in study.plan["combined"][name]["of"])


def _check(steps: list[Step]) -> int:
    """Hash all that finished steps left; returns 1 where something is not whole."""
    start, size, bad = time.monotonic(), 0, 0
    for step in steps:
        size += step.size()
        for name in step.damaged():
            bad += 1
            print(f"{step.name}: {name} is missing, or not what the step left")
    seconds = time.monotonic() - start
    done = sum(step.receipt() is not None for step in steps)
    print(f"{done} of {len(steps)} steps are done; {size / 1e9:.2f} GB read in {seconds:.1f} s "
          f"({size / 1e9 / max(seconds, 1e-9):.1f} GB/s), {bad} files are not whole"
          + ("; without --check the same command makes them again" if bad else ""))
    return 1 if bad else 0


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise InputError(f"--shard {text}: give I/N with I from 0 to N-1")
    return int(index), int(count)


def _verify(path: Path, listed: str, study: Study, runner: Runner) -> None:
    """Read every file once per state of the list; a study does not begin on exams with errors."""
    report, note = study.out / "verify.json", study.out / "verified.json"
    state = {"inputs": listed}
    try:
        if json.loads(note.read_text(encoding="utf-8")) == state:
            return
    except (OSError, ValueError):
        pass
    command = [sys.executable, "-m", "pipeline", "verify", str(path), "--json", str(report)]
    print("$ " + line(command), flush=True)
    if runner.call(command):
        raise InputError(f"{path.name} has errors (above, and in {report}); mend or leave out those exams, then run "
                         "the same command again")
    write_json(note, state)
