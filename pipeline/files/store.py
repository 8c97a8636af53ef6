"""Arrays that are dear to compute, kept in a folder under names that say what they were computed from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InputError
from pipeline.files.atomic import write_arrays
from pipeline.files.receipts import digest


class ArrayStore:
    """A folder of compressed `.npz` files; several processes may share it.

    One that cannot be read counts as absent.

    Args:
        folder: made when the first file is written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays under a key, by name; None where there are none."""
        try:
            with np.load(self._path(key)) as file:
                return {name: file[name] for name in file.files}
        except Exception:  # a damaged archive raises many kinds; what cannot be read is not there
            return None

    def put(self, key: str, **arrays: np.ndarray) -> None:
        """Keep arrays, in one piece."""
        write_arrays(self._path(key), **arrays)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"


def key_of(*parts: Any) -> str:
    """A name from what arrays depend on: arrays by dtype, shape and content, anything else by its `repr`."""
    found = hashlib.sha256()
    for part in parts:
        array = isinstance(part, np.ndarray)
        found.update(repr((part.dtype.str, part.shape) if array else part).encode() + b"\0")
        if array:
            found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()[:32]


def file_digest(path: Path | str, missing: str) -> str:
    """SHA-256 of a file.

    Args:
        path: the file.
        missing: what to do where there is none, for the error.

    Raises:
        InputError: no such file.
    """
    try:
        return digest(path)
    except OSError:
        raise InputError(f"{Path(path).name}: no such file; {missing}") from None
