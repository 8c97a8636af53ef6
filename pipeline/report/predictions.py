"""What a study left in its folder, read and checked before anything is computed from it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import InputError
from pipeline.files.tables import read_results
from pipeline.report.failed import failed_settings
from pipeline.report.tables import AGAIN, SPLIT_AGAIN, item_columns, read_table, read_tasks
from pipeline.study.step import DONE, Step

SCHEMA = "breast-bundles/study/1"
BEST = "best"  # comparisons: the variant with the largest AUROC against the next


@dataclass
class Run:
    """A study: what `study.json` says, and the predictions of each variant in each fold.

    Every table has one row a breast (or lesion, image, exam), sorted, so that row i of one variant's test
    table and row i of another's are the same breast.

    Attributes:
        homes: the folder of each variant; several rows of the table can come of one training.
        final: each variant's table of the last test, of a network trained on all folds; empty without one.
        tasks: what the predictions answer, the task that leads first; empty where they answer one question alone.
        task: the one that `pipeline.report.tasks.by_task` left, and `leads`, whether it is the first.
        notes: what a reader must know of variants that are not there.
    """

    folder: Path
    study: dict[str, Any]
    tables: dict[str, dict[int, pd.DataFrame]]
    homes: dict[str, str]
    final: dict[str, pd.DataFrame]
    tasks: list[str] = field(default_factory=list)
    task: str = ""
    leads: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def variants(self) -> list[str]:
        """Names of the variants, in the study's order; the first is the one the study is about."""
        return list(self.study["variants"])

    @property
    def folds(self) -> list[int]:
        """Folds that were run."""
        return list(self.study["folds"])

    @property
    def tested(self) -> list[int]:
        """The folds whose test exams were set aside or, without such, all folds."""
        return [int(self.study["final_fold"])] if self.final else self.folds

    def place(self, variant: str, fold: int) -> Path:
        """Where a variant's evaluation in a fold wrote its files."""
        return self.folder / self.homes[variant] / f"fold{fold}"

    def part(self, variant: str, fold: int, split: str) -> pd.DataFrame:
        """The `validation` or the `test` rows of a variant in a fold."""
        table = self.tables[variant][fold]
        return table[table["split"] == split].reset_index(drop=True)

    def columns(self, prefix: str) -> list[str]:
        """Names of what follows `group_` or `reader_` in any table of the first variant."""
        names = (c for table in self.tables[self.variants[0]].values() for c in table.columns)
        return [name.removeprefix(prefix) for name in dict.fromkeys(names) if name.startswith(prefix)]


def load_run(folder: Path | str) -> Run:
    """Read a study's folder.

    Raises:
        InputError: something is missing, or cannot be what an evaluation wrote.
    """
    folder = Path(folder)
    study = _read_study(folder / "study.json")
    homes = _expand(study)
    final = study.get("final_fold")
    wanted = [*study["folds"], *([] if final is None else [final])]
    notes = failed_settings(folder, study, homes, wanted)
    study["variants"] = {name: entry for name, entry in study["variants"].items() if name not in notes}
    _keep_comparable(study)
    paths = {v: {f: folder / homes[v] / f"fold{f}" / "predictions.csv" for f in wanted} for v in study["variants"]}
    missing = [p.parent for folds in paths.values() for p in folds.values() if not p.is_file()]
    if missing:
        names = ", ".join(str(p.relative_to(folder)) for p in missing[:4])
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise InputError(f"{folder}: no predictions of {names}{more}; {AGAIN}")
    for place in {p.parent for folds in paths.values() for p in folds.values()}:
        demand_whole(folder, place)
    tasks = read_tasks(study, paths)
    tables = {v: {f: read_table(path, f, v) for f, path in folds.items()} for v, folds in paths.items()}
    if "screening" in study:
        _keep_common(tables)
    last = {} if final is None else {v: folds.pop(final) for v, folds in tables.items()}
    last = {v: table[table["split"] == "test"].reset_index(drop=True) for v, table in last.items()}
    run = Run(folder, study, tables, homes, last, tasks, notes=list(notes.values()))
    _check_same_breasts(run)
    _check_patients_between_folds(run)
    return run


def demand_whole(folder: Path, place: Path) -> None:
    """Refuse what was changed after the evaluation wrote it; predictions that no study made have no receipt."""
    step = Step("evaluate", place, [])
    if not (place / DONE).is_file():
        return
    name = place.relative_to(folder)
    if step.receipt() is None:
        raise InputError(f"{name}/{DONE}: was changed, or is of an earlier version; {AGAIN}")
    if changed := step.damaged():
        raise InputError(f"{name}/{changed[0]}: is missing, or not what the evaluation wrote; {AGAIN}", code="changed")


