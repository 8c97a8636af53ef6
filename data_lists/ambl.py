"""Advanced-MRI-Breast-Lesions (AMBL): examinations of 632 women, about 200 with lesions whose nature is known.

```
ROOT/…/Advanced-MRI-Breast-Lesions-DA-Clinical-….xlsx    first sheet, columns named in its second row, -1 = missing
ROOT/…/AMBL-001/<study>/<series>/1-001.dcm
```

* `tumor/benignK` says of lesion K: 1 tumour, 0 benign (pathology, or a year and more of follow-up). A breast is
  malignant where a lesion is, benign where all are; a breast without lesion is unknown.
* `POSK` is side and slice (`R23.45` is SliceLocation in mm, within 0.05). Where in the slice is not said: such a lesion
  has its side, label and height, and no point. Where a SEG of the registered series holds it, its centroid is its
  centre. Frames are placed by their PlanePositionSequence, never by their number.
* Phases are the volumes of `Registered AX Sen Vibrant MultiPhase` (`--series original`: unregistered, to which no SEG
  fits). Volumes of the one series are told apart by time, not by file names. Whether the first is before contrast
  differs: where `MASK` was acquired within 10 s of it, it is; where MASK came earlier, MASK is `pre`. Without
  times, say `--first`.
"""

from __future__ import annotations

import argparse
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from tqdm import tqdm

from data_lists.files import Matched, Tree, told
from data_lists.files import add_arguments as add_root
from pipeline.datalist import Datalist, Exam, InputError, Lesion
from pipeline.files.tables import Row, read_table
from transforms.dicom_volumes import Volume, read_slice, scan, split

_PATIENT = re.compile(r"AMBL-\d{3}")
_PLACE = re.compile(r"([LR])\s*(-?\d+(?:\.\d+)?)", re.IGNORECASE)
_MOST = 6  # lesions of an examination
_SERIES = {"mask": "mask", "multiphase": "original", "registered": "registered", "roi": "roi"}
_TOGETHER = 10.0  # s
_NEAR = 0.05  # mm between a lesion's coordinate and its slice's
_FAR = 15.0  # mm between the coordinate and a segment's middle


@dataclass
class _Segment:
    """One outlined lesion: its centroid and extent in RAS mm."""

    center: np.ndarray
    size: np.ndarray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    add_root(parser, "folder with the clinical table and the series, in folders of any depth")
    parser.add_argument("--series", choices=("registered", "original"), default="registered",
                        help="which dynamic series")
    parser.add_argument("--first", choices=("auto", "pre", "post1"), default="auto",
                        help="what the first volume of the dynamic series is; auto: by the times of acquisition")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the table, and the headers of each patient's dynamic series.

    Raises:
        InputError: no table, too few series, or volumes whose order or kind cannot be told.
    """
    tree, left_out, matched = Tree(args.root), Counter[str](), Matched()
    path = tree.table("ambl", "Advanced-MRI-Breast-Lesions-DA-Clinical*.xlsx", "Advanced-MRI-Breast-Lesions*.csv")
    columns = {"patient id#", *(f"{what}{k}" for what in ("tumor/benign", "pos") for k in range(1, _MOST + 1))}

    def canonical(title: str) -> str:
        name = " ".join(title.lower().split())
        return name if name in columns else ""

    rows = read_table(path, ("patient id#", "tumor/benign1", "pos1"), canonical, header=2, missing=("-1",))
    series, seen = _series(tree), set[str]()
    exams = []
    for row in tqdm(rows, unit="patient", desc="ambl", disable=None):
        patient = row.required("patient id#").upper()
        if not _PATIENT.fullmatch(patient):
            raise row.error("`Patient ID#` is not like AMBL-001; the table is of another release, or columns have "
                            "slipped")
        if patient in seen:
            raise row.error(f"{patient} is there a second time; correct the table")
        seen.add(patient)
        own = series.get(patient, {})
        if matched.add(own.get(args.series), patient) is not None:
            exams.append(_exam(tree, row, patient, own, args, left_out))
    matched.check(args.least, left_out)
    return Datalist(args.name, "MR", tree.root, exams, source={"left_out": told(left_out)})


def _series(tree: Tree) -> dict[str, dict[str, str]]:
    """Patient to kind of series to its folder, by the description in its first file."""
    found: dict[str, dict[str, str]] = {}
    for folder, names in tree.folders.items():
        patient, slices = _PATIENT.search(folder.upper()), [name for name in names if name.lower().endswith(".dcm")]
        if not patient or not slices or (first := read_slice(tree.root / folder / slices[0])) is None:
            continue
        words = str(first.header.get("SeriesDescription", "")).lower().split()
        kind = next((_SERIES[word] for word in ("registered", "multiphase", "mask", "roi") if word in words), None)
        if kind and found.setdefault(patient[0], {}).setdefault(kind, folder) != folder:
            raise InputError(f"{patient[0]}: two series are {kind}; leave one of them")
    return found


def _exam(tree: Tree, row: Row, patient: str, own: dict[str, str], args: argparse.Namespace, left_out: Counter[str]
          ) -> Exam:
    """One patient's examination."""
    folder = own[args.series]
    try:
        volumes = split(patient, next(iter(scan(tree.root / folder).values())))
        images = {f"post{k}": f"{folder}#:{k}" for k in range(1, len(volumes) + 1)}
        before = split(patient, next(iter(scan(tree.root / own["mask"]).values()))) if "mask" in own else []
    except InputError as error:
        raise InputError(str(error) if patient in str(error) else f"{patient}: {error}", code=error.code) from None
    if len(volumes) == 1:
        images = {"post1": folder}
    if _first_is_pre(patient, volumes, before, args.first):
        images = {("pre" if k == 0 else f"post{k}"): name for k, name in enumerate(images.values())}
    elif before and before[0].shape == volumes[0].shape and np.allclose(before[0].affine, volumes[0].affine, atol=0.01):
        images = {"pre": own["mask"], **images}
    else:
        left_out["exams without a pre-contrast series on the grid of the phases"] += 1
    exam = Exam(patient, patient, images, {side: {"malignant": None, "benign": None} for side in "LR"})
    segments = []
    if "roi" in own and args.series == "registered":
        segments = [each for name in tree.folders[own["roi"]] if name.lower().endswith(".dcm")
                    for each in read_segments(tree.root / own["roi"] / name)]
    for number in range(1, _MOST + 1):
        if (malignant := row.label(f"tumor/benign{number}")) is not None:
            exam.lesions.append(_lesion(row, number, malignant, volumes[0], segments))
    left_out["outlines that fit no lesion of the table"] += len(segments)
    left_out["lesions without a slice of their coordinate"] += sum(m.center_mm[2] is None for m in exam.lesions)
    for side, breast in exam.breasts.items():
        labels = [lesion.malignant for lesion in exam.lesions if lesion.side == side]
        if labels:
            breast |= {"malignant": int(1 in labels), "benign": int(0 in labels)}
    return exam


