"""Writing a synthetic cohort of any modality: in parallel, resumable, the same bytes for the same seed."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import nibabel as nib
import numpy as np
from isal import igzip

from pipeline.errors import InputError
from pipeline.files.atomic import write_table, write_text
from pipeline.processes import shared

MARKER = "phantom.json"
LATER = {"later": True}  # of a preset's field that came when there were cohorts: told where it is not the default
Preset = TypeVar("Preset", bound="CohortPreset")


class CohortPreset(Protocol):
    """A modality's settings, a dataclass: how many exams, and what decides their pixels."""

    @property
    def exams(self) -> int: ...


@dataclass(frozen=True)
class Phantom(Generic[Preset]):
    """What is special of one modality's cohorts.

    Attributes:
        version: raised with every change that changes a voxel.
        presets: by name.
        draw: preset and seed to what the cohort holds, an exam each, before anything is rendered.
        files: exams, preset and an exam's number to its files, name -> content; it is sent to other processes.
        tables: writes the tables into the cohort's folder.
        readme: of the cohort, with `{exams}`, `{preset}`, `{seed}`, `{version}`, and `{cohort.…}`, the preset's fields.
    """

    version: str
    presets: Mapping[str, Preset]
    draw: Callable[[Preset, int], list[Any]]
    files: Callable[[list[Any], Preset, int], Mapping[str, bytes]]
    tables: Callable[[Path, list[Any], Preset], None]
    readme: str

    def write(self, output: Path | str, preset: Preset | str = "demo", exams: int | None = None, seed: int = 0,
              workers: int | None = None, progress: bool = True, scheduler: str | None = None) -> Path:
        """Write a cohort; what an earlier run of the same cohort finished is kept.

        Args:
            output: folder, made where it is missing.
            preset: a preset or its name.
            exams: their number; None for the preset's.
            seed: not negative.
            workers: processes; None for one a core. The files do not depend on it.
            progress: show a bar.
            scheduler: address of a dask cluster whose workers do it instead.

        Returns:
            The folder.

        Raises:
            InputError: no such preset, a number out of range, or the folder holds something else.
        """
        name, chosen = choose(self.presets, preset, exams, seed, workers)
        if exams is not None:
            chosen = replace(chosen, exams=exams)  # type: ignore[type-var]
        output = Path(output)
        claim(output, {"generator": self.version, "preset": name, "seed": seed, **_told(chosen)})
        specs = self.draw(chosen, seed)
        make_all(output, [s.exam_id for s in specs], partial(self.files, specs, chosen), workers, progress,
                 scheduler)
        self.tables(output, specs, chosen)
        write_text(output / "README.txt",
                   self.readme.format(exams=chosen.exams, preset=name, seed=seed, version=self.version,
                                      cohort=chosen))
        return output


def _told(preset: Any) -> dict[str, Any]:
    """What the marker says of a preset: all its fields, save later ones that are as ever."""
    usual = {f.name: f.default_factory() if f.default_factory is not MISSING else f.default
             for f in fields(preset) if f.metadata.get("later")}
    return {name: value for name, value in asdict(preset).items() if name not in usual or value != usual[name]}


def choose(presets: Mapping[str, Preset], preset: Preset | str, exams: int | None, seed: int,
           workers: int | None) -> tuple[str, Preset]:
    """A preset's name (`custom` for one that is given itself) and the preset; numbers are checked.

    Raises:
        InputError: no such preset, or a number out of range.
    """
    if isinstance(preset, str) and preset not in presets:
        raise InputError(f"no preset {preset!r}; choose one of {', '.join(presets)}")
    if (exams is not None and exams < 1) or seed < 0 or (workers is not None and workers < 1):
        raise InputError("exams and workers are at least 1 and a seed at least 0; give another number")
    return (preset, presets[preset]) if isinstance(preset, str) else ("custom", preset)


