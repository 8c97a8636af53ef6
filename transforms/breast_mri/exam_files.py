"""An exam's images on disk: which file is which contrast, and reading them one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transforms.breast_mri.dicom_exam import find_dicom
from transforms.errors import InputError
from transforms.facts import Facts, facts_of
from transforms.grid import Grid
from transforms.load import Image, is_image, read_image

T2 = ("t2",)  # contrasts that are not phases of the dynamic series: own grid, own scale


def find_contrasts(exam: Any, channels: Sequence[str], told: dict[str, str] | None = None) -> dict[str, Path] | Path:
    """Where an exam's contrasts lie: a path each, or the one 4D file that holds them all.

    Args:
        exam: as `transforms.LoadBreasts` takes it.
        channels: contrasts that are wanted.
        told: filled with which series of DICOM was taken for which contrast, where that was to be found out.

    Raises:
        InputError: the exam or one of its contrasts cannot be found.
    """
    if isinstance(exam, Mapping):
        found = {c: Path(exam[c]) for c in channels if c in exam}
    elif isinstance(exam, (list, tuple)):
        if len(exam) != len(channels):
            raise InputError(f"{len(exam)} images given, {len(channels)} expected: {', '.join(channels)}")
        return {c: Path(path) for c, path in zip(channels, exam, strict=True)}
    else:
        path = Path(exam)
        if path.is_file():
            folder = path.with_name(path.name.split(".")[0] + ".exam")
            if not folder.is_dir():
                return path
            path = folder
        if not path.is_dir():
            raise InputError(f"{path.name}: no such exam; give a folder with one file a contrast, or one 4D file",
                             code="missing")
        files = {p.name.split(".")[0].lower(): p for p in sorted(path.iterdir()) if is_image(p)}
        if not files:  # as a scanner sends it
            return dict(find_dicom(path, channels, told))
        found = {c: files[c.lower()] for c in channels if c.lower() in files}
        exam = path.name
    missing = [c for c in channels if c not in found]
    if missing:
        where = f"{exam}: " if isinstance(exam, str) else ""
        raise InputError(f"{where}no image for {', '.join(missing)}; name the files after their contrasts "
                         f"({', '.join(channels)}) or give a bundle with other channels", code="missing_phase")
    return found


def read_contrasts(exam: Any, channels: Sequence[str],
                   facts: dict[str, Facts] | None = None) -> Iterator[tuple[str, str, Image]]:
    """Contrast, the name to use in errors, and image, read one at a time so that only one is in memory.

    The phases come first, whatever the channels' order: the first of them shows the outline and sets the scale.

    Args:
        exam, channels: as `find_contrasts`.
        facts: filled with each image's facts, for `pipeline.verify.gate`.

    Raises:
        InputError: a file is missing or damaged, has not three axes, or holds voxels that are not finite.
    """
    facts = {} if facts is None else facts
    found = find_contrasts(exam, channels)
    if isinstance(found, dict):
        for contrast in sorted(channels, key=lambda c: c in T2):
            name = found[contrast].name
            yield contrast, name, _checked(contrast, name, read_image(found[contrast]), facts)
        return
    image = read_image(found)
    volumes = image.array.shape[3] if image.array.ndim == 4 else 1
    if volumes != len(channels):
        raise InputError(f"{found.name}: holds {volumes} volumes, {len(channels)} expected: {', '.join(channels)}",
                         code="missing_phase")
    array = image.array if image.array.ndim == 4 else image.array[..., None]
    for c, contrast in sorted(enumerate(channels), key=lambda entry: entry[1] in T2):
        name = f"{found.name}, volume {c}"
        one = replace(image, array=array[..., c])
        yield contrast, name, _checked(contrast, name, one, facts)


def same_grid(name: str, grid: Grid, first: Grid) -> None:
    """Refuse an image whose grid is not that of the exam's first phase.

    Raises:
        InputError: the grids differ.
    """
    if not first.matches(grid):
        raise InputError(f"{name}: its grid differs from the first phase's (shape {grid.shape} against "
                         f"{first.shape}, or the affine); resample it or correct its header", code="affine_mismatch")


def _checked(contrast: str, name: str, image: Image, facts: dict[str, Facts]) -> Image:
    if image.array.ndim != 3:
        raise InputError(f"{name}: has {image.array.ndim} axes, 3 expected; give one file a contrast", code="not_3d")
    facts[contrast] = facts_of(image, name)
    if facts[contrast].non_finite:
        raise InputError(f"{name}: holds NaN or infinite voxels; export it again", code="non_finite")
    return image
