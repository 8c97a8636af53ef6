"""What verification keeps of an image: a few facts, so that a cohort larger than memory can be checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from isal import isal_zlib

from pipeline.errors import InputError
from transforms.grid import with_spacing
from transforms.load import read_header, read_image
from transforms.mammography.reading import has_tissue, parse_view, read_mammogram

_CODES = {"missing", "empty", "truncated", "corrupt", "unreadable"}  # of `transforms.load`
_MAMMOGRAM = {"no_pixels", "plugin", "view", "laterality"}  # of `transforms.mammography.reading`


@dataclass
class Facts:
    """What is known of one file.

    Attributes:
        fault: code of the issue that stopped reading it, else empty.
        detail: what `fault`'s reason adds.
        shape: voxels along `(X, Y, Z)` or `(X, Y, Z, T)`.
        affine: `(4, 4)`, voxel index to RAS millimetres.
        non_finite: number of voxels that are NaN or infinite.
        constant: the value of every voxel, where all have one.
        checksum: two check sums of the voxels; None where only the header was read.
    """

    fault: str = ""
    detail: str = ""
    shape: tuple[int, ...] = ()
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))
    non_finite: int = 0
    constant: float | None = None
    checksum: tuple[int, int] | None = None

    def spaced(self, spacing_mm: Sequence[float] | None) -> Facts:
        """The same with the spacing that the list gives, where the file's own is a placeholder."""
        if spacing_mm is None or self.fault:
            return self
        return replace(self, affine=with_spacing(self.affine, spacing_mm, ""))


def is_volume(path: Path | str) -> bool:
    """Whether a file is of a format for volumes: such mammograms are not read as the bundles read them."""
    return str(path).lower().endswith((".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"))


def read_mammogram_facts(path: Path, view: str, quick: bool = False) -> Facts:
    """As `read_facts`, of a mammogram, DICOM or a picture: also whether it shows the view that the list says.

    Args:
        path: the image.
        view: its name in the list, `L-CC` …
        quick: do not read the pixels; finds a missing or empty file, and a name that is no view.
    """
    try:
        parse_view(view)
        if quick:
            return Facts() if path.stat().st_size else Facts(fault="empty_file")
        found = read_mammogram(path, view)
        if not has_tissue(found.pixels):
            return Facts(fault="no_breast")
        step = np.diag([*(found.spacing_mm or (1.0, 1.0))[::-1], 1.0, 1.0])
        return _facts(found.pixels.T, step)
    except FileNotFoundError:
        return Facts(fault="missing_file")
    except InputError as error:
        code = getattr(error, "code", "")
        said = str(error).removeprefix(f"{path.name}: ").partition(";")[0]  # without the name, which may hold anything
        if code == "constant_image":
            return Facts(shape=(1, 1), constant=0.0)
        if code in _MAMMOGRAM:
            return Facts(fault=code, detail=said)
        return Facts(fault=f"{code if code in _CODES else 'unreadable'}_file")
    except Exception as error:  # as in `read_facts`
        return Facts(fault="unreadable_file", detail=f" ({type(error).__name__})")


def read_facts(path: Path, quick: bool = False) -> Facts:
    """Read one file, to its end or (`quick`) its header; whatever goes wrong is a fault, not an exception.

    Args:
        path: the image.
        quick: read the header only: finds neither damage behind it nor NaN.
    """
    try:
        if quick:
            header = read_header(path)
            return Facts(shape=tuple(header.shape), affine=np.asarray(header.affine, float))
        image = read_image(path)
        return _facts(image.array, np.asarray(image.affine, float))
    except InputError as error:
        code = getattr(error, "code", "")
        return Facts(fault=f"{code if code in _CODES else 'unreadable'}_file")
    except Exception as error:  # a file can be damaged in more ways than its reader knows
        return Facts(fault="unreadable_file", detail=f" ({type(error).__name__})")


def _facts(array: np.ndarray, affine: np.ndarray) -> Facts:
    facts = Facts(shape=array.shape, affine=affine)
    # NaN and infinity both show in the extremes, so that a sound image is gone through only twice.
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        facts.non_finite = int(array.size - np.count_nonzero(np.isfinite(array)))
    elif low == high:
        facts.constant = float(low)
    voxels = np.ascontiguousarray(array.T).data.cast("B")  # `.T` of a Fortran array needs no copy
    facts.checksum = (isal_zlib.crc32(voxels), isal_zlib.adler32(voxels))
    return facts
