"""Prepare a dataset: every exam once, in parallel, safely interrupted at any moment.

Called by the bundles' `prepare.yaml`. Arrays are written under a temporary name and renamed, an exam's record
comes last: what has a record is whole. Labels, centres and folds are not part of the record; they are taken from
the datalist each time, so that a corrected label does not prepare an exam again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from pipeline.datalist import MASK, Datalist, Exam, load
from pipeline.errors import InputError, one_line
from pipeline.files.atomic import leftovers, write_array, write_json
from pipeline.files.receipts import digest_of, state, unchanged
from pipeline.prepare import cases as prepared
from pipeline.prepare.unit import Unit
from pipeline.processes import every_nth, shared
from pipeline.verify import verify
from pipeline.verify.gate import check_exam
from transforms.load import image_digest, size_and_time

_RECORDS = "records"


class Preprocessing(Protocol):
    """What loads an exam, such as `transforms.LoadBreastsd`.

    Attributes:
        parameters: what the arrays depend on, as numbers, texts and lists: what it was built with. Among them
            `channels`, the images that it reads.
    """

    parameters: dict[str, Any]

    def __call__(self, data: Any) -> Mapping[Any, Any]:
        """Turn a unit's inputs into its result, see there."""


def run(datalist: Path | str, output: Path | str, unit: Unit, preprocessing: Preprocessing,
        workers: int | None = None, scheduler: str | None = None, shard: str | None = None) -> Path:
    """Prepare every exam of a datalist, or a part of them.

    Parts may be prepared at the same time, on several machines; whoever then prepares all of them finds these ready
    and writes the list.

    Args:
        datalist: the list.
        output: folder for the arrays and `prepared.json`.
        unit: what an exam is divided into.
        preprocessing: turns `unit`'s inputs into its result. An exam is prepared again where its parameters change.
        workers: processes; default: one a core.
        scheduler: address of a dask cluster whose workers do it instead.
        shard: `I/N`, every N-th exam from the I-th on, from 0; `prepared.json` is then left alone.

    Returns:
        the path of `prepared.json`.

    Raises:
        InputError: the datalist has errors, no such shard, or exams could not be prepared (all others were).
    """
    part = slice(None) if shard is None else every_nth("shard", shard)
    source, output, parameters = load(datalist), Path(output), preprocessing.parameters
    if source.modality != unit.modality:
        raise InputError(f"{Path(datalist).name} lists exams of modality {source.modality}, this bundle takes "
                         f"{unit.modality}; give the list to a bundle of its modality")
    files = list(unit.files(parameters["channels"]))
    demanded = [name for name in files if all(name in e.images for e in source.exams)
                or not (unit.partial or name == MASK)]
    errors = [issue for issue in verify(source, contrasts=demanded, quick=True) if issue.severity == "error"]
    if errors:
        first = errors[0]
        raise InputError(f"{Path(datalist).name} has {len(errors)} errors, the first: {first.code}"
                         f"{f' in exam {first.exam}' if first.exam else ''}; see `python -m pipeline verify "
                         f"{Path(datalist).name}`")
    source.exams = source.exams[part]
    records = output / _RECORDS
    records.mkdir(parents=True, exist_ok=True)
    for folder in (output, records):  # of a run that was killed
        leftovers(folder)
    key = hashlib.sha256(json.dumps({"version": prepared.VERSION, **parameters}, sort_keys=True).encode()).hexdigest()
    todo = [e for e in source.exams if not _unchanged(records / f"{e.exam_id}.json", source, e, unit, files, key)]
    print(f"prepare: {len(source.exams)} exams, {len(source.exams) - len(todo)} ready, {len(todo)} to do; "
          f"output in {output}", flush=True)
    work = [(exam, {c: source.path(exam, c) for c in _present(exam, files)}) for exam in todo]  # no task has the list
    done = shared(_prepare, work, source.modality, output.absolute(), preprocessing, unit, key, workers=workers,
                  scheduler=scheduler if todo else None, reads=[source.root], writes=[output], desc="prepare",
                  unit="exam", disable=not todo)
    failures = sorted(filter(None, done))
    failed = {exam_id for exam_id, _ in failures}
    path = output / prepared.LIST
    whole = [exam for exam in source.exams if exam.exam_id not in failed]
    if shard is None:
        prepared.save(output, _collect(source, whole, records, parameters, unit), datalist)
    if failures:
        exam_id, reason = failures[0]
        raise InputError(f"{len(failures)} of {len(source.exams)} exams could not be prepared and are left out, the "
                         f"first: exam {exam_id}: {reason}")
    return path


