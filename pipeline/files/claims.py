"""Claims: two processes, on one machine or on two that share a disk, never work in one folder at the same time.

A claim is a file that only one process can make. It names host and process, and its time of change is renewed while
the work goes on. It is stale where its process is gone, or, on another host or in another container of this one, where
it was not renewed for `STALE` seconds. What is assumed of a shared file system: a hard link is made by one process
only and a rename is seen as a whole, as on local ones and NFS from version 3 on; what another host wrote is seen within
`STALE` (NFS keeps attributes for a minute at most); its own clock counts, so that those of hosts may differ. What a
killed process had started must have ended when `STALE` is over, as schedulers see to.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.files.atomic import lives

CLAIM = ".claim"
STALE = 300.0  # seconds without a sign of life
BEAT = 30.0  # seconds between signs of life


def holder(folder: Path | str) -> dict[str, Any] | None:
    """Who works in a folder: `host`, `pid`, and what it told of its work; None where nobody does."""
    path = Path(folder) / CLAIM
    try:
        content = json.loads(path.read_text())
        host, process, told = str(content["host"]), int(content["pid"]), dict(content.get("about") or {})
        numbers = [(int(content.get(name, 0)), content.get(f"{name}_began")) for name in ("pid", "worker")]
        began, place = content.get("boot", _boot()), content.get("place", _place())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):  # being written, or damaged: its age alone tells
        return {"host": "?", "pid": 0} if _age(path) < STALE else None
    if host == socket.gethostname() and began != _boot():
        return None  # of before the machine was started
    if host == socket.gethostname() and place == _place():
        lives_on = any(_is_there(*number) for number in numbers)
    else:
        lives_on = _age(path) < STALE
    return {**told, "host": host, "pid": process} if lives_on else None


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
    """Which start of the machine this is; None where that is not told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _place() -> str | None:
    """Which container's processes are counted here; None where that is not told."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


@dataclass(frozen=True)
class Claim:
    """A claim that this process holds."""

    path: Path
    content: Mapping[str, Any]

    def works(self, process: int, **about: Any) -> None:
        """Name the process that does the work, and tell of it what JSON can hold.

        The claim holds as long as either process lives, so that a worker whose master was killed is not joined by a
        second one.
        """
        if self.is_ours():
            _write(self.path, {**self.content, "worker": process, "worker_began": _began(process), "about": about},
                   os.replace)

    def is_ours(self) -> bool:
        """Whether nobody has taken it over, as others may who saw no sign of life for `STALE` seconds."""
        return self.token in _content(self.path)

    @property
    def token(self) -> bytes:
        """What no other claim holds."""
        return str(self.content["token"]).encode()


@contextmanager
def claimed(folder: Path | str, wait: Callable[[dict[str, Any]], None],
            lost: Callable[[], None] = lambda: None) -> Iterator[Claim]:
    """Hold the claim on a folder while the block runs.

    Args:
        folder: made where it is not there.
        wait: called with the holder as long as somebody else works there; returns to try again, or raises.
        lost: called, in another thread, where somebody else has taken the claim over while the block runs.

    Raises:
        InputError: the folder cannot be written.
    """
    path = Path(folder) / CLAIM
    content = {"host": socket.gethostname(), "boot": _boot(), "place": _place(), "token": secrets.token_hex(8),
               **_named(os.getpid())}
    claim = Claim(path, content)
    while not _take(path, content):
        found = _content(path)
        if (other := holder(folder)) is not None:
            wait(other)
        else:
            _bury(path, found)
    stopped = threading.Event()

    def beat() -> None:
        gone = False
        while not stopped.wait(BEAT):
            with suppress(OSError):  # a server that does not answer now may later
                found = path.read_bytes() if path.exists() else b""
                if claim.token in found:
                    os.utime(path)
                elif found or gone:  # while somebody looks whose it is, it is gone for a moment
                    lost()
                    return
                gone = not found

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield claim
    finally:
        stopped.set()
        with suppress(OSError):
            if claim.is_ours():  # not taken over by somebody who thought this process dead
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
    """The time as the folder's file system counts it; as this machine does where nothing can be written."""
    probe = folder / f"{CLAIM}.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}.clock"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink()
