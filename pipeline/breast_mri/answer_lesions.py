"""Lesions of an exam as a user has them: found in a table, scored slice by slice, shown with Grad-CAMs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline import answers
from pipeline.breast_mri import answer_exams as exams
from pipeline.errors import InputError
from pipeline.files.atomic import write_volume
from pipeline.files.tables import read_table
from transforms.breast_mri.exam_maps import maps_to_exam
from transforms.grid import Grid, triple

_COLUMNS = ("x_mm", "y_mm", "z_mm")


def find(path: Path | str, table: Path | str, contrasts: Sequence[str]) -> list[dict[str, Any]]:
    """The exams under a path that the table has lesions of.

    Args:
        path: as `pipeline.breast_mri.answer_exams.find`.
        table: columns `x_mm`, `y_mm`, `z_mm` (RAS millimetres); `exam_id`, demanded where there are several exams;
            `lesion_id`, else they are counted from 1.
        contrasts: that an exam must have.

    Returns:
        one `{"image": path, "exam_id": name, "lesions": [(id, (x, y, z)), …]}` an exam.

    Raises:
        InputError: no exam, no such table, no lesion of any exam, or a centre that is no number.
    """
    found = exams.find(path, contrasts)
    name = Path(table).name
    rows = read_table(table, [*_COLUMNS, *(["exam_id"] if len(found) > 1 else [])])
    for exam in found:
        own = [row for row in rows if row.cells.get("exam_id", exam["exam_id"]) == exam["exam_id"]]
        exam["lesions"] = [(row.text("lesion_id") or str(i), tuple(row.required_number(c) for c in _COLUMNS))
                           for i, row in enumerate(own, start=1)]
    found = [exam for exam in found if exam["lesions"]]
    if not found:
        raise InputError(f"{name}: holds no lesion of the exam; its exam_id must be the exam's name")
    return found


class StackPatchesd(MapTransform):
    """Put an exam's patches `(N, C, Y, X)` where the exam was.

    Adds `slice_of`, the lesion of each patch, `places`, the grid of each, `exam`, the exam's own grid, and
    `digests` of its files.

    Raises:
        InputError: no patch is left.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        patches, places = result.pop("patches"), result.pop("places")
        if not patches:
            raise InputError("every patch holds several lesions; nothing is left to score", code="nothing_left")
        for key in self.key_iterator(result):
            meta = result[key].meta
            result["exam"] = Grid(triple(meta["spatial_shape"]), np.asarray(meta["original_affine"]))
            result["digests"] = meta.get("digests", {})
            result[key] = torch.cat(list(patches.values()))
        result["slice_of"] = [name for name, own in patches.items() for _ in range(len(own))]
        result["places"] = [place for name in patches for place in places[name]]
        return result


def collate(cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of one exam: its patches are the batch, everything else is kept as it is."""
    if len(cases) != 1:
        raise ValueError(f"exams go one at a time, got {len(cases)}")
    return dict(cases[0])


class SaveLesionsd(MapTransform):
    """Write `<exam>_lesions.json`, `<exam>_heatmap.nii.gz` in the exam's space, and the picture `<exam>_lesions.png`.

    A lesion's probability is the maximum over its slices.

    Args:
        keys: key of the inferer's answer.
        output_dir: where the files go.
    """

    def __init__(self, keys: KeysCollection, output_dir: Path | str, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        answer, name, exam = result[self.keys[0]], str(result["exam_id"]), result["exam"]
        scores = answer["logits"].softmax(1)[:, 1].tolist()
        centers = dict(result["lesions"])
        lesions: dict[str, dict[str, Any]] = {}
        for lesion, place, score in zip(result["slice_of"], result["places"], scores, strict=True):
            entry = lesions.setdefault(lesion, {"center_mm": list(centers[lesion]), "probability": 0.0, "slices": {}})
            entry["slices"][str(place.slice_in(exam, (0, 0, 0)))] = round(score, 6)
            entry["probability"] = max(entry["probability"], round(score, 6))
        left_out = sorted(set(centers) - set(lesions))
        result["result"] = {"exam_id": name, "probability": max(e["probability"] for e in lesions.values()),
                            "lesions": lesions, "not_scored": left_out}
        heat = _in_exam(answer["heatmap"].cpu(), result["places"], exam)
        result["result"]["notes"] = result.get("notes", "").splitlines()
        with answers.answer(self.output_dir, name, result["result"], result.get("digests", {}), "lesions") as folder:
            write_volume(folder / f"{name}_heatmap.nii.gz", heat, exam.affine)
            _picture(result, scores, answer["heatmap"].cpu().numpy(), folder / f"{name}_lesions.png")
        for note in result["result"]["notes"]:
            print(f"{name}: note: {note}", flush=True)
        crowded = f"; not scored, another lesion is on each of their slices: {', '.join(left_out)}" if left_out else ""
        told = ", ".join(f"lesion {lesion} {entry['probability']:.3f}" for lesion, entry in lesions.items())
        print(f"{name}: probability of malignancy {told}{crowded}; in {self.output_dir}", flush=True)
        return result


def _in_exam(maps: torch.Tensor, places: Sequence[Grid], exam: Grid) -> np.ndarray:
    """Maps `(N, rows, columns)` back at the places of their patches, on the exam's grid `(X, Y, Z)`."""
    grids = [place.resized((maps.shape[2], maps.shape[1], 1)) for place in places]
    return maps_to_exam(maps.transpose(1, 2)[..., None], [grid.affine for grid in grids], exam).numpy()


def _picture(result: Mapping[Hashable, Any], scores: Sequence[float], maps: np.ndarray, path: Path) -> None:
    """One row a patch: the contrasts the network saw, and the first under its Grad-CAM.

    As readers look: anterior (of coronal slices superior) is up, the patient's right (of sagittal ones anterior) left.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    patches = result["image"].cpu().numpy()
    rows, columns = len(patches), patches.shape[1] + 1
    size = (1.7 * columns, 1.75 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for row, patch, heat, lesion, score in zip(axes, patches, maps, result["slice_of"], scores, strict=True):
        for axis, plane in zip(row, [*patch, patch[0]], strict=True):
            axis.imshow(plane[::-1, ::-1], cmap="gray")
            axis.axis("off")
        row[-1].imshow(heat[::-1, ::-1], cmap="inferno", alpha=0.45, vmin=0, vmax=1)
        row[0].set_title(f"lesion {lesion}: {score:.2f}", fontsize=8, loc="left")
    figure.savefig(path, dpi=90)
    plt.close(figure)
