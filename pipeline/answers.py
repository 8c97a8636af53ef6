"""Answers to exams as users have them: what they are called, how they are written, and going on after a bad one.

Each bundle's inference ends in two steps: `…Resultd` computes (`transforms.answer`), `Save…d` writes. A host that sends
no `exam_id`, as MONAI Label, is answered by the first alone.

An answer is a few files whose names begin with the exam's: `NAME_result.json`, the map `NAME_heatmap.nii.gz`, the
picture `NAME_preview.png`, and what else a bundle has. They appear together or not at all, and never in the place of
another exam's answer.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, one_line
from pipeline.files.atomic import write_json, write_volume
from pipeline.names import RULE, is_name, twins

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".dicom", ".png", ".tiff", ".tif")


def name_of(path: Path | str) -> str:
    """An exam's name: the whole name of its folder, or its file's without the format's ending.

    Raises:
        InputError: it cannot name files.
    """
    path = Path(path).resolve()
    ending = "" if path.is_dir() else next((e for e in ENDINGS if path.name.lower().endswith(e)), "")
    name = path.name[: len(path.name) - len(ending)]
    if not is_name(name):
        told = "".join(c if c.isprintable() else "?" for c in name[:40])
        raise InputError(f"{told!r}: an exam's folder or file may hold {RULE}; rename it")
    return name


def check_distinct(names: Sequence[str]) -> None:
    """Refuse exams whose answers would share files.

    Raises:
        InputError: two names are one, be it in other letters' case.
    """
    if again := twins(names):
        raise InputError(f"{again[0]}: two exams have this name, be it in other letters' case; rename one of them")


@contextmanager
def answer(folder: Path | str, name: str, result: dict[str, Any], digests: Mapping[str, str]) -> Iterator[Path]:
    """Write an exam's answer: yields a folder for its files, which are moved to `folder` once all of them are there.

    `NAME_result.json` is written of `result`; it holds a digest of the exam's files, by which the answer of another
    exam of that name is told.

    Args:
        folder: of all answers.
        name: the exam's.
        result: for the JSON; `source` is added.
        digests: SHA-256 of each of the exam's files; where they are not known, no answer is ever replaced.

    Raises:
        InputError: the folder cannot be written, holds another exam's answer of that name, or a number of the result
            is not finite.
    """
    folder = Path(folder)
    source = hashlib.sha256(repr(sorted(digests.values())).encode()).hexdigest() if digests else None
    if not _finite(result):
        raise InputError(f"{name}: the network's answer is no number; give the weights and settings that belong "
                         "together")
    result["source"] = source
    table = f"{name}_result.json"
    if (folder / table).exists() and (source is None or _source(folder / table) != source):
        raise InputError(f"{folder.name}: holds the answer of another exam called {name}; choose another --output_dir")
    work = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=folder, prefix=f".{name}.", suffix=".part"))
        yield work
        write_json(work / table, result)
        _demand_room(folder, name, [file.name for file in work.iterdir()], source)
        for file in sorted(work.iterdir(), key=lambda file: file.name == table):  # the JSON comes last
            with file.open("rb") as written:
                os.fsync(written.fileno())
            file.replace(folder / file.name)
    except OSError as error:
        raise InputError(f"--output_dir {folder.name}: cannot be written ({error.strerror or type(error).__name__}); "
                         "choose another") from None
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def _demand_room(folder: Path, name: str, files: list[str], source: str | None) -> None:
    """Refuse to replace files of an answer that is not of the same exam, whichever bundle gave it."""
    others = [path for path in folder.glob("*.json") if path.name.startswith(f"{name}_") and _source(path) != source]
    taken = [file for file in files if (folder / file).exists()]
    if taken and (others or source is None):
        raise InputError(f"{folder.name}: holds {taken[0]} of another exam called {name}; choose another --output_dir")


@contextmanager
def saved(data: Mapping[Any, Any], key: Any, output_dir: Path | str, said: str,
          image_key: str = "image", steps: int | None = None) -> Iterator[tuple[Path, str]]:
    """Write the answer that a `…Resultd` left in an exam's dictionary, and say so.

    Yields the folder for the picture and what else there is, and the exam's name, with which their names begin.

    Args:
        data: `exam_id`, `result`, the map under `key`, and the image, whose meta has the files' `digests`.
        key: of the map, `(1, X, Y, Z)`; its header carries no name, date or path.
        output_dir: where the files go.
        said: what is printed of the answer.
        image_key: of the image.
        steps: of the map, as of `pipeline.files.atomic.write_volume`.

    Raises:
        InputError: as `answer`.
    """
    name, heat = str(data["exam_id"]), data[key]
    told = {"exam_id": name, **data["result"]}
    digests = dict(getattr(data[image_key], "meta", {}).get("digests", {}))
    with answer(output_dir, name, told, digests) as folder:
        write_volume(folder / f"{name}_heatmap.nii.gz", heat[0].cpu(), heat.meta["original_affine"], steps)
        yield folder, name
    for note in told.get("notes", ()):
        print(f"{name}: note: {note}", flush=True)
    print(f"{name}: {said}; in {output_dir}", flush=True)


def collate(exams: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of one exam: its `image` gets a first axis, everything else is kept as it is."""
    if len(exams) != 1:
        raise ValueError(f"exams go one at a time, got {len(exams)}")
    return {**exams[0], "image": exams[0]["image"][None]}


def _source(path: Path) -> str | None:
    try:
        content = json.loads(path.read_text())
        return content.get("source") if isinstance(content, dict) else None
    except (OSError, ValueError):
        return None


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    return all(map(_finite, value)) if isinstance(value, (list, tuple)) else True


def run(evaluator: Any, after: Callable[[Mapping[str, Any]], Any] | None = None) -> None:
    """Answer exam after exam; one that cannot be answered does not keep the others from it.

    Args:
        evaluator: MONAI's, whose data loader reads exams one at a time.
        after: called with each exam that was answered, for what else is made of its files.

    Raises:
        InputError: some could not be answered: says which, and why the first. A single exam's own error.
    """
    from monai.data import DataLoader, Dataset  # slow to import

    loader = evaluator.data_loader
    exams = list(loader.dataset.data)
    failed: list[tuple[str, str]] = []
    for exam in exams:
        one = Dataset([exam], loader.dataset.transform)
        evaluator.data_loader = DataLoader(one, batch_size=1, collate_fn=loader.collate_fn, num_workers=0)
        evaluator.state.epoch_length = 1
        try:
            evaluator.run()
            if after is not None:
                after(exam)
        except Exception as error:
            evaluator._internal_run_generator = None  # ignite keeps the run that failed, and would go on with it
            reason = one_line(error)
            if len(exams) == 1 and reason is None:
                raise  # a fault of ours: its traceback is wanted
            if len(exams) == 1:
                raise InputError(str(reason)) from None
            name = str(exam["exam_id"])
            failed.append((name, reason or f"{type(error).__name__}; answer it alone to see more"))
            print(f"{name}: no answer: {failed[-1][1]}", flush=True)
    evaluator.data_loader = loader
    if failed:
        raise InputError(f"{len(failed)} of {len(exams)} exams have no answer: "
                         f"{', '.join(name for name, _ in failed[:20])}{' …' if len(failed) > 20 else ''}; the first: "
                         f"{failed[0][1]}")
