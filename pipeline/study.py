"""Run a paper's table: prepare once, then train and evaluate every variant in every fold.

A bundle's `configs/study.yaml` names the variants and their stages; each stage is one `python -m monai.bundle run`
command, printed before it starts and the same as one would type. Finished stages are skipped, interrupted ones go on
from their last epoch, so the same command is repeated until the table is full.

```
RUN/study.json                          what was asked for, and what is done
RUN/verify.json  RUN/prepared/          the datalist's check, and the arrays
RUN/VARIANT/foldK/STAGE/                config.yaml, log.txt, TensorBoard, weights
RUN/VARIANT/foldK/predictions.csv       what the report reads
```
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline import datalist
from pipeline.datalist import write_json
from pipeline.errors import InputError

SCHEMA = "breast-bundles/study/1"
DONE = "done.json"
INPUTS = ".inputs"  # digest of what a step was started with
RESUME = "resume.pt"  # of `pipeline.handlers.RunState`
_INTERNAL = ("stages", "evaluate", "needs", "takes")  # of a variant, of no concern to the report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the bundle's folder, e.g. bundles/breast_mri_curriculum")
    parser.add_argument("--datalist", type=Path, required=True, help="JSON written by `python -m data_lists`")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the study")
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
    parser.add_argument("--print", action="store_true", dest="only_print", help="print the commands, run nothing")


@dataclass
class Step:
    """One command of the study."""

    name: str
    folder: Path
    command: list[str]

    def state(self, inputs: str) -> str:
        """`done`, or `open`: a step is done when the same command has ended well with the same inputs."""
        try:
            done = json.loads((self.folder / DONE).read_text())
            return "done" if (done["command"], done["inputs"]) == (self.command, inputs) else "open"
        except (OSError, ValueError, KeyError):
            return "open"

    def start(self, inputs: str, afresh: bool) -> None:
        """Make the folder; what an earlier run left to go on from stays only where its inputs were the same."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / DONE).unlink(missing_ok=True)
        note = self.folder / INPUTS
        if afresh or not note.is_file() or note.read_text() != inputs:
            (self.folder / RESUME).unlink(missing_ok=True)
            note.write_text(inputs)


@dataclass
class Study:
    """What `study.yaml`, the datalist and the command line come to."""

    bundle: Path
    plan: dict[str, Any]
    out: Path
    preset: str
    folds: list[int]
    variants: list[str]
    overlays: list[Path] = field(default_factory=list)
    given: dict[str, str] = field(default_factory=dict)

    def command(self, entry: dict[str, Any], **settings: Any) -> list[str]:
        """The `monai.bundle run` line of one stage."""
        files = [str(self.bundle / "configs" / name) for name in entry["configs"]]
        if self.preset in entry:
            files.append(str(self.bundle / "configs" / entry[self.preset]))
        files += [str(path) for path in self.overlays if entry is not self.plan["prepare"]]
        command = [sys.executable, "-m", "monai.bundle", "run", "--bundle_root", str(self.bundle), "--config_file",
                   repr(files) if len(files) > 1 else files[0]]
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        return command

    def prepare_step(self, source: Path) -> Step:
        folder = self.out / "prepared"
        return Step("prepare", folder, self.command(self.plan["prepare"], datalist=source, output_dir=folder))

    def chain(self, variant: str, fold: int) -> list[Step]:
        """The steps of one variant in one fold, in order."""
        run = self.out / variant / f"fold{fold}"
        entry = self.plan["variants"][variant]
        taken = {name: self.given[name] for name in settings_of(entry) if name in self.given}
        shared = {"dataset_dir": self.out / "prepared", "fold": fold, **taken}
        steps = []
        for stage in entry["stages"]:
            folder = run / stage["name"]
            own = {k: str(v).format(run=run, study=self.out) for k, v in stage.get("settings", {}).items()}
            steps.append(Step(f"{variant} fold {fold} {stage['name']}", folder,
                              self.command(stage, **shared, output_dir=folder, ckpt_dir=folder, **own)))
        own = {k: str(v).format(run=run, study=self.out) for k, v in entry["evaluate"].get("settings", {}).items()}
        steps.append(Step(f"{variant} fold {fold} evaluate", run,
                          self.command(entry["evaluate"], **shared, output_dir=run, **own)))
        return steps


