"""An exam as a scanner sends it, one folder of DICOM: which series or volume is which contrast, by its tags."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transforms.dicom_volumes import Slice, Volume, scan, split
from transforms.errors import InputError

_T2_ECHO = 50.0  # ms; echoes that late weight by T2
_T2_NAME = re.compile(r"\bt2|stir|tirm", re.IGNORECASE)
_DERIVED = re.compile(r"\b(sub|subtraction|mip|projection|cad|adc|dwi)\b", re.IGNORECASE)
_FEWEST = 4  # slices; localisers have fewer
# What orders series in time, the surest first.
_ORDER = ("AcquisitionTime", "ContentTime", "TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime",
          "SeriesTime")
_NAMED_PHASE = re.compile(r"pre|post(\d+)")


@dataclass
class _Series:
    """One series: its name as `transforms.dicom_series` reads it, without the volume, and its volumes in time."""

    path: Path
    volumes: list[Volume]

    @property
    def first(self) -> Slice:
        return self.volumes[0].first

    def text(self, tag: str) -> str:
        value = self.first.header.get(tag)
        return "" if value is None else str(value)

    def told(self) -> str:
        size = " x ".join(map(str, self.volumes[0].shape))
        return f"series {self.text('SeriesNumber') or '?'}: {len(self.volumes)} of {size}"


def study_uids(folder: Path) -> set[str]:
    """StudyInstanceUIDs of the DICOM images in a folder and below.

    Raises:
        InputError: there is none, or a damaged file.
    """
    return {str(own[0].header.get("StudyInstanceUID", "")) for own in scan(folder, deep=True).values()}


def find_dicom(folder: Path, channels: Sequence[str], chosen: dict[str, str] | None = None) -> dict[str, Path]:
    """A name for each contrast, as `transforms.load.read_image` takes it.

    The phases are the volumes that share grid, echo, repetition and flip: the one such group that is large enough, in
    time. Where the contrast agent is recorded, the last volume before it is `pre`.

    Args:
        folder: one examination; series may lie in folders below.
        channels: contrasts that are wanted.
        chosen: filled with the choice of each contrast, for people.

    Raises:
        InputError: with code `missing_phase`: a contrast is not there, or there are several that it could be; the
            message lists what was found.
    """
    series = _series(folder)
    t2 = [each for each in series if _is_t2(each)]
    dynamic = _dynamic([each for each in series if each not in t2])
    wanted = [c for c in channels if _NAMED_PHASE.fullmatch(c)]
    last = max((int(c.removeprefix("post")) for c in wanted if c != "pre"), default=0)
    found: dict[str, Path] = {}
    told = "; ".join(each.told() for each in series) or "no volume"

    def fail(text: str) -> InputError:
        return InputError(f"{folder.name}: {text}; found {told}. Give one file a contrast, named after it",
                          code="missing_phase")

    if strange := [c for c in channels if c not in wanted and c != "t2"]:
        raise fail(f"no rule tells which series is {', '.join(strange)}")
    fitting = [group for group in dynamic if sum(len(s.volumes) for s in group) > last] if wanted else []
    if wanted and len(fitting) != 1:
        raise fail(f"{len(fitting) or 'no'} groups of series could be the {last + 1} phases"
                   if fitting else f"no {last + 1} phases on one grid")
    if wanted:
        phases = _in_time(fitting[0])
        if phases is None:
            raise fail("nothing tells the order of the phases")
        phases = _from_last_before_contrast(phases)
        if phases is None or len(phases) <= last:
            raise fail("what the headers say of the contrast agent contradicts the times of the phases")
        for name in wanted:
            found[name] = phases[0 if name == "pre" else int(name.removeprefix("post"))][0]
    if "t2" in channels:
        if wanted:
            t2 = [each for each in t2 if _parallel(each.volumes[0], fitting[0][0].volumes[0])]
        if len(t2) != 1 or len(t2[0].volumes) != 1:
            raise fail(f"{len(t2)} series could be t2" if t2 else "no series is t2")
        found["t2"] = t2[0].path
    if chosen is not None:
        numbers = {each.path.name: each.text("SeriesNumber") or "?" for each in series}
        for name, path in found.items():
            own, _, volume = path.name.rpartition(":")
            own, part = (own, f", volume {volume}") if own in numbers else (path.name, "")
            chosen[name] = f"series {numbers[own]}{part}"
    return found


def _series(folder: Path) -> list[_Series]:
    """Series that make volumes; localisers and what a reader or a program drew are passed over.

    Raises:
        InputError: several studies, or a series with slices missing.
    """
    scanned = scan(folder, deep=True)
    if len({str(own[0].header.get("StudyInstanceUID", "")) for own in scanned.values()}) > 1:
        raise InputError(f"{folder.name}: holds several studies; give each a folder of its own")
    found = []
    for uid, own in scanned.items():
        header = own[0].header
        words = " ".join([str(header.get("SeriesDescription", "")), *map(str, header.get("ImageType") or ())])
        if str(header.get("Modality", "MR")) != "MR" or len(own) < _FEWEST or _DERIVED.search(words.replace("_", " ")):
            continue
        if len({str(each.header.get("ImageOrientationPatient")) for each in own}) > 2:  # a localiser's planes
            continue
        folders = {each.path.parent for each in own}
        if len(folders) > 1:
            raise InputError(f"{folder.name}: series {header.get('SeriesNumber', '?')} lies in {len(folders)} folders; "
                             "put its files into one", code="series")
        name = f"{folder.name}, series {header.get('SeriesNumber', '?')}"
        found.append(_Series(Path(f"{folders.pop()}#{uid}"), split(name, own)))
    return sorted(found, key=lambda each: each.first.number("SeriesNumber") or 0.0)


def _is_t2(series: _Series) -> bool:
    late = (series.first.number("EchoTime") or 0.0) >= _T2_ECHO
    return late or bool(_T2_NAME.search(series.text("SeriesDescription")))


def _dynamic(series: list[_Series]) -> list[list[_Series]]:
    """Series that share grid and protocol."""
    groups: dict[str, list[_Series]] = defaultdict(list)
    for each in series:
        protocol = [each.first.number(tag) for tag in ("RepetitionTime", "EchoTime", "FlipAngle", "InversionTime")]
        rounded = [None if value is None else round(value, 1) for value in protocol]
        grid = np.round(each.volumes[0].affine, 1).tolist()
        groups[repr((each.volumes[0].shape, grid, rounded))].append(each)
    return list(groups.values())


def _in_time(group: list[_Series]) -> list[tuple[Path, Volume]] | None:
    """A group's volumes in time, with their names; None where nothing tells."""
    ordered = group
    if len(group) > 1:
        for tag in _ORDER:
            times = [(each.text("AcquisitionDate"), each.first.number(tag)) for each in group]
            if None not in [time for _, time in times] and len(set(times)) == len(group):
                ordered = [group[i] for i in sorted(range(len(group)), key=lambda i: (times[i][0], times[i][1] or 0.0))]
                break
        else:
            return None
    return [(Path(f"{each.path}:{k}") if len(each.volumes) > 1 else each.path, volume)
            for each in ordered for k, volume in enumerate(each.volumes, start=1)]


def _from_last_before_contrast(phases: list[tuple[Path, Volume]]) -> list[tuple[Path, Volume]] | None:
    """Without what came before the last volume without contrast agent; None where the agent goes away again."""
    given = [bool(volume.first.header.get("ContrastBolusAgent")) for _, volume in phases]
    if all(given) or not any(given):  # not recorded, or for the whole study
        return phases
    return None if sorted(given) != given else phases[given.index(True) - 1 :]


def _parallel(a: Volume, b: Volume) -> bool:
    """Whether two volumes' slices lie in one direction."""
    first, second = (v.affine[:3, 2] / np.linalg.norm(v.affine[:3, 2]) for v in (a, b))
    return bool(abs(first @ second) > 0.9)
