"""An answer as DICOM objects beside the images that it answers: map, levels, report, and a picture.

All are of the source's patient and study and refer to its instances; maps are in its frame of reference. Mammograms
share no space and have no frame of reference: of them there are the report, with a region in each image, and the
picture.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from pipeline.errors import InputError
from pipeline.files.atomic import replacing
from pipeline.files.dicom_picture import dicom_picture
from pipeline.serve.dicom_grid import on_series, peak_of
from pipeline.serve.dicom_study import Model, Source, read_series, read_views

LEVELS = (0.5, 0.75, 0.9)  # of an answer that does not say which


def write_dicom(source: Path | str | Sequence[Path | str], answer: Mapping[str, Any], heat: np.ndarray | None,
                output_dir: Path | str, model: Model, *, affine: np.ndarray | None = None,
                picture: np.ndarray | None = None, name: str = "answer") -> list[Path]:
    """Write an answer as DICOM: all of its files, or none.

    * `NAME_map.dcm`: Parametric Map, float32, of a map of real numbers;
    * `NAME_levels.dcm`: Segmentation of its levels, where any voxel reaches the lowest;
    * `NAME_report.dcm`: Comprehensive 3D SR, template 1500;
    * `NAME_picture.dcm`: Secondary Capture, where there is a picture.

    Args:
        source: a DICOM series as `transforms.dicom_series.parse` takes it; or the mammograms of an exam, in the order
            of the answer's `images`.
        answer: the `result` of a bundle's inference.
        heat: its map, `(X, Y, Z)`, 0 to 1 as real numbers, or levels as whole ones; None for mammograms.
        output_dir: where the files go.
        model: what gave the answer.
        affine: of the map, voxel to RAS mm; None: it is on the series' own grid.
        picture: uint8 `(rows, columns, 3)`.
        name: with which the files' names begin.

    Raises:
        InputError: highdicom is not installed, the source is no DICOM, or the map is not on its grid.
    """
    need_highdicom()
    from pipeline.serve import dicom_report

    images = read_series(source) if isinstance(source, (str, Path)) else read_views(source)
    made: dict[str, Dataset] = {}
    paths = []
    with ExitStack() as whole:
        whole.enter_context(_quiet())
        peak = None
        if images.grid is not None and heat is not None:
            turned = on_series(np.asarray(heat), affine, images.grid)
            made |= _maps(images, turned, answer, model)
            peak = peak_of(turned)
        made["report"] = dicom_report.report(images, answer, model, peak)
        if picture is not None:
            made["picture"] = dicom_picture(picture, name, "Preview, research only", images.images)
        for kind, dataset in made.items():
            paths.append(Path(output_dir) / f"{name}_{kind}.dcm")
            dataset.save_as(whole.enter_context(replacing(paths[-1])), enforce_file_format=True)
    return paths


def need_highdicom() -> None:
    """Refuse what the extra `dicom` is needed for, where it is not installed.

    Raises:
        InputError: it is not.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise InputError("answers as DICOM need highdicom: pip install 'breast-bundles[dicom]'")


@contextmanager
def _quiet() -> Iterator[None]:
    """No word of what the libraries find unusual: they quote names and dates of patients."""
    logger = logging.getLogger("highdicom")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _maps(source: Source, heat: np.ndarray, answer: Mapping[str, Any], model: Model) -> dict[str, Dataset]:
    from pipeline.serve import dicom_maps  # imports highdicom

    limits = answer.get("heatmap", {}).get("levels", LEVELS)
    made = {"map": dicom_maps.parametric_map(source, heat, model)} if heat.dtype.kind == "f" else {}
    levels = dicom_maps.segmentation(source, dicom_maps.levels_of(heat, limits), limits, model)
    return made if levels is None else {**made, "levels": levels}
