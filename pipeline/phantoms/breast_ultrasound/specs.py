"""What a synthetic cohort of breast ultrasound holds, before anything is rendered: patients, layers, lesions.

Places in a volume are the probe's: u (lateral), d (depth, from the skin's surface) and s (sweep) in millimetres; u and
s are 0 in the volume's middle. Healthy and diseased volumes are drawn alike except for the lesions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.phantoms.cohort import spread

TWO_VOLUMES = 0.8  # of patients have both breasts imaged, the others one
DISEASED = 0.55  # of patients: about 38 % of the volumes hold a lesion then, as in the paper's table 1
BOTH_DISEASED = 0.3  # of diseased patients with two volumes have lesions in both
SECOND_LESION = 0.15  # of diseased volumes
DENSITY_SHARES = {"a": 0.1, "b": 0.4, "c": 0.4, "d": 0.1}  # of patients
DENSE_PARTS = {"a": 0.25, "b": 0.45, "c": 0.65, "d": 0.85}  # of the glandular layer that is no fat
DIAMETERS = (6.0, 20.0)  # mm, log-uniform between
ECHOES = (-24.0, -17.0)  # dB against gland; fat has -13
POSTERIOR = ("shadow", "none", "enhancement")
POSTERIOR_CHANCES = {0: (0.15, 0.35, 0.5), 1: (0.65, 0.25, 0.1)}  # by malignant
IRREGULAR_CHANCE = {0: 0.2, 1: 0.75}
INNER = 0.36  # lesions' centres lie within this share of the width and of the sweep around the middle


@dataclass(frozen=True)
class Lesion:
    """One lesion of the truth."""

    place: tuple[float, float, float]  # (u, d, s) of its centre, mm
    diameter_mm: float  # of the sphere of its expected volume
    stretch: float  # wider than tall above 1: lateral and sweep times this, depth divided by its square
    malignant: int
    margin: str  # smooth or irregular
    echo_db: float  # how strongly it scatters, against gland
    posterior: str  # shadow, none or enhancement
    behind_db: float  # what a beam through its middle loses (negative: gains) against its neighbours


@dataclass(frozen=True)
class Layers:
    """A patient's layers from the skin down; thicknesses in mm at the middle of the breast."""

    skin: float
    fat: float
    gland: float
    retro: float  # fat between the gland and the muscle
    muscle: float
    radius: float  # of the glandular disc
    bend: float  # radius by which the chest wall bends away sideways
    density: str

    @property
    def chest(self) -> float:
        """Depth of the chest wall in the middle."""
        return self.skin + self.fat + self.gland + self.retro + self.muscle

    def depths(self, u: np.ndarray, s: np.ndarray,
               nipple: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Depth of the gland's front, of its back and of the chest wall at places (u, s), without undulation."""
        chest = self.chest + u**2 / (2 * self.bend)
        back = chest - self.muscle - self.retro
        far = ((u - nipple[0]) ** 2 + (s - nipple[1]) ** 2) / self.radius**2
        share = np.clip(far, 0, 1) ** 1.5
        front = self.skin + self.fat
        return front + share * (back - front), back, chest


@dataclass(frozen=True)
class VolumeSpec:
    """Everything about one volume except its voxels."""

    exam_id: str
    patient_id: str
    seed: int
    index: int  # of the volume in its cohort; with the seed, what its voxels are drawn from
    side: str
    layers: Layers
    nipple: tuple[float, float]  # (u, s), mm
    tilt: float  # of the probe around the sweep axis, degrees
    lesions: tuple[Lesion, ...] = ()

    def label(self, malignant: int) -> int:
        """1 where the breast holds a malignant (or, with 0, a benign) lesion, else 0."""
        return int(any(lesion.malignant == malignant for lesion in self.lesions))


def draw_cohort(volumes: int, field: tuple[float, float], seed: int = 0) -> list[VolumeSpec]:
    """Draw the specs of a cohort; shares are met as exactly as whole numbers allow.

    Args:
        volumes: number of volumes; a patient's volumes follow each other.
        field: width and length of the sweep in mm, within which lesions are placed.
        seed: not negative; the same arguments give the same cohort.
    """
    rng = np.random.default_rng([seed, 0, 4])
    twice = round(volumes * TWO_VOLUMES / (1 + TWO_VOLUMES))
    patients = volumes - twice
    two = rng.permutation(np.arange(patients) < twice)
    kinds = spread({"diseased": DISEASED, "healthy": 1 - DISEASED}, patients, rng)
    densities = spread(DENSITY_SHARES, patients, rng)
    specs: list[VolumeSpec] = []
    for patient in range(patients):
        own = np.random.default_rng([seed, patient, 2])
        layers = _draw_layers(own, densities[patient])
        sides = ["R", "L"] if two[patient] else [str(own.choice(["R", "L"]))]
        first = int(own.integers(len(sides)))
        both = own.random() < BOTH_DISEASED
        for i, side in enumerate(sides):
            index = len(specs)
            draws = np.random.default_rng([seed, index, 1])
            nipple = (float(draws.uniform(-12, 12)), float(draws.uniform(-10, 10)))
            tilt = float(draws.uniform(-8, 8)) + (12 if side == "R" else -12) * float(draws.random() < 0.4)
            lesions = tuple(_draw_lesions(draws, layers, nipple, field))
            diseased = kinds[patient] == "diseased" and (i == first or both)
            specs.append(VolumeSpec(f"E{index + 1:04d}", f"P{patient + 1:04d}", seed, index, side, layers, nipple,
                                    tilt, lesions if diseased else ()))
    return specs


def _draw_layers(rng: np.random.Generator, density: str) -> Layers:
    names = ("skin", "fat", "gland", "retro", "muscle", "radius", "bend")
    ranges = ((1.5, 2.3), (4.5, 9.0), (13.0, 20.0), (1.5, 4.0), (5.5, 8.0), (52.0, 72.0), (300.0, 600.0))
    values = {name: float(rng.uniform(*limits)) for name, limits in zip(names, ranges, strict=True)}
    return Layers(density=density, **values)


def _draw_lesions(rng: np.random.Generator, layers: Layers, nipple: tuple[float, float],
                  field: tuple[float, float]) -> list[Lesion]:
    lesions: list[Lesion] = []
    for _ in range(1 + int(rng.random() < SECOND_LESION)):
        diameter = float(np.exp(rng.uniform(*np.log(DIAMETERS))))
        malignant = int(rng.random() < 0.5)
        posterior = str(rng.choice(POSTERIOR, p=POSTERIOR_CHANCES[malignant]))
        behind = {"shadow": rng.uniform(9, 18), "none": 0.0, "enhancement": -rng.uniform(4, 7)}[posterior]
        margin = "irregular" if rng.random() < IRREGULAR_CHANCE[malignant] else "smooth"
        stretch = float(rng.uniform(0.9, 1.06) if malignant else rng.uniform(1.02, 1.2))
        echo = float(rng.uniform(*ECHOES))
        place = _draw_place(rng, layers, nipple, field, diameter, lesions)
        if place is not None:
            lesions.append(Lesion(place, diameter, stretch, malignant, margin, echo, posterior, float(behind)))
    return lesions


def _draw_place(rng: np.random.Generator, layers: Layers, nipple: tuple[float, float], field: tuple[float, float],
                diameter: float, others: list[Lesion]) -> tuple[float, float, float] | None:
    """A centre in the gland, off the nipple's shadow, the skin, the chest wall and other lesions; None if none is."""
    u, s = (size * rng.uniform(-INNER, INNER, 500) for size in field)
    front, back, chest = layers.depths(u, s, nipple)
    d = front + (back - front) * rng.uniform(0.1, 0.9, 500)
    reach = diameter / 2
    fits = (np.hypot(u - nipple[0], s - nipple[1]) > reach + 7) & (d > layers.skin + reach + 1)
    fits &= (d < chest - reach - 1) & (back - front > 5)
    for other in others:
        distance = np.sqrt(sum((a - b) ** 2 for a, b in zip((u, d, s), other.place, strict=True)))
        fits &= distance > 1.5 * (reach + other.diameter_mm / 2) + 4
    if not fits.any():
        return None
    i = int(np.argmax(fits))
    return float(u[i]), float(d[i]), float(s[i])
