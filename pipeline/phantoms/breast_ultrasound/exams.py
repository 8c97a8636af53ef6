"""Synthetic automated breast ultrasound: volumes of healthy and diseased breasts with the truth.

One exam is one volume: two volumes of a patient do not share a space. What a volume holds comes from
`ultrasound_specs`, its tissues from `ultrasound_tissue`, and the image from `ultrasound_echo`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.phantoms import cohort
from pipeline.phantoms.breast_ultrasound.echo import Beam, acquire
from pipeline.phantoms.breast_ultrasound.specs import VolumeSpec, draw_cohort
from pipeline.phantoms.breast_ultrasound.tissue import Frame, coverage, render

VERSION = "breast_ultrasound/1"  # raise it with every change that changes a voxel
FINEST = (0.6, 0.15, 1.0)  # mm along (lateral, depth, sweep): tissues are laid out no finer


@dataclass(frozen=True)
class Preset:
    """A scanner's matrix (lateral, depth, sweep), its spacing in mm, its beam, and the usual number of volumes."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    beam: Beam
    exams: int = 120

    @property
    def frame(self) -> Frame:
        """The image's grid."""
        return Frame(self.shape, self.spacing)

    @property
    def field(self) -> tuple[float, float]:
        """Width and length of the sweep in mm."""
        return self.shape[0] * self.spacing[0], self.shape[2] * self.spacing[2]


PRESETS = {
    # A coarser and smaller matrix, with a beam as coarse: speckle covers about as many voxels as in `full`.
    "demo": Preset((128, 128, 64), (0.9, 0.35, 1.7), Beam(0.28, (0.65, 1.2), 1.1), 120),
    # Matrix and spacing of the public challenge set (865 × 682 × 354), number of volumes of the paper's table 1.
    "full": Preset((865, 682, 354), (0.2, 0.073, 0.475674), Beam(0.11, (0.3, 0.7), 0.6), 904),
}


def make_exam(spec: VolumeSpec, preset: Preset | str, rng: np.random.Generator) -> dict[str, Any]:
    """Render one volume.

    Args:
        spec: what the volume holds, from `draw_cohort`.
        preset: a preset or its name.
        rng: everything that the spec leaves open comes from it.

    Returns:
        `image`: uint8 (i, j, k) = (lateral, depth, sweep), Fortran order.
        `lesions_mask`: uint8, 0 or the number (from 1) of a lesion in `spec.lesions`.
        `affine`: 4 × 4, voxel index to RAS mm; i runs to the left, j to posterior, k to superior, turned around the
            sweep's axis by `spec.tilt`.
    """
    preset = PRESETS[preset] if isinstance(preset, str) else preset
    frame = preset.frame
    step = [max(a, b) for a, b in zip(frame.spacing, FINEST, strict=True)]
    counts = [int(np.ceil(n * a / b)) for n, a, b in zip(frame.shape, frame.spacing, step, strict=True)]
    # As many whole cells as cover the image, so that both grids share their outer edges.
    sizes = [n * a / count for n, a, count in zip(frame.shape, frame.spacing, counts, strict=True)]
    coarse = Frame((counts[0], counts[1], counts[2]), (sizes[0], sizes[1], sizes[2]))
    # One draw whatever their number: a volume differs from the same one without lesions only where they are.
    outlines = np.random.default_rng(int(rng.integers(2**63)))
    shapes = [int(seed) for seed in outlines.integers(2**31, size=len(spec.lesions))]
    gain = float(np.clip(rng.normal(0, 2.0), -4, 4))
    echo, loss = render(spec, coarse, rng, shapes)
    image = acquire(echo, loss, coarse, frame, preset.beam, gain, rng)
    mask = np.zeros(image.shape, np.uint8)
    for i, (lesion, seed) in enumerate(zip(spec.lesions, shapes, strict=True), start=1):
        if (found := coverage(lesion, frame, seed)) is not None:
            box, part = found
            mask[box][part >= 0.4] = i
        mask[tuple(np.rint(frame.grid().index(np.array(lesion.place))).astype(int)[::-1])] = i
    return {"image": image.T, "lesions_mask": mask.T, "affine": affine_of(spec, preset)}


