"""Views: the unit that screening examinations are divided into, and the cases of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datalist import DETECTIONS, Exam
from pipeline.errors import InputError
from pipeline.mammography.boxes import Boxes
from pipeline.mammography.screening import MOST_VIEWS, found_by_screening, image_label, is_known
from pipeline.prepare.cases import labelled_cases
from transforms.mammography.geometry import cut
from transforms.mammography.views import content


class Views:
    """One array a mammogram, `(1, 1, rows, columns)`: preprocessing gives what `transforms.LoadViews` does.

    Args:
        boxes: the table of `read_boxes`, where findings are marked beside the images and not in the list; they are
            told, nothing depends on them.
    """

    modality = "MG"
    name = "images"
    kept: tuple[str, ...] = ()
    partial = True
    outlining: tuple[str, ...] = ()

    def __init__(self, boxes: Boxes | None = None) -> None:
        self.boxes = boxes or {}

    def files(self, channels: Sequence[str]) -> Sequence[str]:
        return [f"{side}-{view}{again}" for again in ("", *(f"-{n}" for n in range(2, 10)))
                for side in "LR" for view in ("CC", "MLO")]

    def fingerprint(self, exam: Exam) -> Any:
        return sorted(set(self.files(())) & set(exam.images))

    def inputs(self, exam: Exam, paths: Mapping[str, Path]) -> dict[str, Any]:
        return {"image": dict(paths)}

    def arrays(self, result: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        for name, view in result["views"].items():
            pixels = view["pixels"]
            box = content(pixels)
            yield name, cut(pixels, box)[None, None], {
                "frame": [*pixels.shape, box.top, box.left], "flipped": view["flipped"], "notes": view["notes"]}

    def cases(self, exam: Exam, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for name, array in record["arrays"].items():
            columns = array["frame"][1]
            marked = [*((*found.box, found.malignant) for found in exam.findings if found.view == name),
                      *self.boxes.get((exam.exam_id, name), ())]
            yield {
                "side": name[0], "view": name[2:].partition("-")[0], "image_id": name, "image": array["image"],
                "frame": array["frame"], "malignant": exam.breasts.get(name[0], {}).get("malignant"),
                "detection": exam.groups.get("detection"), "views": len(record["arrays"]), "readers": exam.readers,
                "boxes": [[top, columns - right, bottom, columns - left, malignant] if array["flipped"] else
                          [top, left, bottom, right, malignant]
                          for top, left, bottom, right, malignant in marked],
            }

    def tell(self, cases: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        counts = [len({name[:5].rstrip("-") for name in record["arrays"]}) for record in records]
        lacking = sum(count < 4 for count in counts)
        many = sum(len(record["arrays"]) > 4 for record in records)
        print(f"{len(cases)} images; {lacking} exams lack a view, {many} have more than four images and are left out "
              "of training and evaluation", flush=True)


VIEWS = Views()


def images(folder: Path | str, fold: int, *splits: str, other_breast: str = "leave_out") -> list[dict[str, Any]]:
    """One case a mammogram with a training label (§4.1 of the screening paper, `screening.image_label`).

    Args:
        folder, fold, splits: as `pipeline.prepare.cases.labelled_cases`.
        other_breast: of a cancer's exam: `leave_out`, or `negative`.

    Returns:
        dictionaries with `image` (path), `label`, `exam_id`, `patient_id`, `side`, `view`, `image_id`, `split`,
        `frame`, `malignant`, `detection`, `boxes`, `groups`, `readers`.

    Raises:
        InputError: no such fold, no image of one class in it, or no such option.
    """
    if other_breast not in ("leave_out", "negative"):
        raise InputError(f"other_breast is {other_breast!r}; choose leave_out or negative")
    found = [{**case, "label": label} for case in views(folder, fold, *splits)
             if (label := image_label(case, other_breast)) is not None]
    for label, kind in ((1, "with"), (0, "without")):
        if not any(case["label"] == label for case in found):
            raise InputError(f"fold {fold} has no image {kind} screen-detected cancer in {' or '.join(splits)}; check "
                             "the datalist's labels and detection, or use fewer folds")
    return found


def views(folder: Path | str, fold: int, *splits: str) -> list[dict[str, Any]]:
    """One case a mammogram; `label` is 1 where its exam's cancer was screen-detected.

    Left out and counted are exams with more than four images, as in the paper, and those of which it is not known
    whether there was a cancer to find.

    Args, Raises: as `pipeline.prepare.cases.labelled_cases`.
    """
    cases = labelled_cases(folder, fold, splits, "images")
    of: dict[str, list[dict[str, Any]]] = {}
    for case in cases:
        if case["detection"] and case["detection"] not in DETECTIONS:
            raise InputError(f"exam {case['exam_id']}: detection is {str(case['detection'])[:20]!r}; write one of "
                             f"{', '.join(DETECTIONS)} in the datalist, and prepare again")
        of.setdefault(case["exam_id"], []).append(case)
    many = {name for name, own in of.items() if own[0]["views"] > MOST_VIEWS}
    unknown = {name for name, own in of.items() if not is_known(own)} - many
    for names, which in ((many, f"with more than {MOST_VIEWS} images"), (unknown, "without a known label")):
        if names:
            print(f"left out: {len(names)} exams {which}", flush=True)
    cases = [case for case in cases if case["exam_id"] not in many | unknown]
    positive = {case["exam_id"] for case in cases if found_by_screening(case)}
    return [{**case, "array": case["image"], "label": int(case["exam_id"] in positive)} for case in cases]
