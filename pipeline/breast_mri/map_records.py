"""What an evaluation keeps of one map: whether it points to a lesion, and slices of it to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.explain.stacks import save_stack
from pipeline.metrics import random_point_share
from transforms.grid import Grid, triple


def peak_of(heat: np.ndarray) -> np.ndarray:
    """Voxel `(x, y, z)` of the largest heat."""
    return np.asarray(np.unravel_index(int(heat.argmax()), heat.shape))


def pointing(peak: np.ndarray, body: np.ndarray, grid: Grid, centers: Sequence[Sequence[float]],
             radius_mm: float) -> dict[str, Any]:
    """Whether a map's peak lies near a lesion, and how often a random voxel of the body would.

    Args:
        peak: voxel `(x, y, z)` of the largest heat, as `peak_of` gives it; infinite where there is none.
        body: where there is tissue, `(X, Y, Z)`.
        grid: of the voxels.
        centers: voxels `(x, y, z)` of the lesions that the map should show, one or more.
        radius_mm: a peak this near to a centre is on it.

    Returns:
        `hit` (0 or 1), `distance_mm` to the nearest centre (None without a peak), `radius_mm` and `chance`.
    """
    points = grid.to_world(np.asarray(centers))
    there = bool(np.isfinite(peak).all())
    distance = np.linalg.norm(points - grid.to_world(peak), axis=1).min() if there else np.inf
    chance = random_point_share(body, grid, points, [radius_mm])
    return {"hit": int(distance <= radius_mm), "distance_mm": round(float(distance), 2) if there else None,
            "radius_mm": radius_mm, "chance": round(float(chance[0]), 4)}


def plane_picture(image: np.ndarray, heat: np.ndarray, lesions: Sequence[Sequence[float]], z: int,
                  mirrored: bool = False) -> dict[str, np.ndarray]:
    """One axial slice as the report shows it, anterior up.

    Args:
        image: what is shown, `(X, Y, Z)`; black is 0 and below.
        heat: 0–1, `(X, Y, Z)`.
        lesions: voxel x, y, z and malignant of each; those of this slice are marked.
        z: the slice.
        mirrored: columns against x: where x grows to the patient's right, that is on the left, as readers look.
    """
    plane = image[:, :, z]
    columns = slice(None, None, -1 if mirrored else 1)
    here = [lesion for lesion in lesions if abs(lesion[2] - z) <= 1.5]
    points = [[len(plane) - 1 - x if mirrored else x, plane.shape[1] - 1 - y] for x, y, *_ in here]
    return {
        "image": np.clip(plane / max(np.percentile(image, 99.8), 1e-6), 0, 1).T[::-1, columns].astype(np.float32),
        "heat": heat[:, :, z].T[::-1, columns].astype(np.float32),
        "points": np.asarray(points, np.float32).reshape(-1, 2),
        "point_malignant": np.asarray([malignant for *_, malignant in here], np.int64),
    }


def save_slices(folder: Path, row: Mapping[str, Any], image: np.ndarray, heat: np.ndarray | None,
                lesions: Sequence[Sequence[float]], grid: Grid, exam: Mapping[str, Any] | None,
                mirrored: bool = False, boxes: np.ndarray | None = None) -> None:
    """All slices of a breast for the page with every exam, anterior up, under the numbers of the exam's own file.

    Args:
        folder: of the evaluation.
        row: of `predictions.csv`, for the names.
        image, heat, mirrored: as `plane_picture` takes them; no heat where there are boxes.
        lesions: voxel x, y, z and malignant of each.
        grid: of image and heat.
        exam: `shape` and `affine` of the exam as its files have it; None where they are not known.
        boxes: of a detector, `(n, 8)`: voxel x, y, z of both corners, ends not included, malignant and score.
    """
    numbers, total = None, 0
    if exam is not None:
        own = Grid(triple(exam["shape"]), np.asarray(exam["affine"]))
        middle = [n / 2 for n in grid.shape[:2]]
        numbers, total = [grid.slice_in(own, [*middle, z]) for z in range(grid.shape[2])], grid.slices_of(own)
    columns = slice(None, None, -1 if mirrored else 1)
    right, front = grid.shape[0] - 1, grid.shape[1] - 1
    shown = np.clip(image / max(np.percentile(image, 99.8), 1e-6), 0, 1)
    if boxes is not None:
        x, y, z, x1, y1, z1, *told = np.asarray(boxes, float).reshape(-1, 8).T
        boxes = np.stack([right + 1 - x1 if mirrored else x, front + 1 - y1, x1 - x, y1 - y, z, z1 - 1, *told], axis=1)
    save_stack(folder, {"exam_id": row["exam_id"], "side": row["side"]}, shown.transpose(2, 1, 0)[:, ::-1, columns],
               None if heat is None else heat.transpose(2, 1, 0)[:, ::-1, columns],
               [(right - x if mirrored else x, front - y, z) for x, y, z, _ in lesions],
               [int(malignant) for *_, malignant in lesions], numbers, total, float(grid.spacing[1] / grid.spacing[0]),
               boxes)
