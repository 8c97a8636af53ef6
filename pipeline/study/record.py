"""What a study leaves for the report, and what its results depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import __version__, datalist
from pipeline.errors import InputError
from pipeline.files.atomic import write_json
from pipeline.files.claims import CLAIM, holder
from pipeline.files.receipts import digest, digest_of
from pipeline.prepare.cases import inputs_digest
from pipeline.study.generators import curves_of
from pipeline.study.offers import marks
from pipeline.study.plan import Study
from pipeline.study.shell import line
from pipeline.study.step import DONE, Step
from transforms.dicom_series import is_series
from transforms.load import size_and_time

SCHEMA = "breast-bundles/study/1"
MARKER = "phantom.json"  # of a cohort that `pipeline.phantoms` drew
_ASKED = ".asked"  # what the study in a folder was last begun with
_TOLD = ("title", "unit", "positive", "tasks", "comparisons", "screening", "readers")  # of study.yaml
_INTERNAL = ("stages", "evaluate", "needs", "takes", "asks")  # of a variant, of no concern to the report
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch normalisation


def listed_inputs(path: Path, source: datalist.Datalist) -> str:
    """Digest of a datalist, and of its files' sizes and times: whether there is anything to prepare."""
    files = sorted({source.path(exam, name) for exam in source.exams for name in exam.images})
    states = [(file.name, *size_and_time(file)) for file in files if file.is_file() or is_series(file)]
    return hashlib.sha256(path.read_bytes() + repr(states).encode()).hexdigest()


def prepared_inputs(folder: Path) -> str:
    """What results depend on; those of variants that need masks on these besides, as their steps know."""
    return inputs_digest(folder)


def check_place(study: Study, source: datalist.Datalist, listed: Path, begin: bool = False) -> None:
    """Refuse a datalist of another modality than the bundle's, and a folder that another study is in.

    Another study is one of another bundle or preset; while somebody works in the folder, also one of other exams or
    settings, since each would undo what the other does.

    Args:
        study: what is asked for.
        source: its datalist.
        listed: where that is.
        begin: note what is asked for, so that others are refused from now on.

    Raises:
        InputError: any of these.
    """
    wanted = study.plan.get("modality")
    if wanted and source.modality != wanted:
        raise InputError(f"{source.name}: its images are {source.modality}, {study.bundle.name} takes {wanted}; give "
                         "another datalist, or another bundle")
    told, asked = _read(study.out / "study.json"), _read(study.out / _ASKED)
    own = {"bundle": study.bundle.name, "preset": study.preset, "asked": digest_of(
        [[digest(path) for path in study.overlays], sorted(study.given.items()), digest(listed)])}
    for name, words in (("bundle", "a study of"), ("preset", "a study of preset")):
        if (found := told.get(name, asked.get(name, own[name]))) != own[name]:
            raise InputError(f"{study.out.name}: holds {words} {found}, not {own[name]}; choose another --out")
    if asked and asked != own and (other := _working(study.out)) is not None:
        raise InputError(f"{study.out.name}: process {other['pid']} on {other['host']} works there on a study of other "
                         "exams or settings; wait until it has ended, or choose another --out")
    if begin and asked != own:
        write_json(study.out / _ASKED, own)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _working(out: Path) -> dict[str, Any] | None:
    """Somebody who works on a step of a study."""
    places = (path.parent for depth in ("*", "*/*", "*/*/*") for path in out.glob(f"{depth}/{CLAIM}"))
    return next((other for place in places if (other := holder(place)) is not None), None)


def adopt(steps: Sequence[Step], inputs: str, believed: bool) -> None:
    """Write receipts of steps that were finished before there were any, where that is asked for.

    Raises:
        InputError: there are such steps, and it is not asked for.
    """
    for step in steps:
        try:
            old = json.loads((step.folder / DONE).read_text(encoding="utf-8"))
            seconds = float(old["seconds"]) if "command" in old else None
        except (OSError, ValueError, KeyError, TypeError):
            seconds = None
        if seconds is not None:
            if not believed:
                raise InputError(f"{step.name}: was finished before steps had receipts; add --adopt to take such steps "
                                 "as they are, or choose another --out to run them again")
            step.finish(inputs, seconds)
        if step.receipt() is None:
            return
        inputs = digest_of([inputs, step.result()])


