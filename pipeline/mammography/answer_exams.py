"""Screening exams as a user has them: found on disk, and answered with scores, regions and a picture (Figure 1)."""

from __future__ import annotations

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
from pipeline.files.atomic import write_volume
from pipeline.files.dicom_picture import write_dicom_picture
from pipeline.mammography.heat import view_map
from pipeline.mammography.regions import native_centers
from pipeline.mammography.screening import ensemble, exam_probability, exam_score
from pipeline.networks.checkpoint import load_weights
from pipeline.networks.mammogram_resnet import risk_score
from transforms.answer import ResultTransform
from transforms.mammography.exam_files import ENDINGS, find_views, images_in, named
from transforms.mammography.geometry import Box, cut, standardise
from transforms.mammography.scale import pixels_of, region_around
from transforms.mammography.views import view_affine

VARIANTS = ("holistic", "attention", "ensemble")
WANTED = ("L-CC", "L-MLO", "R-CC", "R-MLO")


def find(path: Path | str) -> list[dict[str, Any]]:
    """The exams under a path: a folder with the files of one exam, a folder of such folders, or one file.

    Args:
        path: files' names end in their view (`L-CC.png`, `R-MLO-2.dcm`, `0412_r_cc.tif`), or they are DICOM and their
            headers say it.

    Returns:
        one `{"exam_id": name, "image": {view, or the file's name without ending: path}}` an exam; of one file with
        `shown`, the file itself.

    Raises:
        InputError: nothing there.
    """
    root = Path(path)
    if not root.exists():
        raise InputError(f"{root.name}: no such exam; give a folder with one file a view")
    if root.is_file():
        files, shown = find_views(root)
        return [{"exam_id": answers.name_of(root), "image": files, "shown": shown}]
    inner = sorted(each for each in root.iterdir() if each.is_dir())
    folders = [root] if images_in(root) else [each for each in inner if images_in(each)]
    if not folders:
        raise InputError(f"{root.name}: holds no mammogram; expected {', '.join(ENDINGS)}")
    if folders != [root] and len(folders) < len(inner):
        print(f"left out: {len(inner) - len(folders)} folders without a mammogram, the first: "
              f"{next(each.name for each in inner if each not in folders)}", flush=True)
    found = [{"exam_id": answers.name_of(each), "image": named(images_in(each))} for each in folders]
    answers.check_distinct([answers.name_of(each) for each in folders])
    return found


