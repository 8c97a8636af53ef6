"""Synthetic screening mammography: exams of four views, with the truth a breast and a box around each visible finding.

What an exam holds comes from `mammography_specs`, its tissue from `mammography_tissue`, its findings from
`mammography_lesions`, and its files from `mammography_files`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.phantoms import cohort
from pipeline.phantoms.mammography.files import HIGHEST, dicom_bytes, png_bytes
from pipeline.phantoms.mammography.lesions import add_everyday, add_finding, finding_box
from pipeline.phantoms.mammography.specs import ExamSpec, draw_cohort
from pipeline.phantoms.mammography.tissue import Frame, Outline, noise, outline_of, tissue

VERSION = "mammography/1"  # raise it with every change that changes a pixel
VIEWS = ("CC", "MLO")
IMAGES = ("L-CC", "L-MLO", "R-CC", "R-MLO")
QUANTUM = 22.0  # standard deviation of the detector's noise, in grey values


@dataclass(frozen=True)
class Preset:
    """A detector, the usual number of exams, and what they hold.

    Attributes:
        shape: rows and columns.
        spacing: mm a pixel.
        exams: their number.
        diameters: smallest and largest finding in mm.
        shares: `screen` and `interval` cancers (of exams), `benign` lesions (of breasts), `dicom` files (of exams).
    """

    shape: tuple[int, int]
    spacing: float
    exams: int
    diameters: tuple[float, float]
    shares: Mapping[str, float] = field(
        default_factory=lambda: {"screen": 0.3, "interval": 0.07, "benign": 0.2, "dicom": 0.25})

    @property
    def frame(self) -> Frame:
        """The detector's grid."""
        return Frame(self.shape, self.spacing)


PRESETS = {
    # Far more cancers than any screening has, and larger ones, so that a network learns from few exams.
    "demo": Preset((256, 208), 0.91, 240, (12.0, 23.0)),
    # Matrix and pixels of a common detector; one exam in ten with cancer, as in enriched public sets.
    "full": Preset((3328, 2560), 0.07, 400, (7.0, 22.0),
                   {"screen": 0.08, "interval": 0.02, "benign": 0.1, "dicom": 0.25}),
}


class Box(NamedTuple):
    """A visible finding in one image: pixels of the image as stored, ends not included."""

    exam_id: str
    view: str
    lesion_id: int  # from 1, the same in both views of a breast
    malignant: int
    row_min: int
    col_min: int
    row_max: int
    col_max: int


def make_exam(spec: ExamSpec, preset: Preset | str) -> dict[str, np.ndarray]:
    """Render one exam.

    Args:
        spec: what it holds, from `draw_cohort`.
        preset: a preset or its name.

    Returns:
        Image name (`L-CC` …) to uint16 `(rows, columns)`, 0 to 4095 and 0 outside the breast, as stored: left breasts
        have the chest wall at the left edge, right ones at the right; a mirrored exam the other way round.
    """
    frame = (PRESETS[preset] if isinstance(preset, str) else preset).frame
    gain = float(np.random.default_rng([spec.seed, spec.index, 5]).uniform(0.85, 1.15))
    images: dict[str, np.ndarray] = {}
    for side, breast in enumerate(spec.breasts):
        for number, view in enumerate(VIEWS):
            name = f"{breast.side}-{view}"
            now = np.random.default_rng([spec.seed, spec.index, side, number, 7])  # this exam's
            always = np.random.default_rng([breast.anatomy.seed, number])  # the same at each exam of the patient
            outline = _outline(spec, side, number, frame)
            image, mask = tissue(breast.anatomy, outline, frame, always)
            add_everyday(image, outline, frame, always)
            for finding in breast.findings:
                add_finding(image, finding, outline, frame)
            image = gain * image + QUANTUM * noise(frame, 0.6, 4, now)
            pixels = np.where(mask, np.clip(_shoulder(image), 1, HIGHEST), 0).astype(np.uint16)
            _label(pixels, frame)
            flip = wall(spec, breast.side) == "right"
            images[name] = np.ascontiguousarray(pixels[:, ::-1]) if flip else pixels
    return images


def boxes_of(spec: ExamSpec, preset: Preset | str) -> list[Box]:
    """The boxes of an exam's findings, for the images that `make_exam` gives."""
    frame = (PRESETS[preset] if isinstance(preset, str) else preset).frame
    boxes: list[Box] = []
    first = 1
    for side, breast in enumerate(spec.breasts):
        for number, view in enumerate(VIEWS):
            outline = _outline(spec, side, number, frame)
            for i, finding in enumerate(breast.findings, start=first):
                top, left, bottom, right = finding_box(finding, outline, frame)
                if wall(spec, breast.side) == "right":
                    left, right = frame.shape[1] - right, frame.shape[1] - left
                boxes.append(Box(spec.exam_id, f"{breast.side}-{view}", i, finding.malignant, top, left, bottom, right))
        first += len(breast.findings)
    return boxes


