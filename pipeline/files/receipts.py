"""Receipts: what a file of ours is, so that what changed, moved or broke is never believed.

A receipt is a small JSON beside the file (`model.pt` and `model.pt.receipt.json`), or an entry in the record of the
step that wrote it. It holds the file's SHA-256, what kind of thing it is, what it was made of, and by which version:

```
{"schema": "breast-bundles/receipt/1", "kind": "weights", "bytes": 10725102, "modified": 1795262170221000000,
 "sha256": "…", "about": {"fold": 0, "assignment": "…", "epoch": 4}, "parents": {"prepared": "…"}, "version": "0.1.0"}
```

Whether something is still to be done is asked often: size and time of change answer, and only where the time differs
the digest. Whoever takes a file's content asks for the digest itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.errors import InputError
from pipeline.files.atomic import replacing, write_json

SCHEMA = "breast-bundles/receipt/1"
SUFFIX = ".receipt.json"


def digest(path: Path | str) -> str:
    """SHA-256 of a file's content.

    Raises:
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(content: Mapping[str, Any], *movable: str) -> dict[str, Any]:
    """JSON content with a digest of itself.

    Args:
        content: what it says.
        movable: keys that may change without the content being another, as paths do.
    """
    return {**content, "digest": digest_of({k: v for k, v in content.items() if k not in movable})}


def is_sealed(content: Mapping[str, Any], *movable: str) -> bool:
    """Whether content is what `sealed` made of it."""
    return content.get("digest") == digest_of({k: v for k, v in content.items() if k not in ("digest", *movable)})


def digest_of(content: Any) -> str:
    """SHA-256 of what JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def state(path: Path | str) -> dict[str, Any]:
    """A file as it is now: `bytes`, `modified` (ns) and `sha256`."""
    before = Path(path).stat()
    return {"bytes": before.st_size, "modified": before.st_mtime_ns, "sha256": digest(path)}


def unchanged(path: Path | str, known: Mapping[str, Any]) -> bool:
    """Whether a file is what `state` saw: by size and time, and by content where it was copied or touched."""
    try:
        now = Path(path).stat()
        if now.st_size != known["bytes"]:
            return False
        return now.st_mtime_ns == known["modified"] or digest(path) == known["sha256"]
    except (OSError, KeyError, TypeError):
        return False


def demand(path: Path | str, sha256: str, remedy: str) -> None:
    """Refuse a file whose content is not what it was when it was written.

    Raises:
        InputError: it has changed, or is missing.
    """
    _demand(Path(path), _found(Path(path), remedy), sha256, remedy)


def _found(path: Path, remedy: str) -> str:
    try:
        return digest(path)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror}); {remedy}", code="missing") from None


def _demand(path: Path, found: str, sha256: str, remedy: str) -> None:
    if found != sha256:
        raise InputError(f"{path.name}: is not what was written (its check sum differs); {remedy}", code="changed")


@contextmanager
def receipted(path: Path | str, kind: str, about: Mapping[str, Any] | None = None,
              parents: Mapping[str, str] | None = None) -> Iterator[Path]:
    """As `replacing`, with a receipt beside the file.

    The receipt comes first and knows the file that it replaces as well, so that a process killed between the two leaves
    a file with a receipt.

    Args:
        path: the file.
        kind: what it is, e.g. `weights`.
        about: what distinguishes it from others of its kind: fold, settings.
        parents: name to digest of what it was made of.
    """
    path = Path(path)
    with replacing(path) as temporary:
        yield temporary
        write_json(_beside(path), {"schema": SCHEMA, "kind": kind, **state(temporary), "about": dict(about or {}),
                                   "parents": dict(parents or {}), "version": __version__, **_replaced(path)})


def read_receipt(path: Path | str, kind: str, remedy: str) -> dict[str, Any] | None:
    """The receipt of a file whose content has been held against it; None where it has none.

    Args:
        path: the file.
        kind: what it must be.
        remedy: what to do about a file that is something else or has changed, for the error.

    Raises:
        InputError: the file has changed since, it is of another kind, or the receipt cannot be read.
    """
    path = Path(path)
    beside = _beside(path)
    try:
        receipt = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        receipt = None
    if not isinstance(receipt, dict) or receipt.get("schema") != SCHEMA or not isinstance(receipt.get("sha256"), str):
        raise InputError(f"{beside.name}: damaged; {remedy}")
    if receipt.get("kind") != kind:
        raise InputError(f"{path.name}: its receipt is of {str(receipt.get('kind'))[:20]}, {kind} expected; {remedy}")
    found, previous = _found(path, remedy), receipt.get("previous")
    if isinstance(previous, dict) and found == previous.get("sha256"):
        receipt = previous  # whoever wrote was killed before the new file was there
    if not isinstance(receipt.get("about"), dict):
        raise InputError(f"{beside.name}: damaged; {remedy}")
    _demand(path, found, receipt["sha256"], remedy)
    return receipt


def _replaced(path: Path) -> dict[str, Any]:
    """The receipt of the file that is about to be replaced, where it has one that is true."""
    try:
        known = json.loads(_beside(path).read_text(encoding="utf-8"))
        if unchanged(path, known):  # its content is asked for again where it is read
            return {"previous": {key: value for key, value in known.items() if key != "previous"}}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}


def _beside(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)
