"""Examinations as the four-view comparator sees them (§3.5): four views, cut as in its authors' preprocessing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from pipeline.datalist import SPLITS
from pipeline.errors import InputError
from pipeline.files.atomic import write_table
from pipeline.mammography.screening import exam_row
from pipeline.networks.four_view import VIEWS
from pipeline.prepare.cases import demand_array
from transforms import LoadMammogramd
from transforms.mammography.geometry import CropRules, cut, find_breast
from transforms.mammography.windows import network_input, windows

_OF_THE_EXAM = ("exam_id", "patient_id", "split", "label", "groups", "readers", "fold", "assignment")


class HeatMaps(Protocol):
    """Two maps `(2, H, W)` of a breast `(H, W)`, as `pipeline.mammography.comparator.view_maps.ViewHeatMaps`."""

    def __call__(self, breast: torch.Tensor) -> torch.Tensor: ...


def exams(cases: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Group images into examinations that have each of the four views once; the others are counted and left out.

    Args:
        cases: of `pipeline.mammography.views.views`.

    Returns:
        dictionaries with `exam_id`, `patient_id`, `split`, `label` (1: a cancer that the examination found),
        `groups`, `readers`, `views`: view to `image` (path) and `frame`. Test
        examinations come first, training's last: folds that run at the same time begin with different ones.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for case in cases:
        found.setdefault(case["exam_id"], []).append(case)
    complete = [images for images in found.values()
                if sorted(f"{i['side']}-{i['view']}" for i in images) == sorted(VIEWS)]
    if lacking := len(found) - len(complete):
        print(f"left out: {lacking} exams without each of {', '.join(VIEWS)} once", flush=True)
    result = []
    for images in complete:
        views = {f"{i['side']}-{i['view']}": {key: i[key] for key in ("image", "frame", "sha256")} for i in images}
        result.append({**{key: images[0][key] for key in _OF_THE_EXAM}, "views": views})
    return sorted(result, key=lambda exam: -SPLITS.index(exam["split"]))


class ExamWindows:
    """The four inputs of the network, from prepared views.

    Both sides have their chest wall at the left, which is how the network saw them: right views flipped.

    Args:
        scale: of the pixel counts of the authors' rules, for images coarser than a detector's 0.07 mm.
        augment: random windows of each view; 0: the best one alone.
        maps: heat maps, for the form of three channels.
        seed: of the random windows; each view of each exam draws its own.
    """

    def __init__(self, scale: float = 1.0, augment: int = 0, maps: HeatMaps | None = None, seed: int = 0) -> None:
        self.rules = CropRules() if scale == 1 else CropRules().scaled(scale)
        self.augment, self.maps, self.seed = int(augment), maps, int(seed)
        self.load = LoadMammogramd("image")

    def __call__(self, exam: Mapping[str, Any]) -> Iterator[dict[str, torch.Tensor]]:
        """Yields, for each random window or once, view to `(1, C, rows, columns)`.

        Raises:
            InputError: no breast is found in a view.
        """
        parts = {name: self._view(exam, name) for name in VIEWS}
        for number in range(max(self.augment, 1)):
            yield {name: network_input(image, boxes[number], self.rules.windows[name[2:]])[None]
                   for name, (image, boxes) in parts.items()}

    def _view(self, exam: Mapping[str, Any], name: str) -> tuple[torch.Tensor, Sequence[Any]]:
        """The breast `(C, rows, columns)` of a view, and the windows on it."""
        demand_array(exam["views"][name])
        whole = self.load(exam["views"][name])["image"]
        try:
            breast = find_breast(whole[0].numpy(), self.rules)
        except InputError as error:
            fault = str(error).partition(";")[0]
            raise InputError(f"exam {exam['exam_id']}, {name}: {fault}; set scale to 0.07 mm by the pixels' size, or "
                             "leave the exam out", code=error.code) from None
        image = cut(whole, breast.box)
        boxes = windows(image[0].numpy(), name, breast, self.rules, self.augment, self.seed, exam["exam_id"])
        return image if self.maps is None else torch.cat([image, self.maps(image[0])]), boxes


def write_scores(output_dir: Path | str, fold: int, variant: str, scored: Iterable[Mapping[str, Any]]) -> None:
    """Write `predictions.csv` as `WriteScreening` does, a row an examination of validation and test.

    Args:
        output_dir: where it goes.
        fold: which fold.
        variant: the row of the study.
        scored: examinations with `score`, 0–1.
    """
    rows = [{"variant": variant, **exam_row(exam, int(fold)), "images": len(VIEWS), "score": round(exam["score"], 12)}
            for exam in scored if exam["split"] != "train"]
    path = Path(output_dir) / "predictions.csv"
    write_table(path, rows)
    print(f"{len(rows)} examinations in {path}", flush=True)
