"""What a synthetic screening cohort holds, before anything is rendered: patients, breasts, findings, readers' scores.

Negative exams and exams with cancer are drawn alike except for the findings. A place in a breast is given without
units, for both views at once: `depth` (0 at the chest wall, 1 at the nipple), `lateral` and `upper` (each -1 to 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.phantoms.cohort import counts, spread

SIDES = ("L", "R")
TWO_EXAMS = 0.25  # of patients; a cancer shows at the last exam only
DENSITY_SHARES = {"a": 0.1, "b": 0.4, "c": 0.4, "d": 0.1}  # of patients
GLAND = {"a": 0.1, "b": 0.27, "c": 0.5, "d": 0.75}  # of a breast's area
FORMS = {1: {"spiculated": 0.6, "cluster": 0.15, "spiculated cluster": 0.25},  # by malignant
         0: {"smooth": 0.8, "round calcifications": 0.2}}
CONSPICUITY = {"screen": (0.8, 1.0), "interval": (0.15, 0.35), "benign": (0.4, 1.0)}
INTERVAL_SEEN = 0.4  # of interval cancers are there to be found, faintly
EVIDENCE = {1: 2.8, 0: 1.3}  # by malignant: what a finding of conspicuity 1 adds to a reader's impression
READER_NOISE = (0.55, 0.6)  # standard deviations: what both readers share, what each has alone
CUTS = (0.8, 1.5, 2.2, 2.9)  # impressions at which the score rises from 1 to 5


@dataclass(frozen=True)
class Finding:
    """One lesion. `seed` decides its outline, which differs a little in each view."""

    depth: float
    lateral: float
    upper: float
    malignant: int
    form: str  # a key of FORMS
    diameter_mm: float
    conspicuity: float  # scales its contrast
    seed: int


@dataclass(frozen=True)
class Anatomy:
    """A breast's size and tissue. Lengths in mm."""

    depth: float  # chest wall to nipple
    half_height: float
    bend: float  # how far the nipple lies from the middle, as a share of `half_height`
    axilla: float  # width of the MLO view at its upper edge, as a share of `depth`
    muscle: tuple[float, float]  # of the pectoral muscle: width at the upper edge (share of the axilla), length in mm
    density: str
    contrast: float  # of the gland, around 1
    seed: int  # of its texture


@dataclass(frozen=True)
class Breast:
    """One breast at one exam. `malignant` is 1 for an interval cancer too, seen or not."""

    side: str
    anatomy: Anatomy
    malignant: int
    findings: tuple[Finding, ...]
    scores: tuple[int, int]  # of the two readers, 1 to 5

    @property
    def benign(self) -> int:
        """Whether the breast has a benign lesion."""
        return int(any(not finding.malignant for finding in self.findings))


@dataclass(frozen=True)
class ExamSpec:
    """Everything about one exam except its pixels. `stored` is `png`, `MONOCHROME1` or `MONOCHROME2`."""

    exam_id: str
    patient_id: str
    seed: int
    index: int  # of the exam in its cohort; with the seed, what positioning and noise are drawn from
    detection: str  # negative, screen or interval
    breasts: tuple[Breast, Breast]  # left, right
    stored: str
    mirrored: bool  # chest wall at the other edge than usual; DICOM only, whose header says so

    @property
    def density(self) -> str:
        """The patient's density category, a to d."""
        return self.breasts[0].anatomy.density


