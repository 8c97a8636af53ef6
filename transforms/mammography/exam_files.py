"""An examination's mammograms on disk: which file is which view, by its name; else its DICOM header must say it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transforms.errors import InputError

ENDINGS = (".dcm", ".dicom", ".png", ".tif", ".tiff")
_VIEW = re.compile(r"(?<![A-Z0-9])([LR])[-_ ]?(CC|MLO)(?:[-_ ]0*([1-9]\d*))?$")
_OTHER_PICTURES = (".jpg", ".jpeg", ".jp2", ".bmp", ".gif", ".webp")


def find_views(exam: Any, view: str | None = None) -> tuple[dict[str, str], str | None]:
    """The files of one examination.

    Args:
        exam: a folder, a list of files, a mapping of names to files, or one file: a view by itself, or, where a folder
            `NAME.exam` is beside a file `NAME.*`, the view of that examination which is shown.
        view: of a single file, as `L-CC`; default: by its name.

    Returns:
        paths by the view that a file's name ends in, second ones as repeats, else by the name; and the file shown.

    Raises:
        InputError: no such examination, or a picture of a format that is not read.
    """
    if isinstance(exam, Mapping):
        return {str(name): str(path) for name, path in exam.items()}, None
    if isinstance(exam, (list, tuple)):
        return named([Path(path) for path in exam]), None
    path = Path(exam)
    if path.is_dir():
        return named(images_in(path)), None
    whole = path.with_name(path.name.split(".")[0] + ".exam")
    if whole.is_dir():
        return named(images_in(whole)), str(path)
    return ({str(view): str(path)} if view else named([path])), str(path)


def named(files: Sequence[Path]) -> dict[str, str]:
    """Paths by the view that a file's name ends in, second ones as repeats; else by the name."""
    found: dict[str, str] = {}
    for file in files:
        stem = file.name.rpartition(".")[0] or file.name
        view = _VIEW.search(stem.upper())
        name = stem if view is None else f"{view[1]}-{view[2]}{f'-{view[3]}' if view[3] not in (None, '1') else ''}"
        number, free = 2, name
        while free in found:
            free, number = f"{name}-{number}", number + 1
        found[free] = str(file)
    return found


def images_in(folder: Path) -> list[Path]:
    """A folder's mammograms; a picture of another format is an error, so that no view is taken for missing."""
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith(_OTHER_PICTURES) and not path.name.startswith("."):
            raise InputError(f"{folder.name}/{path.name}: mammograms are not read from this format; convert it to "
                             "16-bit PNG or TIFF, or take it out of the folder")
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")
                  and (p.name.lower().endswith(ENDINGS) or _marked(p)))


def _marked(path: Path) -> bool:
    """Whether a file without an ending is DICOM."""
    if path.suffix and not path.suffix[1:].isdigit():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