def _expand(study: dict[str, Any]) -> dict[str, str]:
    """Make a variant of each of a variant's `rows`, in place; returns the folder of every variant."""
    study["runs"], homes = study["variants"], {}
    study["variants"] = {}
    for name, entry in study["runs"].items():
        rows = entry.get("rows") or {name: {}}
        shared = {key: value for key, value in entry.items() if key not in ("rows", "steps")}
        for row, own in rows.items():
            study["variants"][row] = {**shared, **own}
            homes[row] = name
    return homes


def _keep_comparable(study: dict[str, Any]) -> None:
    """Leave out comparisons, in place, that cannot be made: --variants keeps those of the whole table."""
    if (study.get("comparisons") or []) != BEST:
        study["comparisons"] = [p for p in study.get("comparisons") or [] if set(p) <= set(study["variants"])]


def _read_study(path: Path) -> dict[str, Any]:
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file; name the folder of a `python -m pipeline study`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {AGAIN}") from None
    if not isinstance(study, dict) or study.get("schema") != SCHEMA:
        raise InputError(f"{path}: not a study's record (schema {SCHEMA!r} expected); {AGAIN}")
    for key, kind in (("title", str), ("folds", list), ("variants", dict)):
        if not isinstance(study.get(key), kind) or not study[key]:
            raise InputError(f"{path}: {key!r} is missing or empty; {AGAIN}")
    return study


def _keep_common(tables: dict[str, dict[int, pd.DataFrame]]) -> None:
    """Leave out, in place, what not all variants score: a four-view network needs each view once."""
    lost = set()
    for fold in next(iter(tables.values())):
        scored = [set(folds[fold]["exam_id"]) for folds in tables.values()]
        common = set.intersection(*scored)
        lost |= set.union(*scored) - common
        for folds in tables.values():
            folds[fold] = folds[fold][folds[fold]["exam_id"].isin(common)].reset_index(drop=True)
    if lost:
        print(f"left out: {len(lost)} exams that not all variants score", flush=True)


def _check_same_breasts(run: Run) -> None:
    """Variants are compared on the same breasts with the same labels, or not at all."""
    first = run.variants[0]
    for fold in run.folds:
        expected = run.part(first, fold, "test")
        columns = [*item_columns(expected), "patient_id", "label"]
        for variant in run.variants[1:]:
            found = run.part(variant, fold, "test")
            if not set(columns) <= set(found.columns) or not expected[columns].equals(found[columns]):
                raise InputError(f"{run.folder}: {variant}/fold{fold} tests other breasts, or other labels, "
                                 f"than {first}/fold{fold}; remove the older of the two folders and {AGAIN}")


def _check_patients_between_folds(run: Run) -> None:
    """Folds are resampled one by one: a patient tested in two would make the intervals too narrow."""
    seen: dict[str, int] = {}
    tests = {fold: run.part(run.variants[0], fold, "test") for fold in run.folds}
    if run.final:
        tests[run.tested[0]] = run.final[run.variants[0]]
    for fold, table in tests.items():
        for patient, exam in zip(table["patient_id"], table["exam_id"], strict=True):
            if seen.setdefault(patient, fold) != fold:
                raise InputError(f"{run.folder}: exam {exam}: its patient is tested in folds {seen[patient]} "
                                 f"and {fold}; {SPLIT_AGAIN}")


def load_localisation(run: Run, variant: str) -> pd.DataFrame | None:
    """Hits of the map's peak on malignant test breasts, all folds; None where no evaluation wrote any.

    Of a study of several tasks a column `task` says whose maps they are; without it they are of the one that leads.

    Raises:
        InputError: a table that is none, or a hit that is neither 0 nor 1.
    """
    parts = []
    for fold in run.folds:
        path = run.place(variant, fold) / "localisation.csv"
        if not path.is_file():
            continue
        table = read_results(path, ("exam_id", "side", "hit"), AGAIN, dtype={"exam_id": str, "side": str})
        if not table["hit"].isin([0, 1]).all():
            raise InputError(f"{path}: columns exam_id, side, hit (0 or 1) expected; {AGAIN}")
        if run.task:
            table = table[table["task"] == run.task] if "task" in table else table[: len(table) * run.leads]
        test = run.part(variant, fold, "test")
        malignant = test.loc[test["label"] == 1, ["exam_id", "side"]].drop_duplicates()
        parts.append(table.merge(malignant, on=["exam_id", "side"]))
    return pd.concat(parts, ignore_index=True) if parts else None
