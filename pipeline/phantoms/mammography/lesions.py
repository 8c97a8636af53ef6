"""Findings of a synthetic mammogram, and what every breast may have besides: vessels, nodes, folds."""

from __future__ import annotations

import numpy as np

from pipeline.phantoms.mammography.specs import Finding
from pipeline.phantoms.mammography.tissue import Frame, Outline

MASS = {1: 450.0, 0: 700.0}  # grey values above the tissue, by malignant, for a conspicuity of 1
SPICULES, GRAINS, STRAY = 1200.0, 2600.0, 1000.0


def finding_box(finding: Finding, outline: Outline, frame: Frame) -> tuple[int, int, int, int]:
    """A finding's box in pixels: first row, first column, and the row and column behind the last ones."""
    reach = finding.diameter_mm / 2 * (2.0 if "spiculated" in finding.form else 1.15)
    return _box(*outline.place(finding.depth, finding.lateral, finding.upper), reach, frame)


def add_finding(image: np.ndarray, finding: Finding, outline: Outline, frame: Frame) -> None:
    """Add a finding to a view, in place.

    Args:
        image: grey values `(rows, columns)`, chest wall at the left.
        finding: the same finding gives another outline in each view, at the same distance from the chest wall.
        outline: how the breast lies in this view.
        frame: the detector.
    """
    rng = np.random.default_rng([finding.seed, outline.view == "MLO"])
    row, column = outline.place(finding.depth, finding.lateral, finding.upper)
    radius = finding.diameter_mm / 2
    if finding.form == "smooth":
        _mass(image, row, column, radius, MASS[0] * finding.conspicuity, (2,), 0.1, frame, rng)
    elif finding.form == "round calcifications":
        _grains(image, row, column, radius, GRAINS * finding.conspicuity, 3, 0.75, frame, rng)
    if "spiculated" in finding.form:
        _mass(image, row, column, 0.55 * radius, MASS[1] * finding.conspicuity, (2, 3, 5, 7), 0.13, frame, rng)
        _spicules(image, row, column, radius, SPICULES * finding.conspicuity, frame, rng)
    if "cluster" in finding.form:
        _grains(image, row, column, 0.8 * radius, GRAINS * finding.conspicuity, int(rng.integers(18, 30)), 0.3, frame,
                rng)


def add_everyday(image: np.ndarray, outline: Outline, frame: Frame, rng: np.random.Generator) -> None:
    """Add what any breast may have, in place: vessels, stray calcifications, knots of tissue, a fold, nodes."""
    for _ in range(int(rng.integers(0, 3))):
        _vessel(image, outline, frame, rng)
    for _ in range(int(rng.integers(0, 4))):
        row, column = _anywhere(outline, rng)
        _grains(image, row, column, 1.0, STRAY * rng.uniform(0.5, 1.5), 1, rng.uniform(0.3, 0.8), frame, rng)
    for _ in range(int(rng.integers(0, 4))):
        row, column = _anywhere(outline, rng)
        _mass(image, row, column, rng.uniform(4, 11), rng.uniform(100, 450), (2, 3, 4), 0.3, frame, rng, soft=2.5)
    if rng.random() < 0.9:
        _fold(image, outline, frame, rng)
    if outline.view == "MLO":
        for _ in range(int(rng.integers(0, 4))):
            row, column = rng.uniform(4, 0.3 * outline.nipple), rng.uniform(0.1, 0.75) * outline.axilla
            _mass(image, row, column, rng.uniform(3, 6.5), rng.uniform(250, 600), (2,), 0.25, frame, rng)


def _anywhere(outline: Outline, rng: np.random.Generator) -> tuple[float, float]:
    return outline.place(float(rng.uniform(0.1, 0.85)), *(float(x) for x in rng.uniform(-0.9, 0.9, 2)))


def _box(row: float, column: float, reach: float, frame: Frame) -> tuple[int, int, int, int]:
    """A square around a place in mm, cut at the image's edges."""
    top, left = (max(int((x - reach) / frame.spacing), 0) for x in (row, column))
    bottom, right = (min(int(np.ceil((x + reach) / frame.spacing)), n)
                     for x, n in zip((row, column), frame.shape, strict=True))
    return top, left, bottom, right


