"""What a synthetic breast MRI cohort holds, before anything is rendered: anatomy, lesions and labels.

Benign and malignant lesions differ in kinetics and in margin and in nothing else. Their number in a breast,
their sizes and places are drawn before it is known which are malignant; `breast_mri` draws enhancement blind
to it.

All positions are RAS millimetres: x grows to the patient's Right, y to Anterior, z to Superior. Anatomy is
laid out around the patient's own midline: u = x − `midline_mm`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.phantoms.cohort import spread

SIDES = ("L", "R")
KINETICS = ("persistent", "plateau", "washout")
# Of breasts, as in the curriculum paper's cohort (§2): 40.4 % are malignant; its lesions leave about a fifth with
# a benign one only, and the rest without any.
BREAST_SHARES = {"malignant": 0.404, "none": 0.396, "benign": 0.2}
# Of breasts, as in the doubly deep paper's cohort (§2), everybody who comes for an MRI: of 8632 exams 1114 have
# malignant, 2148 benign and 918 both findings. Read as three groups (918 within 1114 would leave hardly a cancer
# without a benign finding beside it), 2032 breasts or more of 17264 are malignant, 3066 or more hold a benign finding;
# where lesions lie as below, a quarter of the malignant breasts are among them.
SPECTRUM_SHARES = {"malignant": 0.118, "none": 0.732, "benign": 0.15}
DENSITY_SHARES = {"a": 0.1, "b": 0.4, "c": 0.4, "d": 0.1}  # of patients
REPEAT_SHARE = 0.05  # of patients have a second exam
LESION_NUMBERS = (0.6, 0.27, 0.13)  # chance of one, two, three lesions in a breast that has any
KINETICS_CHANCES = {0: (0.65, 0.28, 0.07), 1: (0.07, 0.28, 0.65)}  # by malignant, in the order of KINETICS
SPICULATED_CHANCE = {0: 0.2, 1: 0.7}
DIAMETERS = (5.0, 25.0)  # mm, log-uniform between
REACH = 1.5  # no part of a lesion is farther from its centre than this times its radius
READER_SHIFT = 2.2  # of the impression of a malignant breast, in sd; scored on five levels: AUROC about 0.93
READER_LEVELS = (-0.6, 0.4, 1.2, 2.1)  # impressions above these raise the score from 1 to 2, 3, 4, 5


@dataclass(frozen=True)
class Breast:
    """Half an ellipsoid on the chest wall: centre (u, y, z) at its base and semi-axes, in mm."""

    center: tuple[float, float, float]
    axes: tuple[float, float, float]  # half width, depth towards anterior, half height

    def depth(self, points: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Approximate depth below the ellipsoid's surface in mm (negative outside) of points (u, y, z)."""
        return _ellipsoid_depth([(points[i] - self.center[i]) for i in range(3)], self.axes)