def _first_is_pre(patient: str, volumes: list[Volume], before: list[Volume], said: str) -> bool:
    """Whether the dynamic series begins before contrast."""
    if said != "auto":
        return said == "pre"
    if not before:
        return len(volumes) > 1
    for tag in ("AcquisitionTime", "ContentTime"):
        first, mask = volumes[0].first.number(tag), before[0].first.number(tag)
        if first is not None and mask is not None:
            return abs(first - mask) <= _TOGETHER
    raise InputError(f"{patient}: nothing tells whether its dynamic series begins before contrast; say --first pre or "
                     "--first post1")


def _lesion(row: Row, number: int, malignant: int, volume: Volume, segments: list[_Segment]) -> Lesion:
    """A lesion of the table; takes its outline from `segments` where there is one."""
    place = _PLACE.fullmatch(row.required(f"pos{number}"))
    if place is None:
        raise row.error(f"`POS{number}` is not like R23.45; correct it, or see whether columns have slipped")
    side, at = place[1].upper(), float(place[2])
    columns, rows, _ = volume.shape
    height = middle = None
    for k, each in enumerate(volume.slices):
        location = each.number("SliceLocation")
        if location is not None and abs(location - at) <= _NEAR:
            middle, _, height = (volume.affine @ [(columns - 1) / 2, (rows - 1) / 2, k, 1])[:3]
    if height is None:
        return Lesion(side, (None, None, None), malignant, str(number))
    fitting = [s for s in segments if (s.center[0] > middle) == (side == "R") and abs(s.center[2] - height) <= _FAR]
    if not fitting:
        return Lesion(side, (None, None, round(float(height), 3)), malignant, str(number))
    best = min(fitting, key=lambda s: abs(s.center[2] - height))
    segments[:] = [each for each in segments if each is not best]
    x, y, z = (round(float(v), 3) for v in best.center)
    width, depth, tall = (round(float(v), 3) for v in best.size)
    return Lesion(side, (x, y, z), malignant, str(number), (width, depth, tall))


def read_segments(path: Path) -> list[_Segment]:
    """The segments of a DICOM SEG, each frame where its PlanePositionSequence says.

    Raises:
        InputError: the file cannot be read as one.
    """
    voxels: dict[int, list[np.ndarray]] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = pydicom.dcmread(path)
            frames = np.atleast_3d(file.pixel_array) if int(file.NumberOfFrames) > 1 else file.pixel_array[None]
        shared = file.SharedFunctionalGroupsSequence[0]
        for frame, about in zip(frames, file.PerFrameFunctionalGroupsSequence, strict=True):
            groups = [about, shared]
            measures = next(g.PixelMeasuresSequence[0] for g in groups if "PixelMeasuresSequence" in g)
            turned = next(g.PlaneOrientationSequence[0] for g in groups if "PlaneOrientationSequence" in g)
            row, column = np.asarray(turned.ImageOrientationPatient, float).reshape(2, 3)
            down, across = (float(v) for v in measures.PixelSpacing)
            origin = np.asarray(about.PlanePositionSequence[0].ImagePositionPatient, float)
            y, x = np.nonzero(frame)
            places = origin + x[:, None] * across * row + y[:, None] * down * column
            number = int(about.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            voxels.setdefault(number, []).append(places * [-1, -1, 1])  # LPS to RAS
        thick = float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 0.0)
    except Exception:  # pydicom raises many kinds, and a SEG may lack any of these
        raise InputError(f"{path.name}: not a DICOM segmentation that can be read; copy it again") from None
    voxel = np.abs(np.stack([row * across, column * down, np.cross(row, column) * thick])).sum(axis=0)
    found = []
    for places in voxels.values():
        every = np.concatenate(places)
        if len(every):
            found.append(_Segment(every.mean(axis=0), np.ptp(every, axis=0) + voxel))
    return found