def _around(row: float, column: float, reach: float,
            frame: Frame) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """The part of the image within `reach` of a place, and its pixels' rows and columns from there, in mm."""
    top, left, bottom, right = _box(row, column, reach, frame)
    rows, columns = frame.axes()
    return (slice(top, bottom), slice(left, right)), rows[top:bottom] - row, columns[:, left:right] - column


def _mass(image: np.ndarray, row: float, column: float, radius: float, height: float, waves: tuple[int, ...],
          depth: float, frame: Frame, rng: np.random.Generator, soft: float = 0.9) -> None:
    """A rounded density; `waves` with a relative `depth` make its edge uneven, `soft` mm make it blurred."""
    where, down, across = _around(row, column, 2 * radius + 4 * soft, frame)
    angle, phases = np.arctan2(down, across), rng.uniform(0, 2 * np.pi, len(waves))
    edge = radius * (1 + depth * sum(np.cos(n * angle + p) for n, p in zip(waves, phases, strict=True)))
    distance = np.hypot(down, across)
    full = 1 / (1 + np.exp(np.clip((distance - edge) / soft, -30, 30)))
    image[where] += height * full * (0.75 + 0.25 * np.sqrt(np.clip(1 - (distance / (1.3 * radius)) ** 2, 0, 1)))


def _spicules(image: np.ndarray, row: float, column: float, radius: float, height: float, frame: Frame,
              rng: np.random.Generator) -> None:
    """Thin lines that run out of a mass, up to twice its radius, each with a length and a bend of its own."""
    where, down, across = _around(row, column, 2.0 * radius, frame)
    distance, angle = np.hypot(down, across), np.arctan2(down, across)
    count, width = int(rng.integers(11, 17)), max(0.4, 0.7 * frame.spacing)
    lines = np.zeros(distance.shape, np.float32)
    for i in range(count):
        direction = 2 * np.pi * (i + rng.uniform(-0.3, 0.3)) / count + rng.normal(0, 0.02) * distance
        off = distance * np.abs(np.sin((angle - direction) / 2)) * 2
        length = radius * rng.uniform(1.2, 2.0)
        fade = np.clip((length - distance) / (0.5 * length), 0, 1)
        lines = np.maximum(lines, np.exp(-((off / width) ** 2)) * fade)
    image[where] += height * lines


def _grains(image: np.ndarray, row: float, column: float, spread: float, height: float, count: int, size: float,
            frame: Frame, rng: np.random.Generator) -> None:
    """Calcifications: bright grains of about `size` mm (no finer than the pixels), within an ellipse."""
    stretch, turn = rng.uniform(0.5, 1), rng.uniform(0, np.pi)
    for _ in range(count):
        far, angle = spread * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        u, v = far * np.cos(angle), far * stretch * np.sin(angle)
        place = row + u * np.cos(turn) - v * np.sin(turn), column + u * np.sin(turn) + v * np.cos(turn)
        sigma = max(size * rng.uniform(0.6, 1.3), 0.6 * frame.spacing)
        where, down, across = _around(*place, 4 * sigma, frame)
        image[where] += height * rng.uniform(0.4, 1) * np.exp(-(down**2 + across**2) / (2 * sigma**2))


def _vessel(image: np.ndarray, outline: Outline, frame: Frame, rng: np.random.Generator) -> None:
    """A winding tube from the chest wall towards the nipple."""
    rows, columns = frame.axes()
    start = outline.nipple + rng.uniform(-0.7, 0.7) * min(outline.reach)
    bend, phase, wave = rng.uniform(3, 7), rng.uniform(0, 6), rng.uniform(13, 24)
    share = columns / outline.depth
    path = start + (outline.nipple - start) * 0.6 * share + bend * np.sin(columns / wave + phase)
    width = rng.uniform(0.7, 1.3)
    image += rng.uniform(50, 120) * np.exp(-(((rows - path) / width) ** 2)) * (share < rng.uniform(0.5, 0.9))


def _fold(image: np.ndarray, outline: Outline, frame: Frame, rng: np.random.Generator) -> None:
    """A fold of skin at the chest wall, below or (CC only) above: bright, and soft towards the breast."""
    rows, columns = frame.axes()
    above = outline.view == "CC" and rng.random() < 0.5
    end = outline.nipple - outline.reach[0] if above else outline.nipple + outline.reach[1]
    height, width = rng.uniform(7, 17), rng.uniform(20, 50)
    image += rng.uniform(900, 2500) * np.exp(-(((rows - end) / height) ** 2) - (columns / width) ** 2)
