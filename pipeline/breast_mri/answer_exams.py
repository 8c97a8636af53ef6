"""Exams as a user has them: found on disk, and answered with a heat map, a table and a picture."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data.utils import list_data_collate
from monai.transforms import MapTransform

from pipeline import answers
from pipeline.errors import InputError
from pipeline.files.atomic import write_volume
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
        find_contrasts(exams[0], channels)
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


def collate(exams: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of one exam: `image` becomes `(1, S, C, X, Y, Z)`, everything else is kept in a list of one."""
    if len(exams) != 1:
        raise ValueError(f"exams go one at a time, got {len(exams)}")
    # By MONAI's collate, so that the engine's decollation gives back the whole meta.
    image = list_data_collate([{"image": exams[0]["image"]}])["image"]
    return {**{key: [value] for key, value in exams[0].items()}, "image": image}


class SaveResultd(MapTransform):
    """Write `<exam>_heatmap.nii.gz`, `<exam>_result.json` and the picture `<exam>_preview.png`, all or none.

    The map has the exam's own grid; its header carries no name, date or path.

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

        name = str(result["exam_id"])
        heat = result[self.keys[0]]
        told = {"exam_id": name, **result["result"], "notes": result.get("notes", "").splitlines()}
        with answers.answer(self.output_dir, name, told, answers.digests_of(result[self.image_key])) as folder:
            write_volume(folder / f"{name}_heatmap.nii.gz", heat[0].cpu(), heat.meta["original_affine"])
            meta = result[self.image_key].meta
            places = [Grid(triple(breast.shape), np.asarray(affine)) for breast, affine in
                      zip(result["heatmap_breasts"], meta["breast_affines"], strict=True)]
            exam = Grid(triple(meta["spatial_shape"]), np.asarray(meta["original_affine"]))
            save_preview(result[self.image_key], result["heatmap_breasts"], result["result"],
                         folder / f"{name}_preview.png", places, exam, self.shown)
        for note in told["notes"]:
            print(f"{name}: note: {note}", flush=True)
        print(f"{name}: probability of malignancy {json.dumps(result['result']['probabilities'])}; heat map, picture "
              f"and result.json in {self.output_dir}", flush=True)
        return result