def settings_of(entry: dict[str, Any]) -> list[str]:
    """Names of `--set` that concern a variant: what it `needs`, and what it `takes` where it is given."""
    return [*entry.get("needs", []), *entry.get("takes", [])]


def main(args: argparse.Namespace) -> int:
    """Run the study; returns 0 when all of it is done."""
    study, source = _read(args)
    index, count = _shard(args.shard)
    last = source.folds.get("held_out")  # trains and tests the most: it begins first, so that no core waits for it
    order = sorted(study.folds, key=lambda fold: fold != last)
    chains = [study.chain(v, f) for f in order for v in study.variants][index::count]
    prepare = study.prepare_step(args.datalist)
    if args.only_print:
        for step in [prepare, *(step for chain in chains for step in chain)]:
            print(shlex.join(["python", *step.command[1:]]))
        return 0
    if count == 1:
        _verify(args.datalist, source, study)
    runner = Runner(args.jobs)
    runner.total = 1 + sum(map(len, chains))
    runner.run_chain([prepare], _cores(), _listed(args.datalist, source))
    inputs = _prepared(study.out / "prepared")
    _write_study(study, source, inputs)
    if args.prepare_only:
        return 0
    runner.run_all(chains, inputs)
    _write_study(study, source, inputs)
    print(f"study: {runner.total} steps done; next: python -m pipeline report {study.out}")
    return 0


def _read(args: argparse.Namespace) -> tuple[Study, datalist.Datalist]:
    path = args.bundle / "configs" / "study.yaml"
    try:
        plan = yaml.safe_load(path.read_text())
    except OSError:
        raise InputError(f"{path}: no such study; name a bundle's folder, e.g. bundles/breast_mri_curriculum") from None
    if "subsets" in plan:
        plan["variants"] = _subsets(plan["subsets"])
    source = datalist.load(args.datalist)
    count = source.folds.get("count", 0)
    text = args.folds
    try:
        folds = list(range(count)) if text == "all" else (
            [int(f) for f in text.split(",")] if "," in text else list(range(int(text))))
    except ValueError:
        raise InputError(f"--folds {text}: give how many, which (0,3), or all") from None
    folds = sorted(set(folds))
    if not folds or not set(folds) <= set(range(count)):
        raise InputError(f"--folds {text}: the datalist has {count} folds")
    given = _given(args.given, plan["variants"])
    variants = [name for name, entry in plan["variants"].items() if given.keys() >= set(entry.get("needs", []))]
    if args.variants != "all":
        variants = args.variants.split(",")
    unknown = [v for v in variants if v not in plan["variants"]]
    if unknown:
        raise InputError(f"--variants {','.join(unknown)}: not in study.yaml; it has {', '.join(plan['variants'])}")
    for name in variants:
        if lacking := [need for need in plan["variants"][name].get("needs", []) if need not in given]:
            raise InputError(f"--variants {name}: needs --set {lacking[0]}=VALUE; see the bundle's docs/README.md")
    if args.preset not in plan["presets"]:
        raise InputError(f"--preset {args.preset}: not in study.yaml; it has {', '.join(plan['presets'])}")
    return Study(args.bundle, plan, args.out, args.preset, folds, variants, args.overlay, given), source


