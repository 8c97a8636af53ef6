"""Lesions of an exam as a user has them: found in a table, scored slice by slice, shown with Grad-CAMs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from pipeline import answers
from pipeline.breast_mri import answer_exams as exams
from pipeline.errors import InputError
from pipeline.files.points import read_points
from pipeline.files.tables import Row, read_table
from pipeline.names import is_name, twins
from transforms.answer import ResultTransform
from transforms.breast_mri.exam_maps import maps_to_exam
from transforms.grid import Grid

Lesions = list[tuple[str, tuple[float, ...]]]  # id and centre, RAS mm

_COLUMNS = ("x_mm", "y_mm", "z_mm")
_TABLE, _POINTS = "lesions.csv", ".mrk.json"
_EXAM = ("affine", "original_affine", "spatial_shape", "space", "digests")  # of the meta, what is not a lesion's


def find(path: Path | str, table: Path | str | None, contrasts: Sequence[str]) -> list[dict[str, Any]]:
    """The exams under a path that the table has lesions of.

    Args:
        path: as `pipeline.breast_mri.answer_exams.find`.
        table: columns `x_mm`, `y_mm`, `z_mm` (RAS millimetres); `exam_id`, demanded where there are several exams;
            `lesion_id`, else they are counted from 1. A list of points of 3D Slicer (`.mrk.json`) serves one exam.
            None: `FindLesionsd` looks beside each exam.
        contrasts: that an exam must have.

    Returns:
        one `{"image": path, "exam_id": name, "lesions": [(id, (x, y, z)), …]}` an exam.

    Raises:
        InputError: no exam, no such table, no lesion of any exam, or a centre that is no number.
    """
    found = exams.find(path, contrasts)
    if table is None:
        return found
    if str(table).lower().endswith(_POINTS):
        if len(found) > 1:
            raise InputError(f"{Path(table).name}: one exam's points, {len(found)} exams are given; put each exam's "
                             "points beside it, or give a table")
        return [{**found[0], "lesions": _of_points(Path(table))}]
    rows = read_table(table, [*_COLUMNS, *(["exam_id"] if len(found) > 1 else [])])
    for exam in found:
        exam["lesions"] = _of_rows(row for row in rows if row.cells.get("exam_id", exam["exam_id"]) == exam["exam_id"])
    found = [exam for exam in found if exam["lesions"]]
    if not found:
        raise InputError(f"{Path(table).name}: holds no lesion of the exam; its exam_id must be the exam's name")
    return found


def _of_rows(rows: Iterable[Row]) -> Lesions:
    return [(row.text("lesion_id") or str(i), tuple(row.required_number(c) for c in _COLUMNS))
            for i, row in enumerate(rows, start=1)]


def _of_points(path: Path) -> Lesions:
    """A list of points of 3D Slicer; their labels name them, where all can."""
    points = read_points(path)
    labels = [point.label for point in points]
    if not (all(map(is_name, labels)) and not twins(labels)):
        labels = [str(i) for i in range(1, len(points) + 1)]
    return list(zip(labels, (point.position for point in points), strict=True))


def _beside(image: Any) -> Lesions:
    """Lesions in the one table or list of points that belongs to an exam's files.

    Of `p1.nii.gz` and of the folder `p1` that is `p1.lesions.csv` or `p1.mrk.json`; of a folder, one within it, too.

    Raises:
        InputError: none, or several.
    """
    path = Path(image if isinstance(image, (str, Path)) else
                next(iter(image.values() if isinstance(image, Mapping) else image)))
    name = path.name if path.is_dir() else path.name.split(".")[0]
    found = [path.with_name(f"{name}.{_TABLE}"), path.with_name(f"{name}{_POINTS}"),
             path.with_name(f"{name}.lesions{_POINTS}")]
    if path.is_dir():
        found += [path / _TABLE, *sorted(path.glob(f"*{_POINTS}"))]
    found = [file for file in found if file.is_file()]
    if len(found) != 1:
        what = f"{len(found)} files say" if found else "nothing says"
        raise InputError(f"{path.name}: {what} where its lesions are; put one {name}.{_TABLE} (x_mm, y_mm, z_mm in RAS "
                         f"millimetres) or {name}{_POINTS} of 3D Slicer beside it, or send their centres as `lesions`",
                         code="no_lesions")
    return _of_points(found[0]) if found[0].name.endswith(_POINTS) else _of_rows(read_table(found[0], _COLUMNS))


class FindLesionsd(MapTransform):
    """Say where an exam's lesions are, before its files are read.

    A key `lesions` of the dictionary has their centres: `[[x, y, z], …]` in RAS millimetres, as a host sends them, or
    with their ids as `find` gives them. Without it they stand beside the exam's files: `NAME.lesions.csv`, or a list of
    points of 3D Slicer.

    Args:
        keys: the exam, as `transforms.LoadLesionSlicesd` takes it.

    Raises:
        InputError: no lesion, or a centre that is not three numbers.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        given = result.get("lesions")
        if given is None:
            given = _beside(result[self.keys[0]])
        elif not isinstance(given, (list, tuple)) or not all(map(_is_lesion, given)):
            raise InputError("lesions: give each centre as [x, y, z] in RAS millimetres, for example [[-40.5, 12, 3]]",
                             code="no_lesions")
        if not given:
            raise InputError("lesions: there is none; give the centre of at least one", code="no_lesions")
        result["lesions"] = [(str(i), tuple(map(float, each))) if len(each) == 3 else tuple(each)
                             for i, each in enumerate(given, start=1)]
        return result


