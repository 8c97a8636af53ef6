"""Screening exams as a user has them: found on disk, and answered with scores, regions and a picture (Figure 1)."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from PIL import Image
from torch import nn

from pipeline import answers
from pipeline.errors import InputError
from pipeline.explain.saliency import frozen, most_salient
from pipeline.files.dicom_picture import write_dicom_picture
from pipeline.mammography.regions import native_centers
from pipeline.mammography.screening import ensemble, exam_probability, exam_score
from pipeline.networks.mammogram_resnet import risk_score
from transforms.mammography.geometry import Box, cut, standardise
from transforms.mammography.scale import pixels_of, region_around

ENDINGS = (".dcm", ".dicom", ".png", ".tif", ".tiff")
VARIANTS = ("holistic", "attention", "ensemble")
WANTED = ("L-CC", "L-MLO", "R-CC", "R-MLO")
_VIEW = re.compile(r"(?<![A-Z0-9])([LR])[-_ ]?(CC|MLO)(?:[-_ ]0*([1-9]\d*))?$")
_OTHER_PICTURES = (".jpg", ".jpeg", ".jp2", ".bmp", ".gif", ".webp")


def find(path: Path | str) -> list[dict[str, Any]]:
    """The exams under a path: a folder with the files of one exam, a folder of such folders, or one file.

    Args:
        path: files' names end in their view (`L-CC.png`, `R-MLO-2.dcm`, `0412_r_cc.tif`), or they are DICOM and their
            headers say it.

    Returns:
        one `{"exam_id": name, "image": {view, or the file's name without ending: path}}` an exam.

    Raises:
        InputError: nothing there.
    """
    root = Path(path)
    if not root.exists():
        raise InputError(f"{root.name}: no such exam; give a folder with one file a view")
    if root.is_file():
        return [{"exam_id": answers.name_of(root), "image": _named([root])}]
    inner = sorted(each for each in root.iterdir() if each.is_dir())
    folders = [root] if _images(root) else [each for each in inner if _images(each)]
    if not folders:
        raise InputError(f"{root.name}: holds no mammogram; expected {', '.join(ENDINGS)}")
    if folders != [root] and len(folders) < len(inner):
        print(f"left out: {len(inner) - len(folders)} folders without a mammogram, the first: "
              f"{next(each.name for each in inner if each not in folders)}", flush=True)
    found = [{"exam_id": answers.name_of(each), "image": _named(_images(each))} for each in folders]
    answers.check_distinct([answers.name_of(each) for each in folders])
    return found


def _named(files: Sequence[Path]) -> dict[str, str]:
    """Paths by the view that a file's name ends in, second ones as repeats; else by the name."""
    found: dict[str, str] = {}
    for file in files:
        stem = file.name.rpartition(".")[0] or file.name
        view = _VIEW.search(stem.upper())
        name = stem if view is None else f"{view[1]}-{view[2]}{f'-{view[3]}' if view[3] not in (None, '1') else ''}"
        number, free = 2, name
        while free in found:
            free, number = f"{name}-{number}", number + 1
        found[free] = str(file)
    return found


def _images(folder: Path) -> list[Path]:
    """A folder's mammograms; a picture of another format is an error, so that no view is taken for missing."""
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith(_OTHER_PICTURES) and not path.name.startswith("."):
            raise InputError(f"{folder.name}/{path.name}: mammograms are not read from this format; convert it to "
                             "16-bit PNG or TIFF, or take it out of the folder")
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")
                  and (p.name.lower().endswith(ENDINGS) or _marked(p)))


