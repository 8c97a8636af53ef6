"""Synthetic bilateral axial breast DCE-MRI: five T1 phases on one grid and T2 on another, with the truth.

Phases are not rendered one by one: each is the image before contrast plus maps of enhancement times curves.
The tissues come from `breast_tissue`, lesions and vessels from `breast_shapes`, labels from `breast_specs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from pipeline.phantoms import cohort
from pipeline.phantoms.breast_mri import tissue
from pipeline.phantoms.breast_mri.shapes import Grid, LesionShape, tubes
from pipeline.phantoms.breast_mri.specs import BREAST_SHARES, SIDES, SPECTRUM_SHARES, ExamSpec, draw_cohort
from transforms.grid import triple

PHASES = ("pre", "post1", "post2", "post3", "post4")  # 70 s apart
VERSION = "breast_mri/2"  # raise it with every change that changes a voxel. 2: another share of healthy breasts

# Enhancement over post1 … post4 relative to its mean: kinetics say nothing about how much a lesion enhances.
CURVES = {
    "persistent": (0.70, 0.93, 1.12, 1.25),
    "plateau": (0.94, 1.04, 1.02, 1.00),
    "washout": (1.22, 1.07, 0.91, 0.80),
}
SLOPE = np.array([-0.5, -0.15, 0.2, 0.45])  # how a curve varies from lesion to lesion; adds up to 0
BACKGROUND = (0.08, 0.2, 0.4, 0.65)  # parenchymal enhancement: minimal, mild, moderate, marked
BACKGROUND_CHANCES = (0.3, 0.35, 0.23, 0.12)
NOISE = 0.022  # sd of each of the two channels, relative to fat's T1


@dataclass(frozen=True)
class Preset:
    """Matrices, the population, and the usual number of exams."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]  # mm
    t2_shape: tuple[int, int, int]
    t2_spacing: tuple[float, float, float]
    exams: int = 100
    shares: Mapping[str, float] = field(default_factory=lambda: dict(BREAST_SHARES), metadata=cohort.LATER)
    shapes: tuple[tuple[int, int, int], ...] = field(default=(), metadata=cohort.LATER)  # smallest and largest matrix

    def of(self, spec: ExamSpec) -> Preset:
        """This preset with one exam's matrix: drawn between the two `shapes`, where there are, in one field of view.

        Rows and columns grow together, slices are drawn on their own.
        """
        if not self.shapes:
            return self
        rng = np.random.default_rng([spec.seed, spec.index, 5])  # the other streams stay as they are
        low, high = np.array(self.shapes)
        plane = low[:2] + np.rint(rng.random() * (high - low)[:2]).astype(int)
        shape = triple([*plane, rng.integers(low[2], high[2] + 1)])
        mm = np.array(self.shape) * self.spacing / shape
        return replace(self, shape=shape, spacing=(float(mm[0]), float(mm[1]), float(mm[2])), shapes=())


PRESETS = {
    "demo": Preset((192, 192, 20), (1.6, 1.6, 6.0), (160, 160, 16), (1.92, 1.92, 7.5), 100),
    "full": Preset((512, 512, 40), (0.6, 0.6, 3.0), (384, 384, 30), (0.8, 0.8, 4.0), 408),
    "spectrum": Preset((128, 128, 12), (2.4, 2.4, 10.0), (64, 64, 8), (4.8, 4.8, 15.0), 300, dict(SPECTRUM_SHARES),
                       ((112, 112, 10), (144, 144, 14))),
    "thin": Preset((448, 448, 160), (0.7, 0.7, 1.0), (384, 384, 30), (0.8, 0.8, 4.0), 8),
}


