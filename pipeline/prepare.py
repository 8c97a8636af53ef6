"""Prepare a dataset: every exam once, in parallel, safely interrupted at any moment.

Called by the bundles' `prepare.yaml`. Arrays are written under a temporary name and renamed, an exam's record
comes last: what has a record is whole. Labels, centres and folds are not part of the record; they are taken from
the datalist each time, so that a corrected label does not prepare an exam again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from tqdm import tqdm

from pipeline import prepared
from pipeline.datalist import Datalist, Exam, load, write_json
from pipeline.errors import InputError, one_line
from pipeline.verify import verify
from transforms.grid import Grid, triple

VERSION = 5  # raise it whenever the same parameters give other arrays
_RECORDS = "records"


def run(datalist: Path | str, output: Path | str, preprocessing: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        parameters: Mapping[str, Any], workers: int | None = None) -> Path:
    """Prepare every exam of a datalist.

    Args:
        datalist: the list.
        output: folder for the arrays and `prepared.json`.
        preprocessing: turns `{"image": {contrast: path}, "sides": (...)}` into `{"image": (S, C, X, Y, Z)}` with
            the meta that `transforms.LoadBreasts` gives.
        parameters: what the arrays depend on, as numbers, texts and lists; must hold `channels`. An exam is
            prepared again where they change.
        workers: processes; default: one a core.

    Returns:
        the path of `prepared.json`.

    Raises:
        InputError: the datalist has errors, or exams could not be prepared (all others were).
    """
    source, output = load(datalist), Path(output)
    channels = list(parameters["channels"])
    errors = [issue for issue in verify(source, contrasts=channels, quick=True) if issue.severity == "error"]
    if errors:
        first = errors[0]
        raise InputError(f"{Path(datalist).name} has {len(errors)} errors, the first: {first.code}"
                         f"{f' in exam {first.exam}' if first.exam else ''}; see `python -m pipeline verify "
                         f"{Path(datalist).name}`")
    records = output / _RECORDS
    records.mkdir(parents=True, exist_ok=True)
    for leftover in output.glob(".*.part"):  # of a run that was killed
        leftover.unlink()
    key = hashlib.sha256(json.dumps({"version": VERSION, **parameters}, sort_keys=True).encode()).hexdigest()
    todo = [e for e in source.exams if not _unchanged(records / f"{e.exam_id}.json", source, e, channels, key)]
    print(f"prepare: {len(source.exams)} exams, {len(source.exams) - len(todo)} ready, {len(todo)} to do; "
          f"output in {output}", flush=True)
    jobs = Parallel(n_jobs=workers or os.cpu_count(), return_as="generator_unordered")(
        delayed(_prepare)(source, exam, output, preprocessing, channels, key) for exam in todo
    )
    failures = sorted(filter(None, tqdm(jobs, total=len(todo), desc="prepare", unit="exam", disable=not todo)))
    failed = {exam_id for exam_id, _ in failures}
    path = output / prepared.LIST
    write_json(path, _collect(source, [e for e in source.exams if e.exam_id not in failed], records, parameters))
    if failures:
        exam_id, reason = failures[0]
        raise InputError(f"{len(failures)} of {len(source.exams)} exams could not be prepared and are left out, the "
                         f"first: exam {exam_id}: {reason}")
    return path


def _unchanged(record: Path, source: Datalist, exam: Exam, channels: Sequence[str], key: str) -> bool:
    """Whether an exam is ready: same parameters, same source files, arrays in place."""
    try:
        content = json.loads(record.read_text())
        if content["key"] != key or set(content["arrays"]) != set(exam.breasts):
            return False
        if any((record.parent.parent / a["image"]).stat().st_size != a["bytes"] for a in content["arrays"].values()):
            return False
        return all(_same_file(source.path(exam, c), content["sources"][c]) for c in channels)
    except (OSError, ValueError, KeyError):
        return False


def _same_file(path: Path, known: Mapping[str, Any]) -> bool:
    state = path.stat()
    if state.st_size != known["bytes"]:
        return False
    if state.st_mtime_ns == known["modified"]:
        return True
    return hashlib.sha256(path.read_bytes()).hexdigest() == known["sha256"]  # copied or touched, maybe not changed


def _prepare(source: Datalist, exam: Exam, output: Path, preprocessing: Callable[..., Mapping[str, Any]],
             channels: Sequence[str], key: str) -> tuple[str, str] | None:
    """Prepare one exam; returns its id and the reason where that failed."""
    torch.set_num_threads(1)  # one process a core already
    sides = sorted(exam.breasts)
    paths = {c: source.path(exam, c) for c in channels}
    try:
        states = {c: path.stat() for c, path in paths.items()}
        image = preprocessing({"image": paths, "sides": sides})["image"]
        arrays = {}
        for side, breast, affine in zip(sides, image, image.meta["breast_affines"], strict=True):
            name = f"{exam.exam_id}_{side}.npy"
            voxels = breast.as_tensor().permute(0, 3, 2, 1).half().numpy()  # (C, Z, Y, X)
            arrays[side] = {"image": name, "bytes": _write_array(output / name, voxels), "affine": affine.tolist(),
                            "shape": list(breast.shape[1:])}
        digests = image.meta["digests"]
        write_json(output / _RECORDS / f"{exam.exam_id}.json", {
            "key": key,
            "sources": {c: {"bytes": states[c].st_size, "modified": states[c].st_mtime_ns, "sha256": digests[c]}
                        for c in channels},
            "scales": image.meta["scales"],
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


def _write_array(path: Path, voxels: np.ndarray) -> int:
    """Write one `.npy` under a temporary name, then rename; returns its size in bytes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            np.save(file, np.ascontiguousarray(voxels))
            size = file.tell()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return size


def _collect(source: Datalist, exams: Sequence[Exam], records: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The prepared list: what is on disk, with the datalist's labels, centres (as voxels) and folds."""
    breasts = []
    for exam in exams:
        record = json.loads((records / f"{exam.exam_id}.json").read_text())
        for side, array in record["arrays"].items():
            grid = Grid(triple(array["shape"]), np.asarray(array["affine"]))
            marked = [lesion for lesion in exam.lesions if lesion.side == side and lesion.malignant is not None]
            inside = [lesion for lesion in marked if grid.contains(np.asarray(lesion.center_mm))]
            breasts.append({
                "exam_id": exam.exam_id,
                "patient_id": exam.patient_id,
                "side": side,
                "image": array["image"],
                "affine": array["affine"],
                "malignant": exam.breasts[side].get("malignant"),
                "lesions": [[*map(float, grid.to_index(np.asarray(m.center_mm))), m.malignant] for m in inside],
                "lesions_outside_crop": len(marked) - len(inside),
                "fold": exam.fold,
                "validation_folds": exam.validation_folds,
                "groups": exam.groups,
                "readers": {name: scores.get(side, scores.get("exam")) for name, scores in exam.readers.items()},
            })
    lost = sum(breast["lesions_outside_crop"] for breast in breasts)
    if lost:
        print(f"warning: {lost} lesion centres lie outside their breast's crop and are not used in stage 1; "
              "see lesions_outside_crop in prepared.json")
    return {
        "schema": prepared.SCHEMA,
        "name": source.name,
        "modality": source.modality,
        "parameters": {"version": VERSION, **parameters},
        "folds": source.folds,
        "breasts": breasts,
    }
