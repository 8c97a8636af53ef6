"""Prepared MRI of noise: breasts, patches of lesions and whole exams, as each bundle's `prepare.yaml` leaves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts import made_once

from pipeline.files.receipts import digest
from pipeline.prepare import cases as prepared_cases

CHANNELS = ("pre", "post1", "post2", "post3", "post4", "t2")


def write_prepared(folder: Path, exams: int = 12, channels: int = 6, shape: tuple[int, int, int] = (64, 64, 8),
                   folds: int = 3) -> Path:
    """Write a prepared dataset as `prepare.yaml` leaves it: noise, brighter by a lesion where a breast is malignant.

    Exam i is tested in fold i mod `folds` and validates in the next. In every second exam one breast, alternating
    sides, is malignant with a marked lesion; in exams 0, 1, 4, 5, 8, 9 the others are benign, with one too. Lesions
    are outlined, 9 × 9 × 3 voxels.
    """
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    breasts = []
    for i in range(exams):
        for side in ("L", "R"):
            bad = i % 2 == 0 and side == "LR"[i // 2 % 2]
            benign = not bad and i % 4 < 2
            name = f"E{i:04d}_{side}.npy"
            voxels = random.uniform(0.5, 1.5, (channels, *shape[::-1]))
            center = [n // 2 + int(random.integers(-2, 3)) for n in shape]
            if bad:
                x, y, z = center
                voxels[1:, z - 1 : z + 2, y - 4 : y + 5, x - 4 : x + 5] += 2
            np.save(folder / name, voxels.astype(np.float16))
            mask = np.zeros((1, *shape[::-1]), np.uint8)
            if bad or benign:
                x, y, z = center
                mask[0, z - 1 : z + 2, y - 4 : y + 5, x - 4 : x + 5] = 1
            np.save(folder / f"E{i:04d}_{side}_mask.npy", mask)
            breasts.append({
                "exam_id": f"E{i:04d}", "patient_id": f"SECRET{i:04d}", "side": side, "image": name,
                "affine": np.diag([2.0, 2.0, 4.0, 1.0]).tolist(), "malignant": int(bad),
                "lesions": [[*map(float, center), int(bad)]] if bad or benign else [], "lesions_outside_crop": 0,
                "splits": splits_of(i, folds), "groups": {"density": "abcd"[i % 4]},
                "readers": {"reader1": 4 if bad else 2},
                "outlines": {"mask": f"E{i:04d}_{side}_mask.npy", "marks": [[1, int(bad)]] if bad or benign else [],
                             "outside_crop": 0, "unlabelled": []},
            })
    content = {"schema": prepared_cases.SCHEMA, "name": "tiny", "modality": "MR",
               "parameters": {"version": 1, "channels": list(CHANNELS[:channels])},
               "folds": {"count": folds, "seed": 0}, "breasts": breasts}
    return seal(folder, content)


@pytest.fixture(scope="session")
def make_prepared() -> Callable[..., Path]:
    """`write_prepared`, for tests that need another size."""
    return write_prepared


@pytest.fixture(scope="session")
def reseal() -> Callable[[Path, dict[str, Any]], Path]:
    """`seal`, for tests that change a prepared list."""
    return seal


@pytest.fixture(scope="session")
def tiny_prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset of 24 breasts in three folds. Shared: read it only."""
    return made_once(tmp_path_factory, "prepared", write_prepared)


def seal(folder: Path, content: dict[str, Any]) -> Path:
    """Write a prepared list as `prepare.yaml` does, with the digests of the arrays that are there."""
    for key in ("breasts", "lesions", "crops", "images", "exams"):
        for case in content.get(key, ()):
            if (folder / case["image"]).is_file():
                case["sha256"] = digest(folder / case["image"])
            outlines = case.get("outlines", {})
            if "mask" in outlines and (folder / outlines["mask"]).is_file():
                outlines["sha256"] = digest(folder / outlines["mask"])
    content.pop("digest", None)
    prepared_cases.save(folder, content, content.pop("datalist", "list.json"))
    return folder


def splits_of(number: int, folds: int) -> list[str]:
    """The part that exam `number` plays in each fold: tested in one, validating in the next."""
    return [{number % folds: "test", (number + 1) % folds: "validation"}.get(fold, "train") for fold in range(folds)]


