"""Facts of an image: the few numbers by which it is judged, so that its voxels need not be kept for it.

Verification of a cohort and the gate of a single exam (`pipeline.verify`) judge by the same facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from isal import isal_zlib

from transforms.grid import with_spacing
from transforms.load import Image


@dataclass
class Facts:
    """What is known of one file.

    Attributes:
        fault: code of the issue that stopped reading it, else empty.
        detail: what `fault`'s reason adds.
        file: its name, for errors; empty where it must not be told.
        shape: voxels along `(X, Y, Z)` or `(X, Y, Z, T)`.
        affine: `(4, 4)`, voxel index to RAS millimetres.
        placed: whether the header says how the image lies in the patient.
        notes: what of the header was unusual and converted.
        non_finite: number of voxels that are NaN or infinite.
        constant: the value of every voxel, where all have one.
        spread: largest absolute value, relative to the 99.9th percentile of those that are not 0.
        clipped: share of the voxels that are not 0 which have the largest value.
        origin: of a mammogram, digests of `patient` and `study` and the `intent` of its pixels, where its header says.
        checksum: two check sums of the voxels; None where only the header was read.
    """

    fault: str = ""
    detail: str = ""
    file: str = ""
    shape: tuple[int, ...] = ()
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))
    placed: bool = True
    notes: Sequence[str] = ()
    non_finite: int = 0
    constant: float | None = None
    spread: float = 1.0
    clipped: float = 0.0
    origin: Mapping[str, str] = field(default_factory=dict)
    checksum: tuple[int, int] | None = None

    def spaced(self, spacing_mm: Sequence[float] | None) -> Facts:
        """The same with the spacing that the list gives, where the file's own is a placeholder."""
        if spacing_mm is None or self.fault:
            return self
        return replace(self, affine=with_spacing(self.affine, spacing_mm, ""))


def facts_of(image: Image, file: str = "", checksum: bool = False) -> Facts:
    """The facts of an image that was read.

    Args:
        image: with its voxels.
        file: its name.
        checksum: sum its voxels up, too.
    """
    array = image.array
    facts = Facts(file=file, shape=array.shape, affine=np.asarray(image.affine, float), placed=image.placed,
                  notes=image.notes)
    # NaN and infinity both show in the extremes, so that a sound image is gone through only twice.
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        facts.non_finite = int(array.size - np.count_nonzero(np.isfinite(array)))
    elif low == high:
        facts.constant = float(low)
    else:
        sample = array[::4, ::4] if array.ndim > 1 and min(array.shape[:2]) >= 16 else array
        sample = sample[sample != 0]
        if sample.size:
            usual = float(np.percentile(np.abs(sample.astype(float)), 99.9))
            facts.spread = max(abs(float(low)), abs(float(high))) / usual if usual else 1.0
            facts.clipped = float((sample == high).mean())
    if checksum:
        voxels = np.ascontiguousarray(array.T).data.cast("B")  # `.T` of a Fortran array needs no copy
        facts.checksum = (isal_zlib.crc32(voxels), isal_zlib.adler32(voxels))
    return facts
