"""Exams as a user has them: found on disk, and answered with a heat map, a table and a picture."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline import answers
from pipeline.errors import InputError
from transforms.breast_mri.dicom_exam import study_uids
from transforms.breast_mri.exam_files import find_contrasts
from transforms.grid import Grid, triple
from transforms.load import is_image


def find(path: Path | str, channels: Sequence[str]) -> list[dict[str, Any]]:
    """The exams under a path.

    Args:
        path: one exam (a folder with one file a contrast, a folder of DICOM, or a 4D file), or a folder of exams.
        channels: contrasts that an exam must have.

    Returns:
        one `{"image": path, "exam_id": name}` an exam.

    Raises:
        InputError: nothing there, a single exam lacks a contrast, or exams cannot be told apart by their names.
    """
    root = Path(path)
    if not root.exists():
        raise InputError(f"{root.name}: no such exam; give a folder with one file a contrast, or one 4D file")
    names = {c.lower() for c in channels}
    named = root.is_file() or any(is_image(p) and p.name.split(".")[0].lower() in names for p in root.iterdir())
    exams = [root]
    if not named and not _is_one_study(root):
        exams = [p for p in sorted(root.iterdir()) if p.is_dir() or is_image(p)]
    if not exams:
        raise InputError(f"{root.name}: holds no image; expected {', '.join(channels)} as .nii.gz, or one 4D file")
    if len(exams) == 1:  # of several, each is judged when its turn comes
        chosen: dict[str, str] = {}
        find_contrasts(exams[0], channels, chosen)
        if chosen:
            print(f"{answers.name_of(root)}: {'; '.join(f'{c} is {what}' for c, what in chosen.items())}", flush=True)
    found = [{"image": str(exam), "exam_id": answers.name_of(exam)} for exam in exams]
    answers.check_distinct([exam["exam_id"] for exam in found])
    return found


def _is_one_study(folder: Path) -> bool:
    """Whether a folder holds DICOM and no other image, of one study."""
    if any(is_image(path) for path in folder.rglob("*")):
        return False
    try:
        return len(study_uids(folder)) == 1
    except InputError:  # none, or damaged: said when the exam is read
        return False


class SaveResultd(MapTransform):
    """Write an answer (`pipeline.answers.saved`), with each breast in the slice of its hottest voxel as picture.

    Args:
        keys: key of the map, `(1, X, Y, Z)`.
        output_dir: where the files go.
        image_key: the breasts, for the picture.
        shown: the channel that the picture shows.
    """

    def __init__(self, keys: KeysCollection, output_dir: Path | str, image_key: str = "image", shown: int = 0,
                 allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)
        self.image_key = image_key
        self.shown = int(shown)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        if "exam_id" not in result:  # not from `find`: a server, which sends the answer itself
            return result
        from pipeline.breast_mri.preview import save_preview  # matplotlib is slow to import and servers do without it

        told = f"probability of malignancy {json.dumps(result['result']['probabilities'])}"
        with answers.saved(result, self.keys[0], self.output_dir, told, self.image_key) as (folder, name):
            breasts = result[self.image_key]
            meta, maps = breasts.meta, result["heatmap_breasts"]
            places = [Grid(triple(each.shape), np.asarray(affine)) for each, affine in
                      zip(maps, meta["breast_affines"], strict=True)]
            exam = Grid.of_exam(meta)
            save_preview(breasts.reshape(-1, *breasts.shape[-4:]), maps, result["result"],
                         folder / f"{name}_preview.png", places, exam, self.shown)
        return result