def dataset(source: datalist.Datalist) -> dict[str, Any]:
    """What the report says of a datalist: where it comes from, and how much is in it."""
    labelled = [b["malignant"] for e in source.exams for b in e.breasts.values() if b.get("malignant") is not None]
    return {
        "name": source.name,
        "modality": source.modality,
        "truth": source.truth,
        "source": source.source,
        "exams": len(source.exams),
        "patients": len({e.patient_id for e in source.exams}),
        "breasts": len(labelled),
        "malignant": sum(labelled),
        "marks": marks(source),
        "synthetic": (source.root / MARKER).is_file(),
        **({"drawn_by": drawn} if (drawn := _read(source.root / MARKER).get("generator")) else {}),
    }


def write_study(study: Study, source: datalist.Datalist) -> None:
    """`study.json`: what the report needs to know beside the predictions; left alone where it says all that already."""
    final = source.folds.get("held_out")  # the fold that trains on all that the others cross-validate
    crossed = [fold for fold in study.folds if fold != final]
    chains = {(v, f): study.steps(v, f) for v in study.entries for f in study.folds}
    receipts = {f"{variant}/fold{fold}/{step.name.split()[-1]}": done for (variant, fold), chain in chains.items()
                for step in chain if (done := step.receipt()) is not None}
    variants = {name: {k: v for k, v in plan.items() if k not in _INTERNAL} for name, plan in study.entries.items()}
    told: dict[str, Any] = {
        "schema": SCHEMA,
        **{k: study.plan[k] for k in _TOLD if k in study.plan},
        **({"curves": curves} if (curves := curves_of(study.plan)) else {}),
        "paper_rows": [*study.plan.get("paper_rows", []), *left_out(study)],
        "bundle": study.bundle.name,
        "preset": study.preset,
        "dataset": dataset(source),
        "folds": crossed or study.folds,
        "fold_count": source.folds.get("count", 0) - (final is not None),
        "final_fold": final if crossed and final in study.folds else None,
        "seconds": {name: done["seconds"] for name, done in receipts.items()},
        "commands": [line(step.command) for chain in chains.values() for step in chain],
    }
    state = digest_of(json.loads(json.dumps([__version__, told, variants, receipts], default=str)))
    if _read(study.out / "study.json").get("state") == state:
        return
    from pipeline.training.guard import environment  # imports torch

    for name, plan in study.entries.items():
        stages = [stage["name"] for stage in plan.get("stages", [])]
        trained = list(_steps(study.out / name / f"fold{study.folds[0]}", stages))
        sizes = {stage: size for stage, _, size in trained}
        variants[name] = {**as_large_as(variants[name], sizes.get(stages[-1]) if stages else None),
                          "steps": {stage: steps for stage, steps, _ in trained}}
    write_json(study.out / "study.json", {**told, "variants": variants, "environment": environment(), "state": state})


def left_out(study: Study) -> list[dict[str, Any]]:
    """Rows of the paper that need settings or what the exams do not have, and were not run."""
    return [{"label": entry["label"], **({"parameters": entry["parameters"]} if "parameters" in entry else {}),
             **entry["paper"]} for name, entry in study.plan["variants"].items()
            if "needs" in entry and name not in study.variants]


def as_large_as(entry: dict[str, Any], size: int | None) -> dict[str, Any]:
    """A variant whose `parameters` are those of the network that was trained, not of the paper's, which may be larger.

    Args:
        entry: of study.yaml; rows with `parameters` of their own, such as an ensemble's, are of several such networks.
        size: parameters of the network that was trained; None where none was, and the entry stays as it is.
    """
    if size is None:
        return entry
    planned = entry.get("parameters") or size
    rows = {name: {**row, "parameters": round(row["parameters"] / planned * size)} if "parameters" in row else row
            for name, row in entry.get("rows", {}).items()}
    return {**entry, "parameters": size, **({"rows": rows} if rows else {})}


def _steps(run: Path, stages: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Optimiser steps that each stage took, and parameters of its network, from the state it left."""
    import torch

    for stage in stages:
        path = run / stage / "resume.pt"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # its weights stay on disk
            yield stage, int(state["iteration"]), parameters(state["network"])
        except Exception:  # none, or a damaged one: the table goes without its number
            continue


def parameters(weights: Mapping[str, Any]) -> int:
    """How many numbers of a network's state were trained or frozen weights: all but running means and counts."""
    return sum(value.numel() for name, value in weights.items() if name.rpartition(".")[2] not in _STATISTICS)
