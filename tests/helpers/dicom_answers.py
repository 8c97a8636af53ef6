"""Answers as DICOM: series of every orientation with a bright block in one place, and what a bundle says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SHAPE, STEPS = (14, 12, 6), np.array([0.9, 1.1, 3.0])
BLOCK = (slice(8, 11), slice(3, 5), slice(1, 3))  # far from every centre, so that a flip is seen
FRAME, STUDY = "1.2.826.0.1.9", "1.2.826.0.1.8"


def _turned(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    turn = np.eye(3)
    turn[i, i] = turn[j, j] = c
    turn[i, j], turn[j, i] = -s, s
    return turn


def _affine(directions: Any) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(directions, float) * STEPS
    affine[:3, 3] = (17.0, -33.0, 5.0)
    return affine


_LPS = np.diag([-1.0, -1.0, 1.0])
# Name to voxel index to RAS mm: columns are the directions of the first, second and third axis.
AFFINES = {
    "axial": _affine(_LPS),  # LPS: as most scanners send it
    "prone": _affine(np.diag([1.0, 1.0, 1.0])),  # RAS
    "reversed": _affine(np.diag([-1.0, -1.0, -1.0])),  # slices from above: against the normal
    "sagittal": _affine(np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])),
    "coronal": _affine(np.array([[-1, 0, 0], [0, 0, 1], [0, -1, 0]])),
    "oblique": _affine(_turned("x", 21) @ _turned("y", -13) @ _turned("z", 34) @ _LPS),
}


def centre_ras(affine: np.ndarray) -> np.ndarray:
    """Centre of the block, RAS mm."""
    return affine[:3, :3] @ [(part.start + part.stop - 1) / 2 for part in BLOCK] + affine[:3, 3]


def write_exam(make_series: Any, folder: Path, affine: np.ndarray, **tags: Any) -> tuple[np.ndarray, np.ndarray]:
    """A series with a bright block; returns the map that a bundle gives of it, on its grid, and the map's affine.

    The block has 0.95 but for its first column, which has 0.6.
    """
    from transforms.load import read_image

    voxels = np.zeros(SHAPE, np.int16)
    voxels[BLOCK] = 800
    voxels[BLOCK[0].start, BLOCK[1], BLOCK[2]] = 400
    tags = {"FrameOfReferenceUID": FRAME, "StudyInstanceUID": STUDY, "shuffle": 3, **tags}
    make_series(folder, voxels, affine, **tags)
    image = read_image(folder)
    heat = np.select([image.array == 800, image.array == 400], [0.95, 0.6], 0).astype(np.float32)
    return heat, image.affine


def result(affine: np.ndarray) -> dict[str, Any]:
    """What a bundle answers: everything that one of them has."""
    return {"type": "malignancy", "probability": 0.95, "probabilities": {"L": 0.95, "R": 0.0312},
            "lesions": {"1": {"center_mm": centre_ras(affine).tolist(), "probability": 0.95, "slices": {"2": 0.95}}},
            "not_scored": ["7"], "heatmap": {"output": "float", "levels": [0.5, 0.75, 0.9], "max": 0.95},
            "decision": {"threshold": 0.4, "positive": True}, "notes": ["the header is in metres"]}


def views() -> dict[str, Any]:
    """What the mammography bundle answers of two views of 60 × 40 pixels."""
    scores = {"holistic": 0.4, "attention": 1.25, "ensemble": 0.825}
    images = {"L-CC": {**scores, "center": [30.0, 10.0], "region": [10, 0, 30], "notes": ""},
              "R-CC": {**scores, "ensemble": -2.0, "center": [20.0, 39.0], "region": [5, 25, 30], "notes": ""}}
    return {"type": "screening", "probability": 0.6, "exam": scores, "breasts": {"L": scores, "R": scores},
            "images": images, "notes": ["no L-MLO: the other view counts twice"]}
