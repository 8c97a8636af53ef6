"""DICOM images of MR or CT to volumes: files grouped by series, slices sorted by place, volumes told apart by time."""

from __future__ import annotations

import itertools
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from transforms.errors import InputError

_PLACE = ["SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality", "SeriesNumber", "SeriesDescription",
          "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
          "Rows", "Columns", "NumberOfFrames", "RescaleSlope", "RescaleIntercept", "SamplesPerPixel"]
# What tells the volumes of one series apart, the surest first. ContentTime alone may differ from slice to slice.
TIMES = ["TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime", "AcquisitionTime", "ContentTime"]
_KIND = ["ImageType", "RepetitionTime", "EchoTime", "FlipAngle", "ScanOptions", "ScanningSequence", "AcquisitionDate",
         "SeriesTime", "ContrastBolusAgent", "InversionTime", "InstanceNumber", "SliceLocation"]
_PIXELS = ["BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation"]
_TAGS: list[Any] = [*_PLACE, *TIMES, *_KIND, *_PIXELS]
_ANGLE = 1e-3  # largest difference of direction cosines within a series
# What the slices of one volume share, by tag, and how far it may differ.
_SHARED = (("orientation", "ImageOrientationPatient", _ANGLE), ("spacing", "PixelSpacing", 1e-4), ("size", "Rows", 0),
           ("size", "Columns", 0), ("rescaling", "RescaleSlope", 0), ("rescaling", "RescaleIntercept", 0))
_GAP = 0.05  # largest deviation of a distance between slices, relative to it
_SAME = 0.01  # mm, places nearer than that are one


@dataclass
class Slice:
    """One file's header: no pixels, no name, no date but the time of the acquisition."""

    path: Path
    header: dict[str, Any]  # keyword to value
    syntax: str  # transfer syntax UID
    pixels: int  # where in the file they begin
    position: float = 0.0  # mm along the normal

    def number(self, tag: str) -> float | None:
        """A number, a time as seconds of its day; None where it is not said."""
        value = self.header.get(tag)
        if value in (None, ""):
            return None
        text = str(value)
        try:
            if tag.endswith("Time") and tag not in ("TriggerTime", "RepetitionTime", "EchoTime", "InversionTime"):
                return int(text[:2]) * 3600 + int(text[2:4] or 0) * 60 + float(text[4:] or 0)
            return float(text)
        except ValueError:
            return None


@dataclass
class Volume:
    """One volume: slices in ascending order along the normal, on one grid."""

    slices: list[Slice]
    shape: tuple[int, int, int]  # (X, Y, Z): columns, rows, slices
    affine: np.ndarray  # voxel index to RAS mm

    @property
    def first(self) -> Slice:
        """The slice whose header speaks for the volume."""
        return self.slices[0]


def scan(folder: Path, deep: bool = False) -> dict[str, list[Slice]]:
    """Headers of a folder's DICOM images, by SeriesInstanceUID; other files are passed over.

    Args:
        folder: where they are.
        deep: look into folders below, too.

    Raises:
        InputError: no such folder, none in it, or a damaged file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder.name}: no such folder of DICOM files; correct its path in the datalist",
                         code="missing")
    found: dict[str, list[Slice]] = defaultdict(list)
    for path in sorted(folder.rglob("*") if deep else folder.iterdir()):
        if path.is_file() and (each := read_slice(path)) is not None:
            found[str(each.header.get("SeriesInstanceUID", ""))].append(each)
    if not found:
        raise InputError(f"{folder.name}: holds no DICOM image; give the folder of one series", code="unreadable")
    return dict(found)


def split(name: str, slices: Sequence[Slice]) -> list[Volume]:
    """The volumes of one series, in time.

    Volumes are told apart by the first of `TIMES` that gives every place the same number of times and no time to two
    volumes.

    Args:
        name: of the series, for errors.
        slices: its files.

    Raises:
        InputError: with code `series`: slices are missing, doubled, or differ in what one volume shares.
    """
    _agree(name, slices)
    places: dict[int, list[Slice]] = {}
    last = None
    for each in sorted(slices, key=lambda s: s.position):
        if last is None or each.position - last > _SAME:
            places[len(places)] = []
            last = each.position
        places[len(places) - 1].append(each)
    counts = {len(own) for own in places.values()}
    if len(counts) > 1:
        most = max(counts)
        bad = sum(len(own) != most for own in places.values())
        raise InputError(f"{name}: slices are missing or doubled: {bad} of {len(places)} places lack files "
                         "that others have; copy the series again", code="series")
    count = counts.pop()
    if count == 1:
        return [_volume(name, [own[0] for own in places.values()])]
    for tag in TIMES:
        ranked = []
        for own in places.values():
            values = [each.number(tag) for each in own]
            if None in values or len(set(values)) < count:
                break
            ranked.append(sorted(own, key=lambda each: each.number(tag) or 0.0))
        else:
            times = [[own[k].number(tag) or 0.0 for own in ranked] for k in range(count)]
            if all(max(a) < min(b) for a, b in itertools.pairwise(times)):
                return [_volume(name, [own[k] for own in ranked]) for k in range(count)]
    raise InputError(f"{name}: every slice is there {count} times and no time tells volumes apart; "
                     "split the series, or copy it again", code="series")


def describe(found: Iterable[Sequence[Slice]]) -> str:
    """Series in a few words: number of files and of the series."""
    return ", ".join(f"number {own[0].header.get('SeriesNumber', '?')} with {len(own)} files" for own in found)


def read_slice(path: Path) -> Slice | None:
    """What is needed of a file's header; None for other kinds of files, and for DICOM without an image."""
    named = path.suffix.lower() == ".dcm"
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            mark = file.read(132)
            if not mark and named:
                raise InputError(f"{path.name}: empty file (0 bytes); copy it again", code="empty")
            if mark[128:] != b"DICM" and not named:
                return None
            warnings.simplefilter("ignore")  # pydicom's warnings quote values of the header
            file.seek(0)
            found = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=_TAGS)
            if not len(found):
                raise ValueError
            header = {element.keyword: element.value for element in found}
            syntax = str(found.file_meta.get("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian))
            return Slice(path, header, syntax, file.tell()) if "Rows" in header else None
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror})", code="unreadable") from None
    except Exception:  # pydicom raises many kinds for a damaged header, some of which quote it
        raise InputError(f"{path.name}: not a DICOM file, or its header is damaged; copy it again",
                         code="unreadable") from None