def affine_of(spec: VolumeSpec, preset: Preset) -> np.ndarray:
    """Voxel index to RAS mm, as the file will hold it: the skin lies 90 mm in front of the patient's middle."""
    turn = np.radians(spec.tilt)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([-preset.spacing[0], -preset.spacing[1], preset.spacing[2]])
    middle = np.array([(preset.shape[0] - 1) / 2, 0, (preset.shape[2] - 1) / 2])
    place = np.array([85.0 if spec.side == "R" else -85.0, 90.0, 0.0])
    affine[:3, 3] = place - affine[:3, :3] @ middle
    return np.round(affine, 6)


def centers_mm(spec: VolumeSpec, preset: Preset) -> list[np.ndarray]:
    """The lesions' centres in RAS mm."""
    affine, grid = affine_of(spec, preset), preset.frame.grid()
    return [affine[:3, :3] @ grid.index(np.array(lesion.place)) + affine[:3, 3] for lesion in spec.lesions]


def _files(specs: list[VolumeSpec], preset: Preset, index: int) -> Mapping[str, bytes]:
    spec = specs[index]
    exam = make_exam(spec, preset, np.random.default_rng([spec.seed, spec.index]))
    return {f"{name}.nrrd": cohort.nrrd_bytes(exam[name], exam["affine"]) for name in ("image", "lesions_mask")}


def _write_tables(output: Path, specs: list[VolumeSpec], preset: Preset) -> None:
    rows = []
    for s in specs:
        labels = {side: [s.label(1), s.label(0)] if side == s.side else ["", ""] for side in "LR"}
        rows.append([s.exam_id, s.patient_id, *(f"exams/{s.exam_id}/{name}.nrrd" for name in ("image", "lesions_mask")),
                     int(s.side == "L"), int(s.side == "R"), *labels["L"], *labels["R"], s.layers.density])
    columns = ["exam_id", "patient_id", "image", "lesions_mask", "left_imaged", "right_imaged", "left_malignant",
               "left_benign", "right_malignant", "right_benign", "group_density"]
    cohort.write_csv(output / "exams.csv", columns, rows)
    rows = [
        [s.exam_id, i, s.side, *(f"{c:.2f}" for c in center), lesion.malignant, f"{lesion.diameter_mm:.2f}",
         lesion.margin, lesion.posterior]
        for s in specs for i, (lesion, center) in enumerate(zip(s.lesions, centers_mm(s, preset), strict=True), start=1)
    ]
    columns = ["exam_id", "lesion_id", "side", "x_mm", "y_mm", "z_mm", "malignant", "diameter_mm", "margin",
               "note_posterior"]
    cohort.write_csv(output / "lesions.csv", columns, rows)


_README = """\
Synthetic automated breast ultrasound: {exams} volumes. No patient was imaged; not for clinical use.

Written by: python -m pipeline phantom breast_ultrasound --preset {preset} --exams {exams} --seed {seed}
({version}). The same command gives the same files.

exams/E0001/   image (uint8; axes: lateral, depth, sweep) and lesions_mask (the truth: 0 or the lesion_id)
exams.csv      one row a volume, of one breast; labels, 0 or 1, are empty for the breast that was not imaged.
               A volume without a lesion has 0 in both labels. Most patients have two volumes, one a breast.
lesions.csv    every lesion: centre in RAS millimetres of its own volume (x grows to the patient's right, y to
               anterior, z to superior), diameter of the sphere of its expected volume

Datalist: python -m data_lists csv exams.csv --lesions lesions.csv --modality US -o list.json

Every volume, healthy or not, has other dark places: fat between the gland's lobes, ducts, shadows of nipple, ligaments
and ribs, edges without contact. Malignant lesions are more often irregular, with a shadow behind; benign ones smooth
and brighter behind; both overlap.
"""

PHANTOM = cohort.Phantom(VERSION, PRESETS, lambda preset, seed: draw_cohort(preset.exams, preset.field, seed), _files,
                         _write_tables, _README)
write_cohort = PHANTOM.write