def make_exam(spec: ExamSpec, preset: Preset | str, rng: np.random.Generator) -> dict[str, Any]:
    """Render one exam.

    Args:
        spec: what the exam holds, from `draw_cohort`.
        preset: a preset or its name.
        rng: everything that the spec leaves open comes from it.

    Returns:
        `pre` to `post4` and `t2`: int16 (i, j, k).
        `lesions_mask`: uint8 on the grid of `pre`, 0 or the number (from 1) of a lesion in `spec.lesions`.
        `affine` (phases and mask) and `t2_affine`: 4 × 4, voxel index to RAS mm; i runs to the left,
        j to posterior, k to superior, turned by up to 2° an axis.
    """
    preset = (PRESETS[preset] if isinstance(preset, str) else preset).of(spec)
    t1_grid, t2_grid = _grids(preset, rng)
    fields = tissue.lattice_fields(spec, rng)
    pieces = tubes(spec, rng)
    shapes = [LesionShape(lesion, rng) for lesion in spec.lesions]
    lesion_t1 = tissue.T1["fibroglandular"] * rng.uniform(0.85, 1.05, len(shapes))
    lesion_t2 = tissue.T2["fibroglandular"] * rng.uniform(0.7, 1.5, len(shapes))
    amplitudes = np.clip(rng.lognormal(np.log(1.15), 0.25, len(shapes)), 0.65, 2.0)
    slopes = rng.normal(0, 0.12, len(shapes))
    # The curves of healthy tissue vary from patient to patient.
    slow = np.array(CURVES["persistent"]) - SLOPE * rng.uniform(-0.1, 0.6)
    fast = np.array(CURVES["washout"]) - SLOPE * rng.uniform(-0.3, 0.5)
    blood = tissue.T1["blood"] * rng.uniform(1.4, 2.4)
    background = BACKGROUND[rng.choice(4, p=BACKGROUND_CHANCES)] * rng.uniform(0.8, 1.25)
    gains = 250 * rng.lognormal(0, 0.2, 2)
    moves = np.clip(rng.normal(0, (0.3, 0.3, 0.2), (len(PHASES), 3)), -1, 1)  # mm
    moves[0] = 0

    exam: dict[str, Any] = {"affine": t1_grid.affine, "t2_affine": t2_grid.affine}
    pre, slow_map, fast_map, coil = tissue.t1_maps(spec, fields, t1_grid, pieces, background, blood)
    mask = np.zeros(preset.shape, np.uint8)
    local = []  # (box, map, curve) of each lesion
    for i, shape in enumerate(shapes):
        if (found := shape.coverage(t1_grid)) is None:
            continue
        box, part = found
        for replaced in (pre, slow_map, fast_map):
            replaced[box] *= 1 - part
        texture = 1 + 0.15 * ndimage.gaussian_filter(rng.standard_normal(part.shape), 0.7)
        pre[box] += part * lesion_t1[i]
        curve = np.array(CURVES[shape.lesion.kinetics]) + SLOPE * slopes[i]
        local.append((box, (part * texture * lesion_t1[i] * amplitudes[i]).astype(np.float32), curve))
        mask[box][part >= 0.4] = i + 1
        center = tuple(np.rint(t1_grid.index(np.array(shape.lesion.center_mm))).astype(int))
        mask[center] = i + 1  # a small lesion between two slices fills no voxel by much
    for number, phase in enumerate(PHASES):
        image = pre.copy()
        if number:
            image += slow_map * np.float32(slow[number - 1])
            image += fast_map * np.float32(fast[number - 1])
            for box, enhancement, curve in local:
                image[box] += enhancement * np.float32(curve[number - 1])
        image = tissue.moved(image * coil, moves[number] / t1_grid.spacing)
        exam[phase] = tissue.acquired(image, gains[0], NOISE, rng)
    exam["lesions_mask"] = mask

    t2, coil = tissue.t2_map(spec, fields, t2_grid, pieces)
    for i, shape in enumerate(shapes):
        if (found := shape.coverage(t2_grid)) is not None:
            box, part = found
            t2[box] += part * (lesion_t2[i] - t2[box])
    exam["t2"] = tissue.acquired(t2 * coil, gains[1], NOISE, rng)
    return exam


