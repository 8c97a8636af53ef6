"""Zip archives: written so that the same files give the same bytes, and read so that nothing leaves its folder."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pipeline.errors import InputError

_MOST_BYTES = 64 << 30  # of all files of an archive together
_STORED = (".pt", ".whl", ".gz", ".png")  # what does not become smaller
_LINK = 0o120000


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """An archive of contents by their names."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in sorted(files):
            archive.writestr(_entry(name), files[name])
    return made.getvalue()


def zip_folder(folder: Path, target: Path) -> None:
    """Write a folder, under its own name, as an archive."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            entry = _entry(f"{folder.name}/{path.relative_to(folder).as_posix()}")
            entry.file_size = path.stat().st_size  # so that the archive knows whether it needs long numbers
            with archive.open(entry, "w") as written, path.open("rb") as file:
                shutil.copyfileobj(file, written, 1 << 20)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o100644 << 16
    entry.create_system = 3
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(_STORED) else zipfile.ZIP_DEFLATED
    return entry


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A folder, or an archive's content for as long as the block runs; of an archive of one folder, that folder.

    Raises:
        InputError: no such file, no archive or a damaged one, or one whose files would lie elsewhere.
    """
    if not path.exists():
        raise InputError(f"{path.name}: no such file or folder; check its name")
    if path.is_dir() or not zipfile.is_zipfile(path):
        yield path
        return
    work = Path(tempfile.mkdtemp(prefix="breast-bundles-"))
    try:
        inside = work / path.stem  # what has no folder of its own is called as the archive
        inside.mkdir()
        _unpack(path, inside)
        inner = list(inside.iterdir())
        yield inner[0] if len(inner) == 1 and inner[0].is_dir() else inside
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            for entry in entries:
                name = PurePosixPath(entry.filename.replace("\\", "/"))
                link = entry.external_attr >> 16 & 0o170000 == _LINK
                if link or name.is_absolute() or not name.parts or ".." in name.parts or ":" in name.parts[0]:
                    raise InputError(f"{path.name}: holds a file that would lie outside its folder, or a link; do not "
                                     "use it")
            if sum(entry.file_size for entry in entries) > min(_MOST_BYTES, shutil.disk_usage(folder).free):
                raise InputError(f"{path.name}: its files are larger than the room there is; unpack it elsewhere")
            for entry in entries:
                archive.extract(entry, folder)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path.name}: cannot be unpacked ({type(error).__name__}); copy it again") from None
