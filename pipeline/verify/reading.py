"""What verification reads of a file: its facts, so that a cohort larger than memory can be checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.verify.codes import RULES
from transforms.facts import Facts, facts_of
from transforms.load import Image, read_header, read_image
from transforms.mammography.reading import has_tissue, parse_view, read_mammogram

_SERIES = ("series", "plugin", "no_pixels")  # codes of `transforms.dicom_series` whose reasons say more


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
        facts = facts_of(Image(found.pixels.T, step), checksum=True)
        return replace(facts, origin=found.origin)
    except FileNotFoundError:
        return Facts(fault="missing_file")
    except InputError as error:
        code = getattr(error, "code", "")
        said = str(error).removeprefix(f"{path.name}: ").partition(";")[0]  # without the name, which may hold anything
        if code == "constant_image":
            return Facts(shape=(1, 1), constant=0.0)
        return _fault(code, said)
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
            return Facts(shape=tuple(header.shape), affine=np.asarray(header.affine, float), placed=header.placed,
                         notes=header.notes)
        return facts_of(read_image(path), checksum=True)
    except InputError as error:
        code = getattr(error, "code", "")
        return _fault(code, str(error).partition(": ")[2].partition(";")[0] if code in _SERIES else "")
    except Exception as error:  # a file can be damaged in more ways than its reader knows
        return Facts(fault="unreadable_file", detail=f" ({type(error).__name__})")


def _fault(code: str, detail: str = "") -> Facts:
    """The fault that a reader's code means; details are told where the rule has room for them."""
    if code in RULES:
        return Facts(fault=code, detail=detail)
    return Facts(fault=f"{code}_file" if f"{code}_file" in RULES else "unreadable_file")
