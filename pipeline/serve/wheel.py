"""The shared library as a wheel: an exported bundle carries it along, because no index has it.

A wheel is a zip of the packages with three texts. It is made of the packages as they are imported, from a checkout or
from an installation; same files, same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pipeline
from pipeline.errors import InputError
from pipeline.files.archives import zip_bytes

NAME = "breast-bundles"
PACKAGES = ("data_lists", "pipeline", "transforms")
_KINDS = {".py", ".typed", ".html"}
_WHEEL = "Wheel-Version: 1.0\nGenerator: {name} ({version})\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel() -> tuple[str, bytes]:
    """The wheel's file name, and its content.

    Raises:
        InputError: the project is not installed, so that nothing says what it needs.
    """
    try:
        own = distribution(NAME)
    except PackageNotFoundError:
        raise InputError(f"{NAME} is not installed; run `pip install -e .` in its folder, or `make venv`") from None
    stem = f"{NAME.replace('-', '_')}-{own.version}"
    files = {path: content for package in PACKAGES for path, content in _files(package)}
    info = f"{stem}.dist-info"
    for name, text in (("METADATA", _metadata(own)), ("WHEEL", _WHEEL.format(name=NAME, version=own.version)),
                       ("entry_points.txt", own.read_text("entry_points.txt")),
                       ("top_level.txt", "\n".join(PACKAGES) + "\n")):
        if text is not None:
            files[f"{info}/{name}"] = text.encode()
    record = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in sorted(files.items())]
    files[f"{info}/RECORD"] = ("\n".join([*record, f"{info}/RECORD,,"]) + "\n").encode()
    return f"{stem}-py3-none-any.whl", zip_bytes(files)


def _files(package: str) -> list[tuple[str, bytes]]:
    root = Path(pipeline.__file__).resolve().parents[1]
    return [(path.relative_to(root).as_posix(), path.read_bytes()) for path in sorted((root / package).rglob("*"))
            if path.suffix in _KINDS and path.is_file()]


def _metadata(own: Distribution) -> str | None:
    return own.read_text("METADATA") or own.read_text("PKG-INFO")


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
