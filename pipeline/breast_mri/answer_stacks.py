"""The four answers to one whole exam, as users and MONAI Label read them, with a map for each."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline import answers
from pipeline.breast_mri.map_records import plane_picture
from pipeline.breast_mri.preview import chosen_slice
from pipeline.breast_mri.slice_stacks import KINDS, TASKS, answers_of
from pipeline.files.atomic import replacing, write_volume
from transforms.answer import ResultTransform
from transforms.breast_mri.breasts import SIDES
from transforms.breast_mri.exam_maps import maps_to_exam
from transforms.grid import Grid, triple

NAMES = {"L": "left", "R": "right"}


class FourAnswersResultd(ResultTransform):
    """Turn an exam's network output into what users and MONAI Label read.

    Reads `logits` `(8,)` and `heatmap` `(4, X, Y, Z)` (from the dictionary itself, or from a dictionary under the first
    key) and the meta of `image_key`; writes

    * `result`: `probability` (the worst breast's malignancy) and `probabilities`, by side and kind of finding;
    * the first key: a map in the exam's own space, `(1, X, Y, Z)`: the larger of the two for malignancy, as
      `transforms.MalignancyResultd` gives it;
    * `answer_maps`: the four maps in the exam's own space, `(4, X, Y, Z)`; `result_extension`: `.nii.gz`.

    Args:
        keys: where the map is put, e.g. `pred`.
        image_key: the exam, as `transforms.LoadSliceStackd` places it.
        output, threshold: as of `transforms.answer.answered`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        key = self.keys[0]
        answer = result if "heatmap" in result else result[key]
        meta = result[self.image_key].meta
        scores = torch.as_tensor(answer["logits"]).float().reshape(len(TASKS), 2).softmax(dim=1)[:, 1].tolist()
        found = {task: round(score, 6) for task, score in zip(TASKS, scores, strict=True)}
        exam = Grid.of_exam(meta)
        maps = torch.as_tensor(answer["heatmap"]).reshape(len(TASKS), *answer["heatmap"].shape[-3:])
        result["stack_maps"] = maps
        result["answer_maps"] = torch.stack([maps_to_exam(each[None], [np.asarray(meta["stack_affine"])], exam)
                                             for each in maps])
        heat = result["answer_maps"][answers_of("malignant")].amax(dim=0)
        told = {"type": "malignancy", "probability": max(found[side, "malignant"] for side in SIDES),
                "probabilities": {side: {kind: found[side, kind] for kind in KINDS} for side in SIDES}}
        return self.answered(result, told, heat)


class SaveFourAnswersd(MapTransform):
    """Write an exam's result as JSON, its four maps as NIfTI on its own grid, and a picture; all or none.

    `<exam>_result.json`, `<exam>_heatmap.nii.gz` (of malignancy), `<exam>_left_benign.nii.gz` and its three fellows,
    `<exam>_preview.png`. Headers carry no name, date or path.

    Args:
        keys: key of the map, `(1, X, Y, Z)`.
        output_dir: where the files go.
        image_key: the exam as the network saw it, for the picture.
    """

    def __init__(self, keys: KeysCollection, output_dir: Path | str, image_key: str = "image",
                 allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        if "exam_id" not in result:  # not from `find`: a server, which sends the answer itself
            return result
        told, affine = result["result"]["probabilities"], result[self.keys[0]].meta["original_affine"]
        shown = ", ".join(f"{NAMES[side]} {kind} {told[side][kind]:.3f}" for side, kind in TASKS)
        with answers.saved(result, self.keys[0], self.output_dir, f"probability of a finding: {shown}",
                           self.image_key) as (folder, name):
            for (side, kind), each in zip(TASKS, result["answer_maps"], strict=True):
                write_volume(folder / f"{name}_{NAMES[side]}_{kind}.nii.gz", each.cpu(), affine)
            image = result[self.image_key]
            place = Grid(triple(image.shape[-3:]), np.asarray(image.meta["stack_affine"]))
            exam = Grid.of_exam(image.meta)
            _picture(image.flatten(0, -4)[0], result["stack_maps"], told, place, exam, folder / f"{name}_preview.png")
        return result


def _picture(image: torch.Tensor, maps: torch.Tensor, probabilities: Mapping[str, Mapping[str, float]], place: Grid,
             exam: Grid, path: Path) -> None:
    """A column an answer: the slice of its map's hottest voxel, as it is and under the map; the patient's right left.

    Args:
        image: `(X, Y, Z)`.
        maps: `(4, X, Y, Z)`, 0–1.
        probabilities: by side and kind.
        place: the stack's grid.
        exam: the exam's own grid; its file counts the slices.
        path: the PNG.
    """
    figure = Figure(figsize=(2.8 * len(TASKS), 5.2), facecolor="black", layout="constrained")
    axes = figure.subplots(2, len(TASKS))
    order = sorted(range(len(TASKS)), key=lambda i: TASKS[i][0] != "R")  # as radiologists look
    voxels = image.float().cpu().numpy()
    for column, i in enumerate(order):
        side, kind = TASKS[i]
        heat = maps[i].float().cpu().numpy()
        z, where = chosen_slice(maps[i], place, exam)
        shown = plane_picture(voxels, heat, (), z, mirrored=True)
        for axis in axes[:, column]:
            axis.imshow(shown["image"], cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
        axes[1, column].imshow(shown["heat"], cmap="inferno", vmin=0, vmax=1,
                               alpha=0.6 * np.clip(shown["heat"] * 2, 0, 1))
        axes[0, column].set_title(f"{NAMES[side]}: p({kind}) = {probabilities[side][kind]:.2f}\n{where}",
                                  color="white", fontsize=9)
    with replacing(path, ".png") as temporary:
        figure.savefig(temporary, dpi=100, metadata={"Software": None})