def _given(words: Sequence[str], variants: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What `--set` says, by name."""
    known = sorted({name for entry in variants.values() for name in settings_of(entry)})
    given = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not value:
            raise InputError(f"--set {name}: give NAME=VALUE")
        if name not in known:
            raise InputError(f"--set {name}: no variant of study.yaml takes it; it has {', '.join(known) or 'none'}")
        given[name] = value
    return given


def _subsets(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A variant for every subset of contrasts; names keep the order of `of`, joined by +."""
    variants = {}
    for chosen in itertools.combinations(plan["of"], plan["size"]):
        name, channels = "+".join(chosen), f"[{','.join(chosen)}]"

        def filled(entry: dict[str, Any], channels: str = channels) -> dict[str, Any]:
            settings = {k: str(v).replace("{channels}", channels) for k, v in entry.get("settings", {}).items()}
            return {**entry, "settings": settings}

        variants[name] = {"label": ", ".join(chosen), "parameters": plan["parameters"],
                          "paper": plan["paper"].get(name, {}), "stages": [filled(s) for s in plan["stages"]],
                          "evaluate": filled(plan["evaluate"])}
    return variants


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise InputError(f"--shard {text}: give I/N with I from 0 to N-1")
    return int(index), int(count)


def _verify(path: Path, source: datalist.Datalist, study: Study) -> None:
    """Read every file once per state of the list; a study does not begin on exams with errors."""
    report = study.out / "verify.json"
    if report.is_file() and report.stat().st_mtime > path.stat().st_mtime:
        content = json.loads(report.read_text())
        if not content["errors"]:
            return
    study.out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pipeline", "verify", str(path), "--json", str(report)]
    print("$ " + shlex.join(["python", *command[1:]]), flush=True)
    if subprocess.run(command, check=False).returncode:
        raise InputError(f"{path.name} has errors (above, and in {report}); mend or leave out those exams, then run "
                         "the same command again")


def _listed(path: Path, source: datalist.Datalist) -> str:
    """Digest of a datalist, and of its files' sizes and times: whether there is anything to prepare."""
    files = sorted({source.path(exam, name) for exam in source.exams for name in exam.images})
    states = [(file.name, s.st_size, s.st_mtime_ns) for file in files if file.is_file() and (s := file.stat())]
    return hashlib.sha256(path.read_bytes() + repr(states).encode()).hexdigest()


def _prepared(folder: Path) -> str:
    """Digest of labels, folds, parameters and the sources' content: what results depend on."""
    digest = hashlib.sha256((folder / "prepared.json").read_bytes())
    for record in sorted((folder / "records").glob("*.json")):
        sources = json.loads(record.read_text())["sources"]
        digest.update(repr([(record.name, name, sources[name]["sha256"]) for name in sorted(sources)]).encode())
    return digest.hexdigest()


class Runner:
    """Runs steps as processes: several chains at a time, one process a chain."""

    def __init__(self, jobs: int | None) -> None:
        gpus = _gpu_count()
        self.gpus = gpus
        self.jobs = max(jobs or (gpus or _cores()), 1)
        self.total = self.finished = 0
        self.lock = threading.Lock()
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.stopping = False

    def run_all(self, chains: Sequence[list[Step]], inputs: str) -> None:
        """Run all chains; a failure stops its own chain, and is raised when the others are through.

        Raises:
            InputError: a step failed; names it, its last words and its log.
        """
        threads = max((_cores()) // self.jobs, 1)
        failures = []
        with ThreadPoolExecutor(self.jobs) as pool, self._stop_children_on_signals():
            futures = [pool.submit(self.run_chain, chain, threads, inputs, i) for i, chain in enumerate(chains)]
            for future in as_completed(futures):
                try:
                    future.result()
                except InputError as error:
                    failures.append(str(error))
        if failures:
            raise InputError(f"{len(failures)} of {len(chains)} runs failed, the first: {failures[0]}")

    def run_chain(self, steps: Sequence[Step], threads: int, inputs: str, slot: int = 0) -> None:
        """Run steps one after the other, skipping those that are done; after one that ran, none is."""
        ran = False
        for step in steps:
            if self.stopping:
                return
            if not ran and step.state(inputs) == "done":
                self._say(f"{step.name}: done before")
                continue
            step.start(inputs, afresh=ran)
            self._run(step, threads, inputs, slot)
            ran = True

    def _run(self, step: Step, threads: int, inputs: str, slot: int) -> None:
        log = step.folder / f"log.{step.name.split()[-1]}.txt"
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
        if self.gpus > 1:
            environment["CUDA_VISIBLE_DEVICES"] = str(slot % self.gpus)
        print("$ " + shlex.join(["python", *step.command[1:]]), flush=True)
        start = time.monotonic()
        with log.open("ab") as out:
            process = subprocess.Popen(step.command, stdout=out, stderr=subprocess.STDOUT, env=environment,
                                       start_new_session=True)
            with self.lock:
                self.processes.add(process)
            status = process.wait()
            with self.lock:
                self.processes.discard(process)
        if self.stopping:
            return
        if status:
            raise InputError(f"{step.name}: {_last_words(log)} (exit status {status}; log: {log})")
        seconds = round(time.monotonic() - start, 1)
        write_json(step.folder / DONE, {"command": step.command, "inputs": inputs, "seconds": seconds})
        self._say(f"{step.name}: {seconds:.0f} s")

    def _say(self, text: str) -> None:
        with self.lock:
            self.finished += 1
            print(f"[{self.finished}/{self.total}] {text}", flush=True)

    def _stop_children_on_signals(self) -> Any:
        runner = self

        class Handlers:
            def __enter__(self) -> None:
                self.before = {s: signal.signal(s, self.stop) for s in (signal.SIGINT, signal.SIGTERM)}

            def __exit__(self, *error: object) -> None:
                for number, handler in self.before.items():
                    signal.signal(number, handler)

            def stop(self, number: int, frame: Any) -> None:
                runner.stopping = True
                for process in list(runner.processes):
                    process.terminate()
                raise KeyboardInterrupt

        return Handlers()


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").replace("\r", "\n").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["no output"])[-1].removeprefix("error: ")[:300]


def _cores() -> int:
    """Cores that this process may use, which under SLURM are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpu_count() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return len(listed.stdout.strip().splitlines())


def _write_study(study: Study, source: datalist.Datalist, inputs: str) -> None:
    """`study.json`: what the report needs to know beside the predictions."""
    from pipeline.guard import environment  # imports torch

    labelled = [b["malignant"] for e in source.exams for b in e.breasts.values() if b.get("malignant") is not None]
    final = source.folds.get("held_out")  # the fold that trains on all that the others cross-validate
    crossed = [fold for fold in study.folds if fold != final]
    chains = {(v, f): study.chain(v, f) for v in study.variants for f in study.folds}
    seconds = {}
    for (variant, fold), chain in chains.items():
        for step in chain:
            if step.state(inputs) == "done":
                seconds[f"{variant}/fold{fold}/{step.name.split()[-1]}"] = json.loads(
                    (step.folder / DONE).read_text())["seconds"]
    variants = {}
    for name in study.variants:
        entry = {k: v for k, v in study.plan["variants"][name].items() if k not in _INTERNAL}
        stages = [s["name"] for s in study.plan["variants"][name]["stages"]]
        variants[name] = {**entry, "steps": dict(_steps(study.out / name / f"fold{study.folds[0]}", stages))}
    write_json(study.out / "study.json", {
        "schema": SCHEMA,
        **{k: study.plan[k] for k in ("title", "unit", "positive", "comparisons", "screening") if k in study.plan},
        "paper_rows": [*study.plan.get("paper_rows", []), *_left_out(study)],
        "bundle": study.bundle.name,
        "preset": study.preset,
        "dataset": {
            "name": source.name,
            "modality": source.modality,
            "exams": len(source.exams),
            "patients": len({e.patient_id for e in source.exams}),
            "breasts": len(labelled),
            "malignant": sum(labelled),
            "synthetic": (source.root / "phantom.json").is_file(),
        },
        "folds": crossed or study.folds,
        "fold_count": source.folds.get("count", 0) - (final is not None),
        "final_fold": final if crossed and final in study.folds else None,
        "variants": variants,
        "environment": environment(),
        "seconds": seconds,
        "commands": [shlex.join(["python", *step.command[1:]]) for chain in chains.values() for step in chain],
    })


def _left_out(study: Study) -> list[dict[str, Any]]:
    """Rows of the paper that need settings, and were not run."""
    return [{"label": entry["label"], **entry["paper"]} for name, entry in study.plan["variants"].items()
            if "needs" in entry and name not in study.variants]


def _steps(run: Path, stages: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Optimiser steps that each stage took, from the state it left."""
    import torch

    for stage in stages:
        path = run / stage / "resume.pt"
        if path.is_file():
            yield stage, int(torch.load(path, map_location="cpu", weights_only=True)["iteration"])