def _agree(name: str, slices: Sequence[Slice]) -> None:
    """Set places; refuse what one volume cannot be made of."""
    first = slices[0].header
    for each in slices:
        header = each.header
        if int(header.get("NumberOfFrames") or 1) > 1:
            raise InputError(f"{name}: a multi-frame file; convert it to NIfTI", code="unreadable")
        if any(header.get(tag) is None for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")):
            raise InputError(f"{name}: a slice does not say where it lies; "
                             "give the original series", code="series")
        for what, tag, tolerance in _SHARED:
            if header.get(tag) != first.get(tag) and _distance(header.get(tag), first.get(tag)) > tolerance:
                raise InputError(f"{name}: its slices differ in {what}; give the files of one series only",
                                 code="series")
        row, column = np.asarray(header["ImageOrientationPatient"], float).reshape(2, 3)
        each.position = float(np.asarray(header["ImagePositionPatient"], float) @ np.cross(row, column))


def _distance(ours: Any, theirs: Any) -> float:
    """Largest difference of two values, which may be lists; infinite where one is missing."""
    if ours is None or theirs is None:
        return np.inf
    a, b = np.atleast_1d(np.asarray(ours, float)), np.atleast_1d(np.asarray(theirs, float))
    return float(np.abs(a - b).max()) if a.shape == b.shape else np.inf


def _volume(name: str, slices: list[Slice]) -> Volume:
    """Slices in their order to one grid.

    Raises:
        InputError: the distances differ.
    """
    header = slices[0].header
    places = np.array([np.asarray(each.header["ImagePositionPatient"], float) for each in slices])
    row, column = np.asarray(header["ImageOrientationPatient"], float).reshape(2, 3)
    if len(slices) > 1:
        step = (places[-1] - places[0]) / (len(slices) - 1)
        gaps = np.diff([each.position for each in slices])
        usual = float(np.median(gaps))
        if (far := np.abs(gaps - usual) > _GAP * usual).any():
            raise InputError(f"{name}: slices are missing or misplaced: {int(far.sum())} of {len(gaps)} distances "
                             f"are not {usual:.3g} mm; copy the series again", code="series")
        drift = places - places[0] - np.outer(np.arange(len(slices)), step)
        if np.abs(drift).max() > _GAP * usual or np.abs(step - (step @ np.cross(row, column)) * np.cross(row, column)
                                                        ).max() > _GAP * usual:
            raise InputError(f"{name}: its slices do not lie straight above each other; convert it to NIfTI and "
                             "correct its grid", code="series")
    else:
        thick = header.get("SpacingBetweenSlices") or header.get("SliceThickness") or 1.0
        step = np.cross(row, column) * float(thick)
    down, across = (float(each) for each in header["PixelSpacing"])
    affine = np.eye(4)
    affine[:3, :] = np.stack([row * across, column * down, step, places[0]], axis=1)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM's LPS to RAS
    affine = affine.astype(np.float32).astype(np.float64) + 0.0  # what NIfTI can store
    return Volume(slices, (int(header["Columns"]), int(header["Rows"]), len(slices)), affine)