def _outline(spec: ExamSpec, side: int, number: int, frame: Frame) -> Outline:
    """How a breast lies in one view at this exam."""
    rng = np.random.default_rng([spec.seed, spec.index, side, number, 6])
    return outline_of(spec.breasts[side].anatomy, VIEWS[number], frame, rng)


def wall(spec: ExamSpec, side: str) -> str:
    """Edge of the stored image at which the chest wall lies."""
    return "left" if (side == "L") != spec.mirrored else "right"


def _shoulder(image: np.ndarray) -> np.ndarray:
    """Compress bright values towards the highest, as processing for presentation does."""
    bend, room = 2200.0, HIGHEST - 2200.0
    return np.where(image > bend, bend + room * (1 - np.exp(-(image - bend) / room)), image)


def _label(pixels: np.ndarray, frame: Frame) -> None:
    """Burn a view marker, a bright frame, into the background: in the corner opposite to the chest wall, at the top."""
    height, width = (max(3, round(mm / frame.spacing)) for mm in (9, 5))
    top, left = round(3 / frame.spacing), frame.shape[1] - width - round(3 / frame.spacing)
    corner = pixels[top : top + height, left : left + width]
    if not corner.any():
        line = max(1, round(0.8 / frame.spacing))
        corner[:] = HIGHEST
        corner[line:-line, line:-line] = 0


def _files(specs: list[ExamSpec], preset: Preset, index: int) -> Mapping[str, bytes]:
    spec = specs[index]
    images = make_exam(spec, preset)
    if spec.stored == "png":
        return {f"{name}.png": png_bytes(pixels) for name, pixels in images.items()}
    return {f"{name}.dcm": dicom_bytes(pixels, name[0], name[2:], preset.spacing, spec.stored, wall(spec, name[0]),
                                       spec.patient_id, spec.exam_id) for name, pixels in images.items()}


def _write_tables(output: Path, specs: list[ExamSpec], preset: Preset) -> None:
    rows = []
    for s in specs:
        ending = "png" if s.stored == "png" else "dcm"
        labels = [value for breast in s.breasts for value in (breast.malignant, breast.benign)]
        scores = [breast.scores[reader] for reader in range(2) for breast in s.breasts]
        rows.append([s.exam_id, s.patient_id, *(f"exams/{s.exam_id}/{name}.{ending}" for name in IMAGES), *labels,
                     *scores, s.detection, s.density])
    columns = ["exam_id", "patient_id", *IMAGES, "left_malignant", "left_benign", "right_malignant", "right_benign",
               "reader1_left", "reader1_right", "reader2_left", "reader2_right", "group_detection", "group_density"]
    cohort.write_csv(output / "exams.csv", columns, rows)
    cohort.write_csv(output / "boxes.csv", Box._fields, [box for s in specs for box in boxes_of(s, preset)])


_README = """\
Synthetic screening mammography: {exams} exams of four views. No patient was imaged; not for clinical use.

Written by: python -m pipeline phantom mammography --preset {preset} --exams {exams} --seed {seed}
({version}). The same command gives the same files.

exams/E0001/   L-CC, L-MLO, R-CC, R-MLO: PNG (16 bits) or DICOM, values 0 to 4095, 0 in the background. PNG: left
               breasts have the chest wall at the left edge, right ones at the right. DICOM: MONOCHROME1 or 2, some
               mirrored; the header says so.
exams.csv      one row an exam; labels a breast, two readers' scores (1 to 5) a breast. group_detection: cancers are
               found by the screening or appear in the interval after it; an interval cancer counts as malignant,
               though most show nothing. group_density: a to d. An exam before that of the cancer is negative.
boxes.csv      every visible finding in each view: pixels of the stored image, the ends (row_max, col_max) not included

Datalist: python -m data_lists csv exams.csv --modality MG -o list.json

Every breast, healthy or not, may have vessels, single calcifications, knots of tissue and nodes. Malignant findings
have spicules or clusters of fine calcifications, benign ones are smooth or have few round calcifications.
"""

PHANTOM = cohort.Phantom(
    VERSION, PRESETS, lambda preset, seed: draw_cohort(preset.exams, preset.shares, preset.diameters, seed), _files,
    _write_tables, _README)
write_cohort = PHANTOM.write