def _files(specs: list[ExamSpec], preset: Preset, index: int) -> Mapping[str, bytes]:
    spec = specs[index]
    exam = make_exam(spec, preset, np.random.default_rng([spec.seed, spec.index]))
    affines = dict.fromkeys((*PHASES, "lesions_mask"), exam["affine"]) | {"t2": exam["t2_affine"]}
    return {f"{name}.nii.gz": cohort.nifti_bytes(exam[name], affine) for name, affine in affines.items()}


def _write_tables(output: Path, specs: list[ExamSpec], preset: Preset) -> None:
    images = [*PHASES, "t2", "lesions_mask"]
    rows = [
        [s.exam_id, s.patient_id, *(f"exams/{s.exam_id}/{image}.nii.gz" for image in images),
         *(s.label(side, malignant) for side in SIDES for malignant in (1, 0)),
         s.anatomy.density, *(s.readers[side] for side in SIDES)]
        for s in specs
    ]
    columns = ["exam_id", "patient_id", *images, "left_malignant", "left_benign", "right_malignant",
               "right_benign", "group_density", "reader1_left", "reader1_right"]
    cohort.write_csv(output / "exams.csv", columns, rows)
    rows = [
        [s.exam_id, i, lesion.side, *(f"{c:.2f}" for c in lesion.center_mm), lesion.malignant,
         f"{lesion.diameter_mm:.2f}", lesion.kinetics, lesion.margin]
        for s in specs for i, lesion in enumerate(s.lesions, start=1)
    ]
    columns = ["exam_id", "lesion_id", "side", "x_mm", "y_mm", "z_mm", "malignant", "diameter_mm", "kinetics",
               "margin"]
    cohort.write_csv(output / "lesions.csv", columns, rows)


def _grids(preset: Preset, rng: np.random.Generator) -> tuple[Grid, Grid]:
    """Slightly oblique grids; T2 has the rotation of the phases and an origin of its own."""
    angles = np.clip(rng.normal(0, 1.0, 3), -2, 2)
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(angles)):
        plane = [i for i in range(3) if i != axis]
        step = np.eye(3)
        step[np.ix_(plane, plane)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        turn = turn @ step
    center = np.array([0, 5, 0]) + np.clip(rng.normal(0, (2, 6, 2)), -10, 10) * (1, 1, 0.5)
    t2_center = center + rng.uniform(-4, 4, 3)
    return (_grid(preset.shape, preset.spacing, turn, center),
            _grid(preset.t2_shape, preset.t2_spacing, turn, t2_center))


def _grid(shape: tuple[int, int, int], spacing: tuple[float, float, float], turn: np.ndarray,
          center: np.ndarray) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-spacing[0], -spacing[1], spacing[2]])
    affine[:3, 3] = center - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    affine = affine.astype(np.float32).astype(float)  # as the file will hold it
    return Grid(shape, affine)


_README = """\
Synthetic breast MRI: {exams} bilateral axial exams. No patient was imaged; not for clinical use.

Written by: python -m pipeline phantom breast_mri --preset {preset} --exams {exams} --seed {seed}
({version}). The same command gives the same files.

exams/E0001/   pre, post1 to post4 (T1 with contrast, 70 s apart), t2, and lesions_mask (the truth: 0 or the
               lesion_id, on the grid of pre)
exams.csv      labels, 0 or 1; L is the patient's left. Some patients have two exams.
lesions.csv    every lesion: centre in RAS millimetres (x grows to the patient's right, y to anterior, z to
               superior), diameter of the sphere of its expected volume

{cohort.shares[malignant]:.0%} of the breasts are malignant, {cohort.shares[none]:.0%} hold no lesion, the rest benign
lesions only. Malignant and benign
lesions differ in kinetics and margin and in nothing else, and both overlap: no method tells them all apart.

reader1_left and reader1_right come from no reader. They simulate one: a score from 1 to 5 drawn from a noisy
view of the truth, with an AUROC of about 0.93 for malignant breasts.
"""

PHANTOM = cohort.Phantom(VERSION, PRESETS,
                         lambda preset, seed: draw_cohort(preset.exams, seed, preset.shares), _files, _write_tables,
                         _README)
write_cohort = PHANTOM.write