class ExamResultd(ResultTransform):
    """Turn the holistic network's answer for an exam's views into what users and MONAI Label read.

    Of the answer of `pipeline.explain.saliency.SaliencyInferer` it makes `result`: `probability`, the logistic of half
    the exam's ensemble score; the three scores (holistic, attention, ensemble) of every image, breast and of the exam;
    and of each image the centre of attention and the region, in pixels of the file. A breast with one view counts that
    view twice, repeats of a view are averaged (Ours); `notes` says so. The map of the view that is shown is put under
    the key, on its file's grid `(columns, rows, 1)`, as of `transforms.answer.answered`; its peak is what the
    probability would be if the exam were this view alone. `maps` has all views', for the files; `shown` and `saliency`
    what the picture takes.

    Args:
        keys: of the answer, which the map replaces.
        attention: the attention network.
        width: columns that images were scaled to for the holistic model.
        region: pixels of a region's side.
        weights: of the attention network, loaded before its first use: hosts that load a network load one only. None:
            it is used as it is.
        image_key: the views, with the meta of the one that is shown.
        output, threshold: as of `transforms.answer.answered`.
    """

    def __init__(self, keys: KeysCollection, attention: nn.Module, width: int, region: int,
                 weights: Path | str | None = None, image_key: str = "image", output: str = "float",
                 threshold: float | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, image_key, output, threshold, allow_missing_keys)
        self.attention, self.weights = attention, weights
        self.width, self.region = int(width), pixels_of("region", region)

    def load(self) -> None:
        """Load the attention network's weights, once.

        Raises:
            InputError: as `pipeline.networks.checkpoint.load_weights`.
        """
        if self.weights is not None:
            load_weights(self.attention, self.weights, "", "train it, or name it with --attention")
            self.weights = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        key = self.keys[0]
        answer, views = data[key], data["views"]
        saliency = answer["maps"].reshape(-1, *answer["maps"].shape[-2:])
        shapes = [view["pixels"].shape for view in views.values()]
        centers = native_centers(saliency, data["corners"], shapes, self.width)
        boxes = [region_around(shape, center, self.region) for shape, center in zip(shapes, centers, strict=True)]
        scores = self._scores(answer["scores"].flatten(), [v["pixels"] for v in views.values()], boxes)
        images, maps = {}, {}
        for i, (name, view) in enumerate(views.items()):
            columns = view["pixels"].shape[1]
            center, left = list(centers[i]), boxes[i].left
            alone = exam_probability(exam_score([("L", "CC", scores["ensemble"][i])])[0])
            heat = view_map(saliency[i], data["corners"][i], view["pixels"].shape, self.width, alone)
            if view["flipped"]:  # back to the file's columns
                center[1], left, heat = columns - 1 - center[1], columns - left - self.region, heat.flip(1)
            images[name] = {**{v: round(scores[v][i], 6) for v in VARIANTS}, "center": [round(at, 1) for at in center],
                            "region": [boxes[i].top, left, self.region], "notes": view["notes"]}
            maps[name] = heat.T[..., None].contiguous()
        sums = {v: exam_score([(key[0], key[2:].partition("-")[0], scores[v][i]) for i, key in enumerate(views)])
                for v in VARIANTS}
        told = {
            "type": "screening", "probability": round(exam_probability(sums["ensemble"][0]), 6),
            "exam": {v: round(sums[v][0], 6) for v in VARIANTS},
            "breasts": {side: {v: round(sums[v][1][side], 6) for v in VARIANTS} for side in sums["ensemble"][1]},
            "images": images, "shown": data["shown"], "notes": _notes(list(views))}
        result = self.answered(data, told, maps[data["shown"]])
        return {**result, "maps": maps, "saliency": {"maps": saliency, "centers": centers, "boxes": boxes,
                                                     "scores": scores}}

    def _scores(self, holistic: torch.Tensor, pictures: list[np.ndarray], boxes: list[Box]) -> dict[str, list[float]]:
        """Each image's three scores."""
        self.load()
        parts = [standardise(torch.from_numpy(cut(p, box).astype(np.float32)))[None]
                 for p, box in zip(pictures, boxes, strict=True)]
        device = next(self.attention.parameters()).device
        with frozen(self.attention), torch.no_grad():
            attention = risk_score(self.attention(torch.stack(parts).to(device)).float()).tolist()
        first = holistic.tolist()
        return {"holistic": first, "attention": attention,
                "ensemble": [ensemble(h, a) for h, a in zip(first, attention, strict=True)]}


class SaveExamd(MapTransform):
    """Write an answer (`pipeline.answers.saved`); its picture has each view with its salient pixels and its region.

    Maps of views that are not shown are written as `<name>_heatmap_<view>.nii.gz`; on request the picture as
    `<name>_preview.dcm`, too.

    Args:
        keys: key of the map.
        output_dir: where the files go.
        width: columns that images were scaled to for the holistic model.
        dicom: write the picture as DICOM, too.
    """

    def __init__(self, keys: KeysCollection, output_dir: Path | str, width: int, dicom: bool = False,
                 allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)
        self.width, self.dicom = int(width), bool(dicom)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        if "exam_id" not in result:  # not from `find`: a server, which sends the answer itself
            return result
        views, exam = result["views"], result["result"]["exam"]
        said = f"exam scores {', '.join(f'{v} {exam[v]:.3f}' for v in VARIANTS)}"
        with answers.saved(result, self.keys[0], self.output_dir, said) as (folder, name):
            for view, heat in result["maps"].items():
                if view != result["shown"]:
                    write_volume(folder / f"{name}_heatmap_{view}.nii.gz", heat, view_affine(views[view]))
            picture = _picture(views, result["corners"], **result["saliency"], width=self.width,
                               path=folder / f"{name}_preview.png")
            if self.dicom:
                write_dicom_picture(folder / f"{name}_preview.dcm", picture, name, "Saliency and regions")
        return result


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


def _picture(views: Mapping[str, dict[str, Any]], corners: Sequence[Sequence[int]], maps: torch.Tensor,
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