def _is_lesion(given: Any) -> bool:
    """Whether something is a centre, or an id and a centre."""
    if isinstance(given, (list, tuple)) and len(given) == 2 and isinstance(given[0], str):
        given = given[1]
    return isinstance(given, (list, tuple)) and len(given) == 3 and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and np.isfinite(v) for v in given)


class StackPatchesd(MapTransform):
    """Put an exam's patches `(N, C, Y, X)` where the exam was; its meta stays that of the exam.

    Adds `slice_of`, the lesion of each patch, and `places`, the grid of each.

    Raises:
        InputError: no patch is left.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        patches, places = result.pop("patches"), result.pop("places")
        if not patches:
            raise InputError("every patch holds several lesions; nothing is left to score", code="nothing_left")
        for key in self.key_iterator(result):
            kept = {name: result[key].meta[name] for name in _EXAM if name in result[key].meta}
            result[key] = MetaTensor(torch.cat(list(patches.values())), meta=kept)
        result["slice_of"] = [name for name, own in patches.items() for _ in range(len(own))]
        result["places"] = [place for name in patches for place in places[name]]
        return result


class LesionsResultd(ResultTransform):
    """Turn the network's output for an exam's patches into what users and MONAI Label read.

    Of the inferer's answer, `logits` `(…, N, 2)` and `heatmap` `(…, N, Y, X)`, it makes `result`: `probability`, the
    likeliest lesion's, and by lesion `center_mm`, `probability` (the largest of its slices') and `slices`; lesions that
    were `not_scored`, because others are on each of their slices. The map, in the exam's own space, is put under the
    key, as of `transforms.answer.answered`; `scores` and `maps` of the patches stay for the picture.

    Args:
        keys: of the answer, which the map replaces.
        image_key: the patches, with the exam's meta.
        output, threshold: as of `transforms.answer.answered`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        key = self.keys[0]
        answer, meta = data[key], data[self.image_key].meta
        exam = Grid.of_exam(meta)
        maps = answer["heatmap"].reshape(-1, *answer["heatmap"].shape[-2:]).cpu()
        scores = answer["logits"].reshape(-1, 2).softmax(1)[:, 1].tolist()
        centers = dict(data["lesions"])
        lesions: dict[str, dict[str, Any]] = {}
        for lesion, place, score in zip(data["slice_of"], data["places"], scores, strict=True):
            entry = lesions.setdefault(lesion, {"center_mm": list(centers[lesion]), "probability": 0.0, "slices": {}})
            entry["slices"][str(place.slice_in(exam, (0, 0, 0)))] = round(score, 6)
            entry["probability"] = max(entry["probability"], round(score, 6))
        told = {"type": "malignancy", "probability": max(e["probability"] for e in lesions.values()),
                "lesions": lesions, "not_scored": sorted(set(centers) - set(lesions))}
        heat = _in_exam(maps, data["places"], exam)
        result = self.answered(data, told, heat)
        return {**result, "scores": scores, "maps": maps.numpy()}


class SaveLesionsd(MapTransform):
    """Write an answer (`pipeline.answers.saved`); its picture has a row a slice of each lesion.

    Args:
        keys: key of the map.
        output_dir: where the files go.
    """

    def __init__(self, keys: KeysCollection, output_dir: Path | str, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        if "exam_id" not in result:  # not from `find`: a server, which sends the answer itself
            return result
        told = result["result"]
        scored = ", ".join(f"lesion {lesion} {entry['probability']:.3f}" for lesion, entry in told["lesions"].items())
        said = f"probability of malignancy {scored}"
        if told["not_scored"]:
            said += f"; not scored, another lesion is on each of their slices: {', '.join(told['not_scored'])}"
        with answers.saved(result, self.keys[0], self.output_dir, said) as (folder, name):
            _picture(result, result["scores"], result["maps"], folder / f"{name}_preview.png")
        return result


def _in_exam(maps: torch.Tensor, places: Sequence[Grid], exam: Grid) -> torch.Tensor:
    """Maps `(N, rows, columns)` back at the places of their patches, on the exam's grid `(X, Y, Z)`."""
    grids = [place.resized((maps.shape[2], maps.shape[1], 1)) for place in places]
    return maps_to_exam(maps.transpose(1, 2)[..., None], [grid.affine for grid in grids], exam)


def _picture(result: Mapping[Hashable, Any], scores: Sequence[float], maps: np.ndarray, path: Path) -> None:
    """One row a patch: the contrasts the network saw, and the first under its Grad-CAM.

    As readers look: anterior (of coronal slices superior) is up, the patient's right (of sagittal ones anterior) left.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    patches = result["image"].cpu().numpy()
    patches = patches.reshape(-1, *patches.shape[-3:])
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
