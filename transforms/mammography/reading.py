"""Reading mammograms: DICOM, PNG or TIFF to grey values of one meaning and one orientation.

The one orientation is that of a left breast as detectors store it: chest wall at the left edge, nipple to the right.
DICOM says so by PatientOrientation `A\\F` for left breasts (columns run to anterior) and `P\\F` for right ones, whose
columns are mirrored here. "Right edge" in the cropping rules (`transforms.mammography.geometry`) is the nipple's side.
"""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from transforms.dicom_pixels import MOST_PIXELS
from transforms.errors import InputError
from transforms.load import check_png, read_bytes, readable
from transforms.mammography.dicom import is_dicom, read_dicom

# How the files are stored: side to the edge of the image at which the chest wall lies.
STORED: dict[str, dict[str, str]] = {
    "usual": {"L": "left", "R": "right"},
    "mirrored": {"L": "right", "R": "left"},
    "left": {"L": "left", "R": "left"},
    "right": {"L": "right", "R": "right"},
}
_CLEAR = 1.25  # how much taller tissue must be at one edge to say that the chest wall is there
_GREY = ("L", "I", "I;16", "I;16L", "I;16B", "F")


@dataclass
class Mammogram:
    """One mammogram, chest wall at the left.

    Attributes:
        pixels: `(rows, columns)` float32, 0 in the background, brighter where the breast is denser.
        side: `L` or `R`, the patient's.
        view: `CC` or `MLO`.
        spacing_mm: distance of rows and of columns, at the detector; None where the file does not say.
        flipped: whether columns were mirrored.
        notes: what a user should know about the file, in a few words each.
        digest: SHA-256 of the file's bytes.
        origin: SHA-256 of the header's `patient` id and `study`, to tell them apart and for nothing else, and the
            `intent` of its pixels (`FOR PROCESSING` or `FOR PRESENTATION`); without what the header does not say.
    """

    pixels: np.ndarray
    side: str
    view: str
    spacing_mm: tuple[float, float] | None = None
    flipped: bool = False
    notes: list[str] = field(default_factory=list)
    digest: str = ""
    origin: dict[str, str] = field(default_factory=dict)


def read_mammogram(path: Path | str, view: str | None = None, *, window: bool = False, check_side: bool = True,
                   stored: str | None = None) -> Mammogram:
    """Read one mammogram and bring it to the one orientation.

    Args:
        path: DICOM, PNG or TIFF. Colour and 8-bit pictures are read, with a note.
        view: the table's name, as `L-CC`, `R-MLO`, or `L-CC-2` for a repeat; None: the header must say it.
        window: apply the DICOM file's window or VOI LUT. Off, values stay as after the modality LUT: a window is made
            for the eye, clips the brightest tissue and differs between vendors; standardisation comes later anyway.
        check_side: compare the side with the edge that the tissue touches.
        stored: `usual` (left breasts have the chest wall at the left), `mirrored` (the reverse), `left` or `right`
            (both breasts have it there); None: as the DICOM header says, else `usual`.

    Raises:
        InputError: with code `missing`, `empty`, `unreadable`, `truncated`, `corrupt`, `no_pixels`, `plugin`,
            `constant_image`, `view` (unknown, or table and header differ), `polarity` (the background is bright) or
            `laterality` (the tissue touches the wrong edge).
    """
    if stored is not None and stored not in STORED:
        raise InputError(f"stored {stored!r}: choose one of {', '.join(STORED)}")
    return readable(Path(path), lambda file: _read(file, view, window, check_side, stored))


def _read(path: Path, view: str | None, window: bool, check_side: bool, stored: str | None) -> Mammogram:
    raw = read_bytes(path)
    if is_dicom(path.name, raw):
        picture = read_dicom(path.name, raw, window)
        pixels, notes, spacing = picture.pixels, picture.notes, picture.spacing_mm
        side, position, wall, origin = picture.side, picture.view, picture.wall, picture.origin
    else:
        pixels, notes = _read_picture(path.name, raw)
        side = position = wall = spacing = None
        origin = {}
    side, position = _agree(path.name, view, side, position)
    pixels = _from_zero(path.name, pixels)
    if is_inverted(pixels):
        raise InputError(f"{path.name}: its background is bright, so the grey scale is inverted; export it again, or "
                         "correct PhotometricInterpretation", code="polarity")
    expected = STORED[stored][side] if stored else wall or STORED["usual"][side]
    if check_side:
        seen = wall_edge(pixels)
        if seen is None:
            notes.append("the chest wall's edge could not be told from the pixels")
        elif seen != expected:
            raise InputError(f"{path.name}: side {side} but the breast touches the {seen} edge, not the {expected}; "
                             "correct the side, or say how the files are stored (mirrored)", code="laterality")
    flipped = expected == "right"
    if flipped:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    return Mammogram(pixels, side, position, spacing, flipped, notes, hashlib.sha256(raw).hexdigest(), origin)


