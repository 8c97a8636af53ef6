"""One way to write: under a temporary name, flushed to the disk, then renamed, so that nobody ever sees half a file."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InputError

_LONG = 1000  # entries of a list in JSON, from which each is a line
_PART = ".part"  # a temporary file is `.NAME.HOST.PROCESS.part`: hidden, and with no suffix that a reader looks for


@contextmanager
def replacing(path: Path | str, suffix: str = "") -> Iterator[Path]:
    """A temporary path beside `path` to write to; it becomes `path` where the block ends well, else it goes.

    Folders above are made. Nothing of an earlier file is lost before the new one is whole and on the disk.

    Args:
        path: the file.
        suffix: end of the temporary name, for libraries that choose a format by it.

    Raises:
        InputError: the disk is full, the folder cannot be written, or the name is too long.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{_host()}.{os.getpid()}{_PART}{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be written ({error.strerror or error}); see to the disk and to who may "
                         "write there, then run the same command again", code="unwritable") from error
    finally:
        with suppress(OSError):  # never made, in a folder that cannot be
            temporary.unlink()


def leftovers(folder: Path | str) -> None:
    """Remove what killed processes of this host left in a folder; files of others, and of those that live, stay."""
    for path in Path(folder).glob(f".*{_PART}*"):
        *_, host, process = ["", *path.name.partition(_PART)[0].split(".")]
        if host == _host() and process.isdigit() and not lives(int(process)):
            path.unlink(missing_ok=True)


def _host() -> str:
    """This host, in a few letters."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def lives(process: int) -> bool:
    """Whether another process of this host is still there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return process not in (0, os.getpid())


def write_text(path: Path | str, text: str) -> None:
    """Write a text as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write bytes as they are."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path | str, content: Any) -> None:
    """Write JSON; numbers that are not finite are refused.

    It is indented; of a dictionary's lists with many entries, each is a line: Python indents at a tenth of the speed.
    """
    write_text(path, _indented(content) + "\n")


def _indented(content: Any) -> str:
    if not isinstance(content, dict) or not any(map(_is_long, content.values())):
        return json.dumps(content, indent=1, allow_nan=False)
    encode = json.JSONEncoder(allow_nan=False).encode
    parts = [f" {encode(str(key))}: " + ("[\n  " + ",\n  ".join(map(encode, value)) + "\n ]" if _is_long(value) else
             json.dumps(value, indent=1, allow_nan=False).replace("\n", "\n ")) for key, value in content.items()]
    return "{\n" + ",\n".join(parts) + "\n}"


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= _LONG


def write_table(path: Path | str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write rows as CSV; None becomes an empty cell.

    Args:
        path: the file.
        rows: column to value.
        columns: default: all that occur, in the order of their first occurrence.
    """
    columns = list(columns or dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    write_text(path, text.getvalue())


def write_array(path: Path | str, array: np.ndarray) -> int:
    """Write one array as `.npy`; returns its size in bytes."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.ascontiguousarray(array))
        return file.tell()


def write_arrays(path: Path | str, **arrays: Any) -> None:
    """Write arrays by name as compressed `.npz`."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def write_volume(path: Path | str, array: Any, affine: Any, steps: int | None = None) -> None:
    """Write a volume as NIfTI (`.nii.gz`), whose header carries no name, date or path.

    Args:
        path: the file.
        array: `(X, Y, Z)`.
        affine: `(4, 4)`, voxel index to RAS millimetres.
        steps: store real values, 0 to 1, as whole numbers from 0 to this, at most 255: a quarter of the memory.
    """
    import nibabel as nib  # slow to import, and only volumes need it

    array = np.asarray(array)
    coarse = steps if array.dtype.kind == "f" else None
    image = nib.Nifti1Image(np.rint(array * coarse).astype(np.uint8) if coarse else array, np.asarray(affine))
    if coarse:
        image.header.set_slope_inter(1 / coarse, 0)
    image.header.set_xyzt_units("mm", "sec")
    with replacing(path, ".nii.gz") as temporary:
        nib.save(image, temporary)
