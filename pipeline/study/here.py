"""What this process does of a study: verify, prepare, its share of the chains, and what can be combined."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import datalist
from pipeline.errors import InputError
from pipeline.files.atomic import write_json
from pipeline.files.receipts import digest_of
from pipeline.processes import cores
from pipeline.study.engines.local import Runner
from pipeline.study.plan import Study, predictions_of
from pipeline.study.record import adopt, check_place, listed_inputs, prepared_inputs, write_study
from pipeline.study.shell import line
from pipeline.study.step import Step


@dataclass
class Here:
    """A study's work in this process.

    Attributes:
        study: what is asked for.
        source: its datalist.
        path: where that is.
        prepare: the first step.
        chains: those that this process runs.
        combined: what is made of others, name and fold.
        alone: whether no other process has a share of the chains.
        believed: take steps without receipts as done.
        scheduler: a dask cluster that reads and prepares the exams.
        part: of the preparation, that is done instead of all of it.
    """

    study: Study
    source: datalist.Datalist
    path: Path
    prepare: Step
    chains: Sequence[list[Step]]
    combined: Sequence[tuple[str, int]]
    alone: bool = True
    believed: bool = False
    scheduler: str | None = None
    part: Step | None = None

    def run(self, runner: Runner, only: str | None = None) -> int:
        """Do it; returns 0 when all of it is done.

        Args:
            runner: what runs the steps.
            only: stop behind `prepare`, or do nothing but `combine`.

        Raises:
            InputError: a step failed, or the study cannot begin.
        """
        check_place(self.study, self.source, self.path)
        self._check_members()
        listed = listed_inputs(self.path, self.source)
        runner.total = 1 + sum(map(len, self.chains)) + len(self.combined)
        if only == "combine":
            runner.total = len(self.combined)
            if not self.prepare.is_done(listed):
                raise InputError("the exams are not prepared; run the same command without --combine-only")
            return self._combine(runner, None)
        if only is None:
            runner.demand_gpus()
        if self.part is not None:
            runner.total = 1
            check_place(self.study, self.source, self.path, begin=True)
            runner.run_chain([self.part], cores(), listed)
            return 0
        if self.alone:
            self._verify(listed, runner)
        check_place(self.study, self.source, self.path, begin=True)
        runner.run_chain([self.prepare], cores(), listed)
        inputs = prepared_inputs(self.study.out / "prepared")
        for chain in self.chains:
            adopt(chain, inputs, self.believed)
        write_study(self.study, self.source)
        if only == "prepare":
            return 0
        failure = None
        try:
            runner.run_all(self.chains, inputs)
        except InputError as error:  # a failed chain keeps nobody from combining others
            failure = error
        return self._combine(runner, failure)

    def _combine(self, runner: Runner, failure: InputError | None) -> int:
        """Make what is combined of predictions that are there, and leave the record."""
        inputs = prepared_inputs(self.study.out / "prepared")
        for name, fold in self.combined:
            if not (self.alone and failure is None) and not self._members_are_done(name, fold):
                print(f"{name} fold {fold}: waits for predictions that it takes; the command that makes the last one "
                      "combines them", flush=True)
                runner.total -= 1
                continue
            taken = digest_of([inputs, self.study.taken(name, fold)])
            runner.run_chain([self.study.combine_step(name, fold)], cores(), taken)
        write_study(self.study, self.source)
        if failure:
            raise failure
        done = f"{runner.total} steps done; " if runner.total else ""
        print(f"study: {done}next: python -m pipeline report {self.study.out}")
        return 0

    def _check_members(self) -> None:
        """Predictions that a combined variant takes are made by this command, or there already: ask before it
        trains."""
        for name, fold in self.combined:
            for member in self.study.plan["combined"][name]["of"]:
                if member not in self.study.variants:
                    predictions_of(self.study.out, member, fold, name)

    def _members_are_done(self, name: str, fold: int) -> bool:
        members = self.study.plan["combined"][name]["of"]
        return all(self.study.chain(member, fold)[-1].receipt() is not None for member in members)

    def _verify(self, listed: str, runner: Runner) -> None:
        """Read every file once per state of the list; a study does not begin on exams with errors."""
        report, note = self.study.out / "verify.json", self.study.out / "verified.json"
        state = {"inputs": listed}
        try:
            if json.loads(note.read_text(encoding="utf-8")) == state:
                return
        except (OSError, ValueError):
            pass
        command = [sys.executable, "-m", "pipeline", "verify", str(self.path), "--json", str(report),
                   *(["--scheduler", self.scheduler] if self.scheduler else [])]
        print("$ " + line(command), flush=True)
        if runner.call(command):
            raise InputError(f"{self.path.name} has errors (above, and in {report}); mend or leave out those exams, "
                             "then run the same command again")
        write_json(note, state)