def draw_cohort(exams: int, shares: Mapping[str, float], diameters: tuple[float, float],
                seed: int = 0) -> list[ExamSpec]:
    """Draw the specs of a cohort; shares are met as exactly as whole numbers allow.

    Args:
        exams: number of exams; a patient's exams follow each other.
        shares: `screen` and `interval` (of exams), `benign` (of breasts), `dicom` (of exams).
        diameters: of findings in mm; log-uniform between the two.
        seed: not negative; the same arguments give the same cohort.
    """
    rng = np.random.default_rng([seed, 0, 1])
    twice = round(exams * TWO_EXAMS / (1 + TWO_EXAMS))
    patients = exams - twice
    two = rng.permutation(np.arange(patients) < twice)
    kinds = counts({"screen": shares["screen"], "interval": shares["interval"],
                    "negative": 1 - shares["screen"] - shares["interval"]}, exams)
    kinds["negative"] -= twice  # earlier exams are negative
    cancer = rng.permutation(np.array([kind for kind, number in kinds.items() for _ in range(number)])[:patients])
    densities = spread(DENSITY_SHARES, patients, rng)
    benign = spread({"yes": shares["benign"], "no": 1 - shares["benign"]}, 2 * patients, rng)
    files = spread({"png": 1 - shares["dicom"], "MONOCHROME1": shares["dicom"] / 2,
                    "MONOCHROME2": shares["dicom"] / 2}, exams, rng)
    specs: list[ExamSpec] = []
    for patient in range(patients):
        own = np.random.default_rng([seed, patient, 2])
        left = _draw_anatomy(own, densities[patient])
        anatomies = (left, _like(own, left))
        stable = [(_draw_finding(own, 0, "benign", diameters),) if has == "yes" else ()
                  for has in benign[2 * patient : 2 * patient + 2]]
        for exam in range(1 + int(two[patient])):
            index = len(specs)
            draws = np.random.default_rng([seed, index, 3])
            kind = str(cancer[patient]) if exam == int(two[patient]) else "negative"
            ill = int(draws.integers(2)) if kind != "negative" else -1
            seen = kind == "screen" or (kind == "interval" and draws.random() < INTERVAL_SEEN)
            lesion = _draw_finding(draws, 1, kind if seen else "screen", diameters)
            breasts = [
                _read(draws, side, anatomies[i], int(i == ill), stable[i] + ((lesion,) if seen and i == ill else ()))
                for i, side in enumerate(SIDES)
            ]
            mirrored = files[index] != "png" and draws.random() < 0.4
            specs.append(ExamSpec(f"E{index + 1:04d}", f"P{patient + 1:04d}", seed, index, kind,
                                  (breasts[0], breasts[1]), files[index], bool(mirrored)))
    return specs


def _draw_anatomy(rng: np.random.Generator, density: str) -> Anatomy:
    depth = float(rng.uniform(78, 135))
    height, bend, axilla = depth * rng.uniform(0.74, 0.96), rng.uniform(-0.15, 0.15), rng.uniform(0.55, 0.85)
    muscle = float(rng.uniform(0.6, 0.95)), float(rng.uniform(85, 135))
    return Anatomy(depth, float(height), float(bend), float(axilla), muscle, density, float(rng.uniform(0.8, 1.2)),
                   int(rng.integers(2**31)))


def _like(rng: np.random.Generator, left: Anatomy) -> Anatomy:
    """The other breast: nearly as large, as dense, with a texture of its own."""
    depth, height = (float(size * rng.uniform(0.95, 1.05)) for size in (left.depth, left.half_height))
    bend, axilla = left.bend + float(rng.normal(0, 0.04)), left.axilla * float(rng.uniform(0.93, 1.07))
    return Anatomy(depth, height, bend, axilla, left.muscle, left.density, left.contrast, int(rng.integers(2**31)))


def _draw_finding(rng: np.random.Generator, malignant: int, kind: str, diameters: tuple[float, float]) -> Finding:
    forms = FORMS[malignant]
    form = str(rng.choice(list(forms), p=list(forms.values())))
    return Finding(float(rng.uniform(0.25, 0.78)), float(rng.uniform(-0.7, 0.7)), float(rng.uniform(-0.7, 0.7)),
                   malignant, form, float(np.exp(rng.uniform(*np.log(diameters)))),
                   float(rng.uniform(*CONSPICUITY[kind])), int(rng.integers(2**31)))


def _read(rng: np.random.Generator, side: str, anatomy: Anatomy, malignant: int,
          findings: tuple[Finding, ...]) -> Breast:
    """A breast with two readers' scores: the most suspicious finding, what misleads both, what misleads each."""
    evidence = max((EVIDENCE[finding.malignant] * finding.conspicuity for finding in findings), default=0.0)
    impressions = evidence + rng.normal(0, READER_NOISE[0]) + rng.normal(0, READER_NOISE[1], 2)
    first, second = (1 + int(np.searchsorted(CUTS, impression)) for impression in impressions)
    return Breast(side, anatomy, malignant, findings, (first, second))
