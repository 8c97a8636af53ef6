"""Errors a user can cause end a program with one line, not with a traceback."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from transforms.errors import InputError

# What a disk says when it is full, read-only, not ours, or asked for too long a name.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}

__all__ = ["InputError", "install_excepthook", "one_line", "run_main"]


def one_line(error: BaseException | None) -> str | None:
    """The message of the first `InputError`, or refusal of a disk, along the chain of causes; None where there is none.

    An error raised in a DataLoader's worker arrives as text, the worker's traceback with the message in it; only the
    message is kept.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in _DISK:
            name = Path(str(error.filename)).name if error.filename else "a file"
            return (f"{name}: cannot be written ({error.strerror}); see to the disk and to who may write there, then "
                    "run the same command again")
        lines = str(error).strip().splitlines()
        carried = [line.split(": ", 1)[1] for line in lines if line.startswith("transforms.errors.InputError: ")]
        if carried or isinstance(error, InputError):
            return (carried or lines or [type(error).__name__])[-1]
        error = error.__cause__ or error.__context__
    return None


def install_excepthook(said: Callable[[BaseException], str | None] = one_line) -> None:
    """Make uncaught `InputError`s print one line to stderr; every other error keeps its traceback.

    Args:
        said: the line of an error; None: its traceback is printed; empty: nothing is.

    `python -m monai.bundle run` offers no other place to decide how its errors look: the bundles call this in
    their first `initialize` expression. The exit status stays 1.
    """
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        message = said(error)
        if message is None:
            previous(kind, error, trace)
        elif message:
            print(f"error: {message}", file=sys.stderr)

    sys.excepthook = hook
    for engine in ("SupervisedTrainer", "SupervisedEvaluator"):  # would say twice what the line says
        logging.getLogger(f"ignite.engine.engine.{engine}").addFilter(_is_no_obituary)


def _is_no_obituary(record: logging.LogRecord) -> bool:
    return "is terminating due to exception" not in record.getMessage()


def run_main(main: Callable[[], int | None]) -> int:
    """Run a command's body; returns its exit status, 2 with one line on stderr for input that cannot be used."""
    try:
        return main() or 0
    except BrokenPipeError:  # `... | head`
        return 0
    except (InputError, OSError) as error:
        message = one_line(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was", file=sys.stderr)
        return 130
