"""Exams that were answered as files, once more as DICOM: what `predict --dicom` adds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.serve.dicom_grid import series_on
from pipeline.serve.dicom_objects import need_highdicom, write_dicom
from pipeline.serve.dicom_study import Model, need_dicom
from transforms.grid import Grid, triple
from transforms.load import read_image


def model_of(exported: Path) -> Model:
    """The bundle that an exported folder holds."""
    told, metadata = (json.loads((exported / name).read_text(encoding="utf-8"))
                      for name in ("export.json", "configs/metadata.json"))
    return Model(str(told["bundle"]), str(metadata["version"]))


def check(exams: Iterable[Mapping[str, Any]]) -> None:
    """Refuse exams that are no DICOM, before anything is computed.

    Args:
        exams: as the bundles' `find` gives them: `image` is a path, or view to path.

    Raises:
        InputError: the first that is none, or highdicom is not installed.
    """
    need_highdicom()
    for exam in exams:
        need_dicom(list(exam["image"].values()) if isinstance(exam["image"], Mapping) else exam["image"])


def write(exam: Mapping[str, Any], output_dir: Path | str, model: Model) -> list[Path]:
    """Write an exam's answer as DICOM, of the files that `pipeline.answers.saved` wrote of it.

    Args:
        exam: as of `check`, with its `exam_id`.
        output_dir: has NAME_result.json, NAME_heatmap.nii.gz and NAME_preview.png, and gets NAME_map.dcm and others as
            of `pipeline.serve.dicom_objects.write_dicom`.
        model: what gave the answer.

    Raises:
        InputError: as `write_dicom`.
    """
    folder, name, image = Path(output_dir), str(exam["exam_id"]), exam["image"]
    result = json.loads((folder / f"{name}_result.json").read_text(encoding="utf-8"))
    options: dict[str, Any] = {"picture": _picture(folder / f"{name}_preview.png"), "name": name}
    if isinstance(image, Mapping):
        return write_dicom(list(image.values()), result, None, folder, model, **options)
    heat = read_image(folder / f"{name}_heatmap.nii.gz")
    source = series_on(Path(image), Grid(triple(heat.array.shape), heat.affine))
    real = result.get("heatmap", {}).get("output", "float") == "float"
    values = heat.array.astype(np.float32 if real else np.uint8)
    return write_dicom(source, result, values, folder, model, affine=heat.affine, **options)


def _picture(path: Path) -> np.ndarray | None:
    from PIL import Image

    if not path.is_file():
        return None
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
