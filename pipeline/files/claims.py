"""Claims: two processes, on one machine or on two that share a disk, never work in one folder at the same time.

A claim is a file that only one process can make. It names host and process, and its time of change is renewed while
the work goes on. It is stale where its process is gone, or, on another host, where it was not renewed for
`STALE` seconds: clocks of hosts may differ by less than that, and the file system must make files exclusively, as local
ones and NFS from version 3 on do.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.files.atomic import lives

CLAIM = ".claim"
STALE = 300.0  # seconds without a sign of life
_BEAT = 30.0  # seconds between signs of life


def holder(folder: Path | str) -> dict[str, Any] | None:
    """Who works in a folder: `host` and `pid`; None where nobody does."""
    path = Path(folder) / CLAIM
    try:
        content = json.loads(path.read_text())
        age = _now(path.parent) - path.stat().st_mtime
        host, process = str(content["host"]), int(content["pid"])
        here = any(_is_there(int(content.get(name, 0)), content.get(f"{name}_began")) for name in ("pid", "worker"))
        here = here and content.get("boot", _boot()) == _boot()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):  # being written, or damaged: its age alone tells
        host, process, here, age = "?", 0, False, _age(path)
    return {"host": host, "pid": process} if (here if host == socket.gethostname() else age < STALE) else None


def _is_there(process: int, began: str | None) -> bool:
    """Whether a process lives and is the one that was named, not a later one with its number."""
    return (process == os.getpid() or lives(process)) and (began is None or began == _began(process))


def _named(process: int) -> dict[str, Any]:
    return {"pid": process, "pid_began": _began(process)}


def _began(process: int) -> str | None:
    """When a process began, by the kernel's clock; None where that is not told."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _boot() -> str | None:
    """Which start of the machine this is, and which container's processes are counted; None where not told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


@contextmanager
def claimed(folder: Path | str, wait: Callable[[dict[str, Any]], None]) -> Iterator[Callable[[int], None]]:
    """Hold the claim on a folder while the block runs.

    Yields a function that names the process which does the work: the claim holds as long as either lives, so that a
    worker whose master was killed is not joined by a second one.

    Args:
        folder: made where it is not there.
        wait: called with the holder as long as somebody else works there; returns to try again, or raises.

    Raises:
        InputError: the folder cannot be written.
    """
    path = Path(folder) / CLAIM
    content = {"host": socket.gethostname(), "boot": _boot(), "token": secrets.token_hex(8), **_named(os.getpid())}

    def ours() -> bool:
        return content["token"].encode() in _content(path)

    def works(process: int) -> None:
        if ours():
            _write(path, {**content, "worker": process, "worker_began": _began(process)}, os.replace)

    while not _take(path, content):
        found = _content(path)
        if (other := holder(folder)) is not None:
            wait(other)
        else:
            _bury(path, found)
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(_BEAT):
            with suppress(OSError):
                if ours():
                    os.utime(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield works
    finally:
        stopped.set()
        with suppress(OSError):
            if ours():  # not taken over by somebody who thought this process dead
                path.unlink()


def _write(path: Path, content: Mapping[str, Any], put: Callable[[Path, Path], None]) -> None:
    """Put content in place at once: nobody reads half a claim."""
    own = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}")
    own.write_text(json.dumps(content))
    try:
        put(own, path)
    finally:
        own.unlink(missing_ok=True)


def _take(path: Path, content: Mapping[str, Any]) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, content, os.link)
    except FileExistsError:
        return False
    except OSError as error:
        raise InputError(f"{path.parent.name}: cannot be written ({error.strerror}); choose another folder") from None
    return True


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _bury(path: Path, dead: bytes) -> None:
    """Take a dead process's claim away, not one that somebody else has put there meanwhile."""
    aside = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}.aside")
    with suppress(FileNotFoundError):
        path.rename(aside)
        if _content(aside) != dead:
            with suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()


def _age(path: Path) -> float:
    try:
        return _now(path.parent) - path.stat().st_mtime
    except OSError:
        return STALE


def _now(folder: Path) -> float:
    """The time as the folder's file system counts it."""
    probe = folder / f"{CLAIM}.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}.clock"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        with suppress(OSError):
            probe.unlink()