def parse_view(name: str) -> tuple[str, str]:
    """Side and view of a table's name: `L-CC`, `R-MLO`, `L-CC-2`.

    Raises:
        InputError: another form (code `view`).
    """
    found = re.fullmatch(r"([LR])-(CC|MLO)(-[2-9])?", name)
    if not found:
        raise InputError(f"view {name[:20]!r}: must be L-CC, L-MLO, R-CC or R-MLO, with -2 to -9 for repeats",
                         code="view")
    return found[1], found[2]


def wall_edge(pixels: np.ndarray) -> str | None:
    """Edge of the image, `left` or `right`, at which the chest wall lies; None where that is not clear.

    Towards the chest wall the breast is tall, towards the nipple it comes to a point. Compared is the height of tissue
    in the outer fifths of the largest piece of tissue, so that burnt-in labels and empty borders do not count.

    Args:
        pixels: `(rows, columns)`, background darkest.
    """
    pieces, count = ndimage.label(_tissue(pixels))
    if not count:
        return None
    sizes = np.bincount(pieces.ravel())
    height = (pieces == sizes[1:].argmax() + 1).sum(axis=0)
    height = np.trim_zeros(height)
    fifth = max(1, len(height) // 5)
    left, right = height[:fifth].mean(), height[-fifth:].mean()
    if max(left, right) < _CLEAR * min(left, right):
        return None
    return "left" if left > right else "right"


def is_inverted(pixels: np.ndarray) -> bool:
    """Whether a picture is black where it should be white: most of its border, which is air, is bright.

    Args:
        pixels: `(rows, columns)`.
    """
    low, high = (float(v) for v in np.percentile(pixels[::4, ::4] if min(pixels.shape) > 16 else pixels, (0.1, 99.9)))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    bright, dark = (border > low + 0.9 * (high - low)).mean(), (border < low + 0.1 * (high - low)).mean()
    return bool(high > low and bright > 0.3 and bright > 3 * dark)


def has_tissue(pixels: np.ndarray) -> bool:
    """Whether anything is left of a picture `(rows, columns)` once dots and thin lines are taken away."""
    return bool(_tissue(pixels).any())


def _tissue(pixels: np.ndarray) -> np.ndarray:
    """A small mask of what is clearly brighter than the darkest, without dots and thin lines."""
    step = min(max(1, max(pixels.shape) // 256), *pixels.shape)
    rows, columns = (length // step for length in pixels.shape)
    small = pixels[: rows * step, : columns * step].reshape(rows, step, columns, step).mean(axis=(1, 3))  # less noise
    low, high = float(small.min()), float(np.percentile(small, 99))
    return ndimage.binary_opening(small > low + 0.05 * (high - low), iterations=2)


def _agree(name: str, table: str | None, side: str | None, view: str | None) -> tuple[str, str]:
    """One side and view from the table's name and the header's, either of which may be silent."""
    if table is not None:
        said = parse_view(table)
        for ours, theirs in zip(said, (side, view), strict=True):
            if theirs is not None and ours != theirs:
                raise InputError(f"{name}: the table says {'-'.join(said)}, its header {theirs}; correct the table",
                                 code="view")
        return said
    if side is None or view is None:
        raise InputError(f"{name}: nothing says which side and view it shows; name the file as its "
                         "view: L-CC, a repeat L-CC-2", code="view")
    return side, view


def _from_zero(name: str, pixels: np.ndarray) -> np.ndarray:
    """Shift so that the darkest value is 0, as the breast mask expects."""
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise InputError(f"{name}: holds values that are not numbers; convert it again", code="non_finite")
    if low == high:
        raise InputError(f"{name}: all pixels have one value; copy or export it again", code="constant_image")
    return pixels - np.float32(low) if low else pixels


def _read_picture(name: str, raw: bytes) -> tuple[np.ndarray, list[str]]:
    """PNG or TIFF to `(rows, columns)` float32, and notes."""
    notes = []
    check_png(name, raw)
    try:
        picture: Image.Image = Image.open(io.BytesIO(raw), formats=("PNG", "TIFF"))
    except Exception:  # Pillow raises several kinds by format; its text would name a temporary object
        raise InputError(f"{name}: not a DICOM, PNG or TIFF image, or damaged; copy or convert it",
                         code="unreadable") from None
    if picture.width * picture.height > MOST_PIXELS:
        raise InputError(f"{name}: {picture.width} × {picture.height} pixels are more than a mammogram has; cut it",
                         code="unreadable")
    if getattr(picture, "n_frames", 1) > 1:
        raise InputError(f"{name}: holds several pictures; give a file with one", code="unreadable")
    white_is_zero = picture.format == "TIFF" and picture.mode != "L" and _tiff_tag(picture, 262) == 0
    try:
        if picture.mode not in _GREY:
            notes.append(f"{picture.mode} picture, converted to 8-bit grey")
            picture = picture.convert("L")
        elif picture.mode == "L":
            notes.append("8 bits a pixel")
        pixels = np.asarray(picture).astype(np.float32)
    except Exception:  # as above
        raise InputError(f"{name}: truncated or damaged; copy it again", code="truncated") from None
    return pixels.max() - pixels if white_is_zero else pixels, notes  # Pillow inverts 8-bit ones itself


def _tiff_tag(picture: Any, tag: int) -> Any:
    return picture.tag_v2.get(tag)
