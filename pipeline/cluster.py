"""A dask cluster: how it is reached, and its workers looked at before anything is handed to them."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

_PATIENCE = "20s"  # for a scheduler that does not answer
_STARTS = 3  # of a client


@contextmanager
def connected(address: str, reads: Sequence[Path] = (), writes: Sequence[Path] = ()) -> Iterator[Client]:
    """A client of a cluster all of whose workers can take part.

    Args:
        address: of the scheduler, e.g. `tcp://head:8786`.
        reads: files and folders that every worker must have at the same place.
        writes: folders that are here, and that every worker must see as they are here.

    Raises:
        InputError: dask is not installed, no scheduler answers, or a worker has another version of this package or
            lacks one of these places; names the worker.
    """
    try:
        from distributed import Client
    except ImportError:
        raise InputError("dask is not installed; pip install 'breast-bundles[dask]' here and where "
                         "workers run") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # says in pages what the errors say in a line
    client = _client(Client, address)
    try:
        _look_at_workers(client, address, reads, writes)
        yield client
    finally:
        client.close(timeout=5)


def _client(kind: type[Client], address: str) -> Client:
    """A client; dask gives its own thread ten seconds to begin, which it may need more than once on a busy machine."""
    for _ in range(_STARTS):
        try:
            return kind(address, timeout=_PATIENCE, set_as_default=False)
        except AssertionError:  # all that dask says of a thread that has not begun
            continue
        except (OSError, ValueError, TypeError):
            raise InputError(f"{address}: no dask scheduler answers there; begin one with `dask scheduler`, or correct "
                             "the address") from None
    raise InputError(f"{address}: dask could not begin on this machine, which is too busy; try again later")


@contextmanager
def joblib_on(address: str, reads: Sequence[Path] = (), writes: Sequence[Path] = ()) -> Iterator[None]:
    """While the block runs, joblib's work is done by a dask cluster; arguments and errors as of `connected`."""
    from joblib import parallel_config

    with connected(address, reads, writes) as client, parallel_config(backend="dask", client=client):
        yield


def workers_of(client: Client) -> dict[str, dict[str, Any]]:
    """The cluster's workers: address to what the scheduler knows of them."""
    return dict(client.scheduler_info(n_workers=-1)["workers"])


def _look_at_workers(client: Client, address: str, reads: Sequence[Path], writes: Sequence[Path]) -> None:
    names = {each: f"worker {told['name']} at {each}" for each, told in workers_of(client).items()}
    if not names:
        raise InputError(f"{address}: this dask cluster has no workers; begin some with `dask worker {address}`")
    with ExitStack() as marks:
        places = {str(path.absolute()): path.name for path in reads}
        for path in writes:  # that a folder of this name is there does not say that it is this one
            path.mkdir(parents=True, exist_ok=True)
            mark = marks.enter_context(NamedTemporaryFile(dir=path, prefix=".seen-by-all."))
            places[str(Path(mark.name).absolute())] = path.name
        answers = client.run(_facts, list(places), on_error="return")
    for each, name in names.items():
        answer = answers.get(each)
        if not isinstance(answer, dict):
            raise InputError(f"{name}: has no breast-bundles {__version__} ({_words(answer)}); install it there")
        if answer["version"] != __version__:
            raise InputError(f"{name}: has breast-bundles {answer['version']}, here it is {__version__}; install "
                             "the same there")
        if answer["lacking"]:
            raise InputError(f"{name}: does not see {places[answer['lacking'][0]]} as it is here; mount the shared "
                             "folder there at the same place, or leave that worker out")


def _facts(places: Sequence[str]) -> dict[str, Any]:
    """What a worker tells of itself; runs there."""
    return {"version": __version__, "lacking": [place for place in places if not Path(place).exists()],
            "host": socket.gethostname(), "python": sys.executable}


def _words(error: Any) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:150]