def counts(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that add up to `total`, as near to the shares as possible (largest remainders)."""
    exact = {name: share * total for name, share in shares.items()}
    whole = {name: int(value + 1e-9) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: whole[name] - exact[name])
    for name in by_remainder[: total - sum(whole.values())]:
        whole[name] += 1
    return whole


def spread(shares: Mapping[str, float], total: int, rng: np.random.Generator) -> list[str]:
    """`total` names in random order, each as often as its share says."""
    names = [name for name, number in counts(shares, total).items() for _ in range(number)]
    return [names[i] for i in rng.permutation(total)]


def claim(output: Path, parameters: Mapping[str, Any]) -> None:
    """Mark a folder as one cohort's, or see that it already is.

    Args:
        output: the cohort's folder; made where it is missing.
        parameters: what decides every byte of the cohort, as JSON can hold it.

    Raises:
        InputError: the folder holds another cohort or something else, or cannot be made.
    """
    wanted = json.loads(json.dumps(parameters))
    marker = output / MARKER
    try:
        output.mkdir(parents=True, exist_ok=True)
        if marker.exists():
            found = json.loads(marker.read_text())
            for key, value in wanted.items():
                if found.get(key) != value:
                    other = f"{key} {found.get(key)!r}, not {value!r}"
                    raise InputError(f"{output} holds another cohort ({other}); choose another --output")
        elif any(output.iterdir()):
            raise InputError(f"{output} is not empty and holds no synthetic cohort; choose another --output")
        else:
            write_text(marker, json.dumps(wanted, indent=1) + "\n")
    except InputError:
        raise
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{output}: cannot be used ({error}); choose another --output") from None


def make_all(output: Path, names: Sequence[str], make: Callable[[int], Mapping[str, bytes]],
             workers: int | None = None, progress: bool = True, scheduler: str | None = None) -> None:
    """Make the exams that are not there yet.

    An exam is written into a folder with a temporary name that is renamed at the end: a folder `exams/NAME`
    is whole, and a command that was stopped goes on with the next one.

    Args:
        output: the cohort's folder.
        names: the exams' names.
        make: from an exam's number to its files, name -> content; it is sent to other processes.
        workers: number of processes; None for one a core.
        progress: show a bar.
        scheduler: address of a dask cluster whose workers do it instead.
    """
    folder = output / "exams"
    folder.mkdir(exist_ok=True)
    todo = [(i, name) for i, name in enumerate(names) if not (folder / name).is_dir()]
    for _ in shared(_make_one, todo, folder.absolute(), make, workers=workers, scheduler=scheduler if todo else None,
                    writes=[folder], total=len(names), initial=len(names) - len(todo),
                    unit="exam", disable=not progress):
        pass


def _make_one(item: tuple[int, str], folder: Path, make: Callable[[int], Mapping[str, bytes]]) -> None:
    index, name = item
    for left_over in folder.glob(f".{name}.*"):
        shutil.rmtree(left_over, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix=f".{name}."))
    try:
        for file, content in make(index).items():
            (temporary / file).write_bytes(content)
        temporary.chmod(0o755)
        temporary.rename(folder / name)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def nifti_bytes(array: np.ndarray, affine: np.ndarray) -> bytes:
    """A `.nii.gz` file's content; no time stamp and no name in it, so that equal images are equal files.

    Args:
        array: (i, j, k), int16 or uint8.
        affine: voxel index to RAS mm, 4 × 4.
    """
    image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    return igzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def nrrd_bytes(array: np.ndarray, affine: np.ndarray) -> bytes:
    """A `.nrrd` file's content, gzip encoded, with directions and origin in LPS mm; equal images are equal files.

    Args:
        array: (i, j, k), uint8.
        affine: voxel index to RAS mm, 4 × 4.
    """
    def vector(values: np.ndarray) -> str:
        return "(" + ",".join(f"{value + 0.0:.6f}" for value in values) + ")"

    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    lines = ["NRRD0004", f"type: {array.dtype.name}", "dimension: 3", "space: left-posterior-superior",
             f"sizes: {' '.join(map(str, array.shape))}",
             f"space directions: {' '.join(vector(column) for column in lps[:3, :3].T)}",
             "kinds: domain domain domain", "encoding: gzip", f"space origin: {vector(lps[:3, 3])}", "", ""]
    return "\n".join(lines).encode() + igzip.compress(array.tobytes(order="F"), compresslevel=1, mtime=0)


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table of rows in the columns' order."""
    write_table(path, [dict(zip(columns, row, strict=True)) for row in rows], columns)
