"""`python -m pipeline study`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import InputError
from pipeline.processes import every_nth
from pipeline.study import apply
from pipeline.study.engines.dask import Dask
from pipeline.study.engines.engine import ENGINES, Engine, Needs, Part, command_of
from pipeline.study.engines.local import Local, Runner
from pipeline.study.engines.slurm import Slurm, requeue
from pipeline.study.here import Here
from pipeline.study.offers import OFFERS, missing
from pipeline.study.plan import Study, read_study
from pipeline.study.record import check_place, listed_inputs
from pipeline.study.shell import line
from pipeline.study.stage import part_of
from pipeline.study.status import DONE, all_states, show
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
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one a GPU, or one a core, or "
                        "for as many as --processes)")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="that share each training, one a GPU: a "
                        "step's batch is divided between them and stays the same (default: 1)")
    parser.add_argument("--overlay", type=Path, action="append", default=[], help="config to put last, e.g. "
                        "bundles/common/smoke.yaml; may be repeated")
    parser.add_argument("--retry", type=int, default=0, metavar="N", help="try a step that fails N times more, from "
                        "its last epoch")
    parser.add_argument("--status", action="store_true", help="say what is done, running (where, and at which epoch), "
                        "failed and to do, from the files alone; run nothing")
    parser.add_argument("--check", action="store_true", help="read every file that finished steps left, name those "
                        "that are not whole any more, run nothing")
    parser.add_argument("--adopt", action="store_true", help="take steps as done that were finished before steps had "
                        "receipts: their files are believed as they are")
    parser.add_argument("--print", action="store_true", dest="only_print", help="print the commands, run nothing")
    cluster = parser.add_argument_group("on a cluster")
    cluster.add_argument("--engine", choices=ENGINES, default="local", help="local: this machine; dask: the workers of "
                         "--scheduler; slurm: submit job arrays and leave")
    cluster.add_argument("--scheduler", metavar="ADDRESS", help="of a dask cluster, e.g. tcp://head:8786")
    cluster.add_argument("--slurm", action="append", default=[], metavar="OPTIONS", help="options for every sbatch, "
                         "e.g. '-p gpu -t 12:00:00'; may be repeated")
    cluster.add_argument("--prepare-tasks", type=int, default=1, metavar="K", help="for slurm: an array of so many "
                         "tasks prepares the exams, every K-th each (default: 1)")
    cluster.add_argument("--cores", type=int, help="threads of a run (default: this machine's, shared by --jobs; "
                         "slurm: 8)")
    cluster.add_argument("--memory", type=int, metavar="GB", help="of a run, for slurm (default: 32)")
    cluster.add_argument("--gpus", type=int, metavar="N", help="of a run (default: one a process; dask: where workers "
                         "offer the resource GPU)")
    cluster.add_argument("--shard", default="0/1", metavar="I/N", help="do every N-th run only, for job arrays; "
                         "with --prepare-only prepare every N-th exam only")
    cluster.add_argument("--prepare-only", action="store_true", help="stop after the preparation")
    cluster.add_argument("--combine-only", action="store_true", help="only make what is combined of runs that are done")


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
    _check_options(args)
    study, source = read_study(args)
    own = every_nth("shard", args.shard)
    index, count = own.start, own.step
    last = source.folds.get("held_out")  # trains and tests the most: it begins first, so that no core waits for it
    order = sorted(study.folds, key=lambda fold: fold != last)
    chains = [study.chain(v, f) for f in order for v in study.variants]
    combined = [(name, fold) for fold in order for name in study.combined]
    prepare = study.prepare_step(args.datalist, args.scheduler)
    if args.status:
        return show([state for states in all_states(study, prepare, chains, combined) for state in states])
    if args.check:
        return _check([prepare, *(step for chain in chains[own] for step in chain),
                       *(study.combine_step(*which) for which in combined[own])])
    parts = _parts(args, study, len(source.exams), prepare, chains[own], combined[own])
    runner = Runner(args.jobs, args.cores, args.retry, args.processes)
    part = part_of(prepare, index, count) if args.prepare_only and count > 1 else None
    here = Here(study, source, args.datalist, prepare, chains[own], combined, count == 1, args.adopt, args.scheduler,
                part)
    engine = _engine(args, runner, here)
    if args.only_print:
        print("\n".join([line(part.command)] if part else engine.lines(parts)))
        return 0
    if part is None and count > 1 and index >= len(chains):
        print(f"--shard {args.shard}: nothing to do; runs of the study: {len(chains)}")
        return 0
    for name, entry in study.plan["variants"].items():
        if name not in study.variants and (absent := missing(entry, study.offered)):
            print(f"{name} is left out: no exam has {OFFERS[absent[0]]}", flush=True)
    check_place(study, source, args.datalist)
    if args.engine != "local":
        parts = _with_todo(parts, study, listed_inputs(args.datalist, source), prepare, chains, combined)
    with runner.stopping_children():
        try:
            return engine.run(parts)
        except KeyboardInterrupt:
            if runner.time_is_over:
                requeue()
            raise


def _engine(args: argparse.Namespace, runner: Runner, here: Here) -> Engine:
    only = "prepare" if args.prepare_only else "combine" if args.combine_only else None
    if args.engine == "dask" and only is None:
        return Dask(args.scheduler, runner, [args.datalist, here.source.root, args.bundle], args.out)
    if args.engine == "slurm" and only is None:
        return Slurm(args.slurm, args.out)
    return Local(lambda: here.run(runner, only))


def _parts(args: argparse.Namespace, study: Study, exams: int, prepare: Step, chains: Sequence[list[Step]],
           combined: Sequence[tuple[str, int]]) -> list[Part]:
    """The parts of the study, each with the command that does a chain of it."""
    needs = Needs(args.cores, args.memory, args.gpus, args.processes)
    spread = ["--engine", "dask", "--scheduler", args.scheduler] if args.scheduler else []
    made = [[study.combine_step(*which)] for which in combined]
    tasks = min(args.prepare_tasks, exams)
    shared = [[part_of(prepare, i, tasks)] for i in range(tasks)] if tasks > 1 else []
    return [
        *([Part("exams", shared, range(tasks), lambda i: command_of(args, "--prepare-only", "--shard", f"{i}/{tasks}"),
                Needs(args.cores, args.memory, 0))] if shared else []),
        Part("prepare", [[prepare]], [0], lambda i: command_of(args, "--prepare-only", *spread),
             Needs(args.cores, args.memory, 0)),
        Part("chains", chains, range(len(chains)),
             lambda i: command_of(args, "--jobs", "1", "--shard", f"{i}/{len(chains)}"), needs),
        Part("combine", made, range(len(made)), lambda i: command_of(args, "--combine-only"), Needs(1, 8, 0)),
    ]


def _with_todo(parts: Sequence[Part], study: Study, listed: str, prepare: Step, chains: Sequence[list[Step]],
               combined: Sequence[tuple[str, int]]) -> list[Part]:
    """The parts without what is done: nobody is sent for these."""
    if not prepare.is_done(listed):
        return list(parts)
    states = all_states(study, prepare, chains, combined)[1:]
    open_ones = [i for i, chain in enumerate(states[:len(chains)]) if any(state.kind != DONE for state in chain)]
    first, middle, end = parts[-3:]
    return [first, Part(middle.name, middle.chains, open_ones, middle.command, middle.needs), end]


def _check_options(args: argparse.Namespace) -> None:
    for name, least in (("jobs", 1), ("processes", 1), ("cores", 1), ("memory", 1), ("gpus", 0), ("retry", 0),
                        ("prepare_tasks", 1)):
        if (value := getattr(args, name)) is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')} {value}: give {least} or more")
    if args.engine == "dask" and not args.scheduler:
        raise InputError("--engine dask: name the cluster with --scheduler ADDRESS, e.g. tcp://head:8786; `dask "
                         "scheduler` begins one")
    if args.gpus and args.gpus < args.processes:
        raise InputError(f"--gpus {args.gpus}: --processes {args.processes} take a GPU each; give as many, or leave "
                         "--gpus out")
    if args.status or args.check:  # of the same command with its engine's options
        return
    if args.scheduler and args.engine != "dask":
        raise InputError(f"--scheduler {args.scheduler}: is for --engine dask")
    if args.prepare_tasks > 1 and args.engine != "slurm":
        raise InputError(f"--prepare-tasks {args.prepare_tasks}: is for --engine slurm; elsewhere all cores, or dask's "
                         "workers, prepare")
    if args.slurm and args.engine != "slurm":
        raise InputError(f"--slurm {args.slurm[0]}: is for --engine slurm")
    if args.engine != "local" and args.shard != "0/1":
        raise InputError(f"--shard {args.shard}: --engine {args.engine} shares the runs out itself; leave it out")


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