CONTRASTS7 = ("pre", "post1", "post2", "post3", "post4", "sub", "t2")


def write_prepared_lesions(folder: Path, lesions: int = 18, size: int = 16, folds: int = 3) -> Path:
    """Write patches as the transfer bundle's `prepare.yaml` leaves them: malignant lesions are brighter in `sub`."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for i in range(lesions):
        name = f"E{i:04d}_lesion1.npy"
        patches = random.uniform(0.5, 1.5, (1 + i % 3, 7, size, size))
        patches[:, 5, 4:12, 4:12] += i % 2
        np.save(folder / name, patches.astype(np.float16))
        cases.append({"exam_id": f"E{i:04d}", "patient_id": f"SECRET{i:04d}", "side": "LR"[i % 2], "lesion_id": "1",
                      "image": name, "slices": 1 + i % 3, "malignant": i % 2, "missing": [], "readers": {},
                      "curve": dict(zip(CONTRASTS7[:5], (100, 150 + 50 * (i % 2), 180, 170, 160), strict=True)),
                      "splits": splits_of(i // 2, folds), "groups": {}})
    content = {"schema": prepared_cases.SCHEMA, "name": "tiny", "modality": "MR",
               "parameters": {"version": 1, "channels": list(CONTRASTS7)},
               "folds": {"count": folds, "seed": 0}, "lesions": cases}
    return seal(folder, content)


@pytest.fixture(scope="session")
def tiny_lesions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared patches of 18 lesions in three folds. Shared: read it only."""
    return made_once(tmp_path_factory, "lesions", write_prepared_lesions)


def write_prepared_exams(folder: Path, exams: int = 12, folds: int = 3) -> Path:
    """Write whole exams as the doubly deep bundle's `prepare.yaml` leaves them: of two shapes, with x to the right.

    Labels go by the exam's number: 0 left malignant, 1 right benign, 2 right malignant, 3 none; and so on. Of exam 3
    the left breast was not imaged, of exam 7 nothing is known of benign findings. Findings are brighter after contrast,
    at a quarter of x on the left and at three quarters on the right.
    """
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for i in range(exams):
        shape = (40, 36, 4) if i % 3 else (36, 48, 3)
        voxels = random.uniform(0.5, 1.5, (4, *shape[::-1]))
        side, kind = [("L", "malignant"), ("R", "benign"), ("R", "malignant"), ("", "")][i % 4]
        breasts = {of: {what: int((of, what) == (side, kind)) for what in ("benign", "malignant")} for of in "LR"}
        x, y, z = shape[0] // 4 * (3 if side == "R" else 1), shape[1] // 2, 1
        if side:
            voxels[1:, z, y - 4 : y + 5, x - 4 : x + 5] += 2
        if i == 3:
            del breasts["L"]
        if i == 7:
            breasts = {of: {**known, "benign": None} for of, known in breasts.items()}
        name = f"E{i:04d}_stack.npy"
        np.save(folder / name, voxels.astype(np.float16))
        cases.append({
            "exam_id": f"E{i:04d}", "patient_id": f"SECRET{i:04d}", "image": name, "breasts": breasts,
            "affine": np.diag([2.0, 2.0, 5.0, 1.0]).tolist(), "phases": ["pre", "post1", "post2", "post3"],
            "missing": [], "malignant": int(kind == "malignant"), "splits": splits_of(i // 4, folds),
            "lesions": [[float(x), float(y), float(z), side, int(kind == "malignant")]] if side else [],
            "groups": {"density": "abcd"[i % 4]}, "readers": {"reader1": {"L": 2, "R": 4}}})
    content = {"schema": prepared_cases.SCHEMA, "name": "tiny", "modality": "MR",
               "parameters": {"version": 1, "channels": ["pre", "post1", "post2", "post3"]},
               "folds": {"count": folds, "seed": 0}, "exams": cases}
    return seal(folder, content)


@pytest.fixture(scope="session")
def tiny_exams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve prepared whole exams in three folds. Shared: read it only."""
    return made_once(tmp_path_factory, "exams", write_prepared_exams)