def _marked(path: Path) -> bool:
    """Whether a file without an ending is DICOM."""
    if path.suffix and not path.suffix[1:].isdigit():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def collate(cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of one exam: its `image` `(views, 1, size, size)` is the batch."""
    if len(cases) != 1:
        raise ValueError(f"exams go one at a time, got {len(cases)}")
    return cases[0]


class SaveExamd(MapTransform):
    """Write an exam's answer: `<name>_result.json` and `<name>_saliency.png`, on request `<name>_saliency.dcm`, too.

    The result has the three scores (holistic, attention, ensemble) of every image, breast and of the exam, and of each
    image the centre of attention and the region, in pixels of the file. A breast with one view counts that view twice,
    repeats of a view are averaged (Ours); `notes` says so. `probability` is the logistic of half the
    exam's ensemble score.

    Args:
        keys: key of the answer of `pipeline.explain.saliency.SaliencyInferer`.
        attention: the attention network.
        output_dir: where the files go.
        width: columns that images were scaled to for the holistic model.
        region: pixels of a region's side.
        dicom: write the picture as DICOM, too.
    """

    def __init__(self, keys: KeysCollection, attention: nn.Module, output_dir: Path | str, width: int, region: int,
                 dicom: bool = False, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.attention = attention
        self.output_dir = Path(output_dir)
        self.width, self.region, self.dicom = int(width), pixels_of("region", region), bool(dicom)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        answer, name, views = result[self.keys[0]], str(result["exam_id"]), result["views"]
        shapes = [view["pixels"].shape for view in views.values()]
        centers = native_centers(answer["maps"], result["corners"], shapes, self.width)
        boxes = [region_around(shape, center, self.region) for shape, center in zip(shapes, centers, strict=True)]
        scores = self._scores(answer["scores"], [v["pixels"] for v in views.values()], boxes)
        images = {}
        for i, (key, view) in enumerate(views.items()):
            columns = view["pixels"].shape[1]
            center, left = list(centers[i]), boxes[i].left
            if view["flipped"]:  # back to the file's columns
                center[1], left = columns - 1 - center[1], columns - left - self.region
            images[key] = {**{v: round(scores[v][i], 6) for v in VARIANTS}, "center": [round(at, 1) for at in center],
                           "region": [boxes[i].top, left, self.region], "notes": view["notes"]}
        sums = {v: exam_score([(key[0], key[2:].partition("-")[0], scores[v][i]) for i, key in enumerate(views)])
                for v in VARIANTS}
        result["result"] = {
            "exam_id": name, "probability": round(exam_probability(sums["ensemble"][0]), 6),
            "exam": {v: round(sums[v][0], 6) for v in VARIANTS},
            "breasts": {side: {v: round(sums[v][1][side], 6) for v in VARIANTS} for side in sums["ensemble"][1]},
            "images": images, "notes": [*_notes(list(views)), *result.get("notes", "").splitlines()]}
        with answers.answer(self.output_dir, name, result["result"], result["digests"]) as folder:
            picture = _picture(views, answer["maps"], result["corners"], centers, boxes, scores, self.width,
                               folder / f"{name}_saliency.png")
            if self.dicom:
                write_dicom_picture(folder / f"{name}_saliency.dcm", picture, name, "Saliency and regions")
        print(f"{name}: exam scores {', '.join(f'{v} {sums[v][0]:.3f}' for v in VARIANTS)}; in {self.output_dir}",
              flush=True)
        return result

    def _scores(self, holistic: torch.Tensor, pictures: list[np.ndarray], boxes: list[Box]) -> dict[str, list[float]]:
        """Each image's three scores."""
        parts = [standardise(torch.from_numpy(cut(p, box).astype(np.float32)))[None]
                 for p, box in zip(pictures, boxes, strict=True)]
        device = next(self.attention.parameters()).device
        with frozen(self.attention), torch.no_grad():
            attention = risk_score(self.attention(torch.stack(parts).to(device)).float()).tolist()
        first = holistic.tolist()
        return {"holistic": first, "attention": attention,
                "ensemble": [ensemble(h, a) for h, a in zip(first, attention, strict=True)]}


def _notes(names: list[str]) -> list[str]:
    """What a reader of the scores must know of the views."""
    notes = []
    for side in "LR":
        own = {name[:5].rstrip("-") for name in names if name[0] == side}
        if not own:
            notes.append(f"breast {side} has no view: it is not in the exam's score")
        elif missing := [view for view in WANTED if view[0] == side and view not in own]:
            notes.append(f"no {missing[0]}: the other view counts twice")
    if repeats := [name for name in names if name.count("-") > 1]:
        notes.append(f"repeats ({', '.join(repeats)}) are averaged with the first of their view")
    return notes


def _picture(views: Mapping[str, dict[str, Any]], maps: torch.Tensor, corners: Sequence[Sequence[int]],
             centers: Sequence[Sequence[float]], boxes: Sequence[Box], scores: Mapping[str, Sequence[float]],
             width: int, path: Path) -> np.ndarray:
    """Every view with its most salient pixels (green), their centre (red) and the region (Figure 1), enlarged below.

    Returns:
        what is written, uint8 `(rows, columns, 3)`.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Rectangle

    figure, axes = plt.subplots(2, len(views), figsize=(3.2 * len(views), 7.2), squeeze=False, layout="constrained")
    salient = most_salient(maps).cpu().numpy()
    for i, (name, view) in enumerate(views.items()):
        pixels, box = view["pixels"], boxes[i]
        columns, scale = pixels.shape[1], pixels.shape[1] / width
        high = float(np.percentile(pixels[pixels > 0], 99.5)) if pixels.any() else 1.0
        step = max(columns // 700, 1)
        flip = slice(None, None, -1) if view["flipped"] else slice(None)
        top, below = axes[:, i]
        rows, at = np.nonzero(salient[i])
        rows, at = (rows + corners[i][0] + 0.5) * scale - 0.5, (at + corners[i][1] + 0.5) * scale - 0.5
        where = columns - 1 - at if view["flipped"] else at
        centre = columns - 1 - centers[i][1] if view["flipped"] else centers[i][1]
        left = columns - box.right if view["flipped"] else box.left
        top.imshow(pixels[::step, ::step][:, flip], cmap="gray", vmin=0, vmax=high,
                   extent=(-0.5, columns - 0.5, pixels.shape[0] - 0.5, -0.5))
        top.scatter(where, rows, s=0.6, color="#21d07a", linewidths=0, alpha=0.6)
        top.plot(centre, centers[i][0], "o", color="red", markersize=4)
        top.add_patch(Rectangle((left, box.top), box.right - box.left, box.bottom - box.top, fill=False,
                                edgecolor="#ffd24d", linewidth=1.2))
        top.set_xlim(-0.5, columns - 0.5)
        top.set_ylim(pixels.shape[0] - 0.5, -0.5)
        top.set_title(f"{name}: holistic {scores['holistic'][i]:.2f}", fontsize=8, loc="left")
        below.imshow(cut(pixels, box)[:, flip], cmap="gray", vmin=0, vmax=high)
        below.set_title(f"region: attention {scores['attention'][i]:.2f}", fontsize=8, loc="left")
        for axis in (top, below):
            axis.axis("off")
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return np.asarray(Image.open(path).convert("RGB"))