@dataclass(frozen=True)
class Anatomy:
    """One patient's build. The thorax is an elliptical cylinder along z that reaches y = 0 at the midline."""

    thorax: tuple[float, float]  # semi-axes along u and y, mm
    subcutaneous_mm: float  # fat between the chest wall and the skin, away from the breasts
    density: str  # a (fatty) to d (dense)
    breasts: dict[str, Breast]

    def chest_depth(self, points: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Approximate depth behind the chest wall in mm (negative in front of it) of points (u, y, z)."""
        return _ellipsoid_depth([points[0], points[1] + self.thorax[1]], self.thorax)


@dataclass(frozen=True)
class Lesion:
    """One lesion of the truth."""

    side: str
    center_mm: tuple[float, float, float]  # (x, y, z), RAS
    diameter_mm: float  # of the sphere of the lesion's expected volume
    malignant: int
    kinetics: str
    margin: str  # smooth or spiculated


@dataclass(frozen=True)
class ExamSpec:
    """Everything about one exam except its voxels."""

    exam_id: str
    patient_id: str
    seed: int
    index: int  # of the exam in its cohort; with the seed, what its voxels are drawn from
    patient: int  # two exams of one patient share anatomy and the texture of the breasts
    midline_mm: float  # x of the patient's midline
    anatomy: Anatomy
    lesions: tuple[Lesion, ...] = ()
    readers: dict[str, int] = field(default_factory=dict)  # side -> simulated score, 1 to 5

    def label(self, side: str, malignant: int) -> int:
        """1 where the breast holds a malignant (or, with 0, a benign) lesion, else 0."""
        return int(any(lesion.side == side and lesion.malignant == malignant for lesion in self.lesions))


def draw_cohort(exams: int, seed: int = 0, shares: Mapping[str, float] = BREAST_SHARES) -> list[ExamSpec]:
    """Draw the specs of a cohort; shares are met as exactly as whole numbers allow.

    Args:
        exams: number of exams, two breasts each.
        seed: not negative; the same seed, number and shares give the same cohort.
        shares: of breasts that are `malignant`, hold `none` or only `benign` lesions; they add up to 1.
    """
    # The last number keeps the streams apart: 1 lesions, 2 anatomy, 3 textures, 4 cohort; none: voxels.
    rng = np.random.default_rng([seed, 0, 4])
    repeats = round(exams * REPEAT_SHARE / (1 + REPEAT_SHARE))
    patients = np.arange(exams - repeats)
    patients = rng.permutation(np.concatenate([patients, rng.permutation(patients)[:repeats]]))
    kinds = spread(shares, 2 * exams, rng)
    densities = spread(DENSITY_SHARES, exams - repeats, rng)
    impressions = rng.standard_normal(2 * exams)
    specs = []
    for index, patient in enumerate(patients.tolist()):
        anatomy = _draw_anatomy(np.random.default_rng([seed, patient, 2]), densities[patient])
        exam = np.random.default_rng([seed, index, 1])
        midline = float(np.clip(exam.normal(0, 3), -6, 6))
        if exam.random() < 0.2:  # some patients lie off-centre
            midline = float(exam.choice([-1, 1]) * exam.uniform(8, 18))
        lesions: list[Lesion] = []
        readers = {}
        for i, side in enumerate(SIDES, start=2 * index):
            if kinds[i] != "none":
                lesions += _draw_lesions(exam, anatomy, side, midline, kinds[i] == "malignant")
            impression = impressions[i] + READER_SHIFT * (kinds[i] == "malignant")
            readers[side] = 1 + int(np.searchsorted(READER_LEVELS, impression))
        names = f"E{index + 1:04d}", f"P{patient + 1:04d}"
        specs.append(ExamSpec(*names, seed, index, patient, midline, anatomy, tuple(lesions), readers))
    return specs


def _draw_anatomy(rng: np.random.Generator, density: str) -> Anatomy:
    thorax = (float(rng.uniform(146, 158)), float(rng.uniform(98, 112)))
    size = rng.uniform(50, 64)
    height, depth = rng.uniform(0.92, 1.05), rng.uniform(1.2, 1.75)
    gap, base = rng.uniform(8, 15), rng.uniform(-6, 6)
    breasts = {}
    for side, sign in (("L", -1), ("R", 1)):
        width, reach, high = size * rng.uniform(0.95, 1.05, 3)  # a few per cent of asymmetry
        u = width + gap
        front = thorax[1] * (np.sqrt(1 - (u / thorax[0]) ** 2) - 1)  # y of the chest wall behind the breast
        center = (sign * u, front - 8, base + rng.uniform(-2, 2))
        axes = (width, depth * reach, height * high)
        breasts[side] = Breast(tuple(map(float, center)), tuple(map(float, axes)))  # type: ignore[arg-type]
    return Anatomy(thorax, float(rng.uniform(8, 16)), density, breasts)


def _draw_lesions(rng: np.random.Generator, anatomy: Anatomy, side: str, midline: float,
                  bad: bool) -> list[Lesion]:
    number = 1 + int(rng.choice(len(LESION_NUMBERS), p=LESION_NUMBERS))
    placed: list[tuple[np.ndarray, float]] = []
    for _ in range(number):
        diameter = float(np.exp(rng.uniform(*np.log(DIAMETERS))))
        while (center := _place(rng, anatomy, side, diameter, placed)) is None:
            diameter = max(0.9 * diameter, DIAMETERS[0])  # too large for what is left of the breast
        placed.append((center, diameter))
    # Drawn after the places, so that being malignant says nothing about them.
    labels = (rng.random(number) < 0.5) & bad
    if bad:
        labels[rng.integers(number)] = True
    lesions = []
    for (center, diameter), label in zip(placed, labels.astype(int).tolist(), strict=True):
        kinetics = KINETICS[rng.choice(3, p=KINETICS_CHANCES[label])]
        margin = "spiculated" if rng.random() < SPICULATED_CHANCE[label] else "smooth"
        x, y, z = center.tolist()
        lesions.append(Lesion(side, (x + midline, y, z), diameter, label, kinetics, margin))
    return lesions


def _place(rng: np.random.Generator, anatomy: Anatomy, side: str, diameter: float,
           placed: list[tuple[np.ndarray, float]]) -> np.ndarray | None:
    """A centre (u, y, z) clear of skin, chest wall, other lesions and the stack's ends, or None."""
    breast = anatomy.breasts[side]
    points = np.array(breast.center)[:, None] + np.array(breast.axes)[:, None] * rng.uniform(-1, 1, (3, 400))
    reach = REACH * diameter / 2
    fits = (breast.depth(points) > reach + 5) & (anatomy.chest_depth(points) < -reach - 2)
    fits &= (abs(points[2]) < 42) & (abs(points[0]) < 122)  # in every image, however it is turned
    for center, other in placed:
        fits &= np.linalg.norm(points - center[:, None], axis=0) > reach + REACH * other / 2 + 2
    return points[:, np.argmax(fits)] if fits.any() else None


def _ellipsoid_depth(offsets: list[np.ndarray], axes: tuple[float, ...]) -> np.ndarray:
    """First-order distance to an ellipsoid's (or an elliptical cylinder's) surface in mm, positive inside."""
    radius = np.sqrt(sum((o / a) ** 2 for o, a in zip(offsets, axes, strict=True))) + 1e-6
    gradient = np.sqrt(sum((o / a**2) ** 2 for o, a in zip(offsets, axes, strict=True))) + 1e-6 / max(axes)
    return (1 - radius) * radius / gradient