def _unchanged(record: Path, source: Datalist, exam: Exam, unit: Unit, files: Sequence[str], key: str) -> bool:
    """Whether an exam is ready: same parameters, same source files, arrays in place."""
    try:
        content = json.loads(record.read_text())
        if content["key"] != key or content["inputs"] != unit.fingerprint(exam):
            return False
        folder, sources = record.parent.parent, content["sources"]
        return (all(unchanged(folder / array["image"], array) for array in content["arrays"].values())
                and all(_same_image(source.path(exam, name), sources[name]) for name in _present(exam, files)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no record, or a damaged one
        return False


def _same_image(path: Path, known: Mapping[str, Any]) -> bool:
    """As `receipts.unchanged`, of an image, which may be a series of files."""
    size, modified = size_and_time(path)
    return size == known["bytes"] and (modified == known["modified"] or image_digest(path) == known["sha256"])


def _present(exam: Exam, files: Sequence[str]) -> list[str]:
    return [name for name in files if name in exam.images]


def _prepare(work: tuple[Exam, Mapping[str, Path]], modality: str, output: Path, preprocessing: Preprocessing,
             unit: Unit, key: str) -> tuple[str, str] | None:
    """Prepare one exam, given with its images' paths; returns its id and the reason where that failed."""
    torch.set_num_threads(1)  # one process a core already
    exam, paths = work
    try:
        before = {c: size_and_time(path) for c, path in paths.items()}
        result = preprocessing(unit.inputs(exam, paths))
        check_exam(modality, result.get("facts", {}))
        arrays = {}
        for part, voxels, facts in unit.arrays(result):
            name = f"{exam.exam_id}_{part}.npy"
            write_array(output / name, voxels)
            arrays[part] = {"image": name, **state(output / name), **facts}
        meta = result["image"].meta
        write_json(output / _RECORDS / f"{exam.exam_id}.json", {
            "key": key,
            "inputs": unit.fingerprint(exam),
            "sources": {c: {"bytes": size, "modified": modified, "sha256": meta["digests"][c]}
                        for c, (size, modified) in before.items()},
            **{name: meta[name] for name in unit.kept if name in meta},
            "arrays": arrays,
        })
    except OSError as error:
        return exam.exam_id, f"{error.strerror or error}; check the disk and run the same command again"
    except Exception as error:
        reason = one_line(error)
        if reason is None:
            raise
        return exam.exam_id, reason
    return None


def _collect(source: Datalist, exams: Sequence[Exam], records: Path, parameters: Mapping[str, Any],
             unit: Unit) -> dict[str, Any]:
    """The prepared list: what is on disk, with the datalist's labels, centres (as voxels) and folds."""
    cases = []
    told = {exam.exam_id: json.loads((records / f"{exam.exam_id}.json").read_text()) for exam in exams}
    for exam in exams:
        record = told[exam.exam_id]
        about = {"exam_id": exam.exam_id, "patient_id": exam.patient_id, "groups": exam.groups,
                 "splits": source.splits(exam)}
        digests = {array["image"]: array["sha256"] for array in record["arrays"].values()}
        cases += [{**about, **case, "sha256": digests[case["image"]]} for case in unit.cases(exam, record)]
    unit.tell(cases, list(told.values()))
    sources = [[name, files[image]["sha256"]] for name, record in sorted(told.items())
               for files in [record["sources"]] for image in sorted(files) if image not in unit.outlining]
    return {
        "schema": prepared.SCHEMA,
        "name": source.name,
        "modality": source.modality,
        "parameters": {"version": prepared.VERSION, **parameters},
        "sources": digest_of(sources),
        "truth": source.truth,
        "source": source.source,
        "folds": source.folds,
        unit.name: cases,
    }
