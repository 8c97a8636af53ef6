"""`python -m pipeline study … --status`: where a study is, told from its files alone, whoever runs it and where."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.files.claims import holder
from pipeline.files.receipts import digest_of
from pipeline.study.engines.watch import Running, clock, remaining
from pipeline.study.plan import Study
from pipeline.study.record import prepared_inputs
from pipeline.study.stage import parts_begun
from pipeline.study.step import FAILED, RESUME, Step

DONE, RUNS, FAILS, OPEN = "done", "running", "failed", "to do"


@dataclass(frozen=True)
class State:
    """Where a step is.

    Attributes:
        step: which.
        kind: `done`, `running`, `failed` or `to do`.
        said: more, for people.
        seconds: how long it took, or runs.
        left: seconds that it may still take, where that can be told.
    """

    step: Step
    kind: str
    said: str = ""
    seconds: float = 0.0
    left: float | None = None


def states(steps: Iterable[Step], inputs: str | None) -> Iterator[State]:
    """Where the steps of a chain are; what rests on something that is not done is not done either.

    Args:
        steps: a chain's.
        inputs: digest of what the first rests on; None where that is not there.
    """
    for step in steps:
        other = holder(step.folder)
        if other is not None:
            running = Running.told("", step.folder, other)
            spent = running.seconds()
            yield State(step, RUNS, f"on {other['host']} (process {other['pid']}): {running.line()}", spent,
                        running.left(spent))
            inputs = None
        elif inputs is not None and step.is_done(inputs):
            receipt = step.receipt()
            seconds = float(receipt["seconds"]) if receipt else 0.0
            yield State(step, DONE, clock(seconds), seconds)
            inputs = digest_of([inputs, step.result()])
        else:
            yield _not_done(step)
            inputs = None


def _not_done(step: Step) -> State:
    try:
        failed = json.loads((step.folder / FAILED).read_text(encoding="utf-8"))
        return State(step, FAILS, f"{failed['reason']} (exit status {failed['exit_status']})")
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if (step.folder / RESUME).is_file():
        epoch, total = Running("", step.folder, step.folder).epoch()
        return State(step, OPEN, f"goes on behind epoch {epoch}" + (f" of at most {total}" if total else ""))
    return State(step, OPEN, "its inputs or settings have changed" if step.receipt() else "")


def all_states(study: Study, prepare: Step, chains: Sequence[Sequence[Step]],
               combined: Sequence[tuple[str, int]]) -> list[list[State]]:
    """Where everything is: the preparation, each chain, each combined variant.

    Whether the exams' files are still those that were prepared is not asked; the study itself asks.
    """
    first = _as_left(prepare)
    inputs = prepared_inputs(prepare.folder) if first[0].kind == DONE else None
    if inputs is None:
        first = [*(state for part in parts_begun(prepare) for state in _as_left(part)), *first]
    found = [first, *(list(states(chain, inputs)) for chain in chains)]
    for name, fold in combined:
        try:
            taken = None if inputs is None else digest_of([inputs, study.taken(name, fold)])
        except InputError:  # of variants that are not done
            taken = None
        found.append(list(states([study.combine_step(name, fold)], taken)))
    return found


def _as_left(step: Step) -> list[State]:
    """A first step's state; whether what it was given is still the same is not asked."""
    receipt = step.receipt()
    return list(states([step], receipt["inputs"] if receipt else None))


def show(every: Sequence[State]) -> int:
    """Print a line a step and one for all; returns 1 where a step has failed."""
    width = max(len(state.step.name) for state in every)
    for state in every:
        print(f"{state.step.name.ljust(width)}  {state.kind.ljust(len(RUNS))}  {state.said}".rstrip())
    count = Counter(state.kind for state in every)
    left = _left(every)
    print(f"{count[DONE]} of {len(every)} steps done, {count[RUNS]} running, {count[FAILS]} failed, "
          f"{count[OPEN]} to do; {clock(sum(state.seconds for state in every))} of work so far"
          + (f", about {clock(left)} left with {max(count[RUNS], 1)} at a time" if left is not None else ""))
    return 1 if count[FAILS] else 0


def _left(every: Sequence[State]) -> float | None:
    """Seconds until all is done with as many steps at a time as now; None where nothing tells, or all is done."""
    took = [(state.step.name, state.seconds) for state in every
            if state.kind == DONE and not state.step.name.endswith("prepare")]
    jobs = max(sum(state.kind == RUNS for state in every), 1)
    total = 0.0
    for state in every:
        if state.kind != DONE:
            usual = remaining(took, [state.step.name], 1)
            own = max(usual - state.seconds, 0) if state.left is None and usual is not None else state.left
            if own is None:
                return None
            total += own
    return total / jobs if total else None
