"""One step of a study, and whether it is done: by what it was asked, what it was given and what it left.

`done.json` in the step's folder is its receipt. A step is done where the digest of its settings and of its inputs is
the same, and every file that it left is still there and whole. Neither paths of this machine nor the interpreter are
part of that: in a container, or under another mount, nothing is trained again. An edited overlay is another setting.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.errors import InputError
from pipeline.files.atomic import leftovers, write_json, write_text
from pipeline.files.claims import CLAIM
from pipeline.files.receipts import SUFFIX, digest, digest_of, is_sealed, sealed, state, unchanged

SCHEMA = "breast-bundles/step/1"
DONE = "done.json"
FAILED = "failed.json"
RESUME = "resume.pt"  # of `pipeline.training.run_state.RunState`
_INPUTS = ".inputs"  # digest of what a step was started with
_PASSING = (DONE, FAILED, _INPUTS, RESUME, RESUME + SUFFIX)  # no results
_PASSING_STARTS = ("log.", "events.out.", CLAIM)


@dataclass
class Step:
    """One command of the study.

    Attributes:
        name: as people read it.
        folder: where it works; no other step does.
        command: what is run.
        key: digest of its settings.
        whole: whether files are there that are too many for the receipt.
        listed: those files with their digests, as the step's own list tells them.
        processes: how many of them torchrun starts, between which it shares threads and GPUs.
        besides: digest of what it takes beside the inputs that it is given, such as lesions' masks.
    """

    name: str
    folder: Path
    command: list[str]
    key: str = ""
    whole: Callable[[], bool] = lambda: True
    listed: Callable[[], Mapping[str, str]] = dict
    processes: int = 1
    besides: Callable[[], str] = str

    def receipt(self) -> dict[str, Any] | None:
        """What `done.json` says; None where there is none, or one that was changed."""
        try:
            content = json.loads((self.folder / DONE).read_text(encoding="utf-8"))
            return content if content.get("schema") == SCHEMA and is_sealed(content) else None
        except (OSError, ValueError, AttributeError):
            return None

    def is_done(self, inputs: str) -> bool:
        """Whether it ended well with the same settings and inputs, and all that it left is there, unchanged."""
        done = self.receipt()
        return (done is not None and (done["key"], done["inputs"]) == (self.key, self._all(inputs))
                and all(unchanged(self.folder / name, known) for name, known in done["outputs"].items())
                and self.whole())

    def damaged(self) -> list[str]:
        """Names of files whose content is not what the step left, every one of them read."""
        done = self.receipt()
        if done is None:
            return [DONE] if (self.folder / DONE).exists() else []
        bad = [name for name, known in done["outputs"].items()
               if not unchanged(self.folder / name, {**known, "modified": None})]
        return bad + [name for name, sha256 in self.listed().items() if not _is(self.folder / name, sha256)]

    def size(self) -> int:
        """Bytes that the step left and that are there."""
        names = [*(self.receipt() or {"outputs": {}})["outputs"], *self.listed()]
        return sum(path.stat().st_size for name in names if (path := self.folder / name).is_file())

    def result(self) -> str:
        """Digest of what it left: the input of what rests on it."""
        done = self.receipt()
        assert done is not None
        return digest_of({name: known["sha256"] for name, known in done["outputs"].items() if not _tells(name)})

    def start(self, inputs: str) -> None:
        """Make the folder; what an earlier run left to go on from stays where all was the same and it had not ended.

        Raises:
            InputError: the folder cannot be written.
        """
        asked = digest_of([self.key, self._all(inputs)])
        note = self.folder / _INPUTS
        ended = (self.folder / DONE).exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in (DONE, FAILED):
                (self.folder / name).unlink(missing_ok=True)
            leftovers(self.folder)
            if ended or not note.is_file() or note.read_text() != asked:
                (self.folder / RESUME).unlink(missing_ok=True)
                (self.folder / (RESUME + SUFFIX)).unlink(missing_ok=True)
                write_text(note, asked)
        except OSError as error:
            raise InputError(f"{self.folder.name}: cannot be written ({error.strerror}); see to its permissions, or "
                             "choose another --out") from None

    def finish(self, inputs: str, seconds: float) -> None:
        """Write the receipt of what the step left."""
        outputs = {str(path.relative_to(self.folder)): state(path) for path in sorted(_results(self.folder))}
        write_json(self.folder / DONE, sealed({
            "schema": SCHEMA, "key": self.key, "inputs": self._all(inputs), "outputs": outputs,
            "seconds": round(seconds, 1), "version": __version__}))

    def _all(self, inputs: str) -> str:
        return digest_of([inputs, besides]) if (besides := self.besides()) else inputs

    def fail(self, reason: str, status: int) -> None:
        """Note why it ended."""
        write_json(self.folder / FAILED, {"reason": reason, "exit_status": status})


def _tells(name: str) -> bool:
    """Whether a file only tells of a run: its configs and receipts hold paths and times."""
    last = name.rpartition("/")[2]
    return last.endswith(SUFFIX) or last.startswith("config.")


def _is(path: Path, sha256: str) -> bool:
    try:
        return digest(path) == sha256
    except OSError:
        return False


def _results(folder: Path) -> Iterator[Path]:
    """Files that a step left: none of another step's within, none that only tell or help to go on."""
    for path in folder.iterdir():
        if path.is_dir():
            # `records` and arrays of a preparation are told of, digests and all, in its list.
            if not (path / DONE).exists() and not (path / _INPUTS).exists() and path.name != "records":
                yield from (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        elif path.name not in _PASSING and not path.name.startswith((".", *_PASSING_STARTS)) and (
                path.suffix != ".npy"):
            yield path
