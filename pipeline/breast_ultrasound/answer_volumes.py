"""Volumes as a user has them: found on disk, and answered with a map, candidate points and a picture."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline import answers
from pipeline.breast_ultrasound.candidates import write_candidates
from pipeline.breast_ultrasound.volumes import spots
from pipeline.datalist import MASK
from pipeline.errors import InputError
from pipeline.explain.grad_cam import slab_map
from pipeline.explain.windows import WindowMap
from pipeline.files.tables import read_table
from transforms.answer import ResultTransform
from transforms.breast_ultrasound.volume import AXES
from transforms.grid import Grid
from transforms.load import is_image

STEPS = 255  # of a map's values
SHARE = 0.3  # of the map in an overlay; the image has the rest (§2)


def find(path: Path | str, centers: Path | str | None = None) -> list[dict[str, Any]]:
    """The volumes under a path.

    Args:
        path: one image file, or a folder of them; subfolders that hold one `image.*` each count as well.
        centers: table with `exam_id` (the volume's name), `x_mm`, `y_mm`, `z_mm` of known centres, to be drawn.

    Returns:
        one `{"image": path, "exam_id": name, "centers": [[x, y, z], …]}` a volume.

    Raises:
        InputError: nothing there, or a table that is none.
    """
    root = Path(path)
    if not root.exists():
        raise InputError(f"{root.name}: no such volume; give an image file, or a folder of them")
    files = [root] if root.is_file() else [p for p in sorted([*root.iterdir(), *root.glob("*/image.*")])
                                           if p.is_file() and is_image(p) and p.name.split(".")[0] != MASK]
    if not files:
        raise InputError(f"{root.name}: holds no image; expected .nrrd, .nii.gz or .mha")
    known = _centers(centers) if centers is not None else {}
    names = [answers.name_of(p.parent if p.name.split(".")[0] == "image" else p) for p in files]
    answers.check_distinct(names)
    return [{"image": str(p), "exam_id": name, "centers": known.get(name, [])}
            for p, name in zip(files, names, strict=True)]


def _centers(path: Path | str) -> dict[str, list[list[float]]]:
    columns = [f"{axis}_mm" for axis in "xyz"]
    found: dict[str, list[list[float]]] = {}
    for row in read_table(path, ["exam_id", *columns]):
        found.setdefault(row.required("exam_id"), []).append([row.required_number(column) for column in columns])
    return found


class VolumeResultd(ResultTransform):
    """Turn the network's answer for a volume into what users and MONAI Label read.

    Of the answer of `SlidingWindows` it makes `result`: `probability`, the likeliest window's, and `candidates`, points
    in RAS mm with their `probability`, the hottest first. The map, on the file's own grid, in steps of 1/255, is put
    under the key, as of `transforms.answer.answered`; `windows` and `hot` keep it as it was found, and its points.

    Args:
        keys: of the answer, which the map replaces.
        image_key: the volume, with its file's meta.
        axes: what the file's three axes are.
        most: so many candidates are kept.
        output, threshold: as of `transforms.answer.answered`.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image", axes: Sequence[str] = AXES, most: int = 20,
                 output: str = "float", threshold: float | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, image_key, output, threshold, allow_missing_keys)
        self.order = [list(AXES).index(name) for name in axes]
        self.most = int(most)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        key = self.keys[0]
        answer, grid, volume = data[key], data["grid"], data["volume_grid"]
        mapped, hot = WindowMap.of(answer), spots(answer, grid, self.most)
        points = [{"center_mm": np.round(point, 2).tolist(), "probability": round(float(score), 6)}
                  for point, score in zip(hot.points, hot.scores, strict=True)]
        told = {"type": "lesion", "probability": round(float(answer["logits"].sigmoid()), 6), "candidates": points}
        whole = mapped.on(grid, volume).whole(volume.shape).transpose(self.order)
        heat = torch.from_numpy(whole).float().div_(STEPS)
        result = self.answered(data, told, heat)
        return {**result, "windows": mapped, "hot": hot}


class SaveVolumed(MapTransform):
    """Write an answer (`pipeline.answers.saved`), and the candidates as `<name>_candidates.csv`.

    The CSV has them as voxels, in the challenge's format; the picture has the slice of the hottest spot and of each
    known centre.

    Args:
        keys: key of the map.
        network: the network, for the paper's map of the slab around a slice.
        output_dir: where the files go.
    """

    def __init__(self, keys: KeysCollection, network: Any, output_dir: Path | str,
                 allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.network = network
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        if "exam_id" not in result:  # not from `find`: a server, which sends the answer itself
            return result
        told, hot, grid = result["result"], result["hot"], result["grid"]
        points = told["candidates"]
        said = f"{len(points)} candidates, the first at {points[0]['center_mm']} mm" if points else "no candidate"
        at = hot.points[0] if len(hot) else grid.to_world((np.asarray(grid.shape) - 1) / 2)
        with answers.saved(result, self.keys[0], self.output_dir, f"probability of a lesion {told['probability']:.3f}, "
                           f"{said}", steps=STEPS) as (folder, name):
            write_candidates(folder / f"{name}_candidates.csv", {name: (hot, grid)})
            volume = result["image"]
            volume = volume.as_tensor() if hasattr(volume, "as_tensor") else volume
            _picture(volume.reshape(1, *volume.shape[-3:]), result["windows"], self.network, grid, at,
                     result.get("centers") or [], folder / f"{name}_preview.png")
        return result


def _picture(volume: Any, mapped: WindowMap, network: Any, grid: Grid, at: np.ndarray,
             centers: Sequence[Sequence[float]], path: Path) -> None:
    """Slices through the hottest spot and each known centre: input, the slab's Grad-CAM (paper, Fig. 3), our map."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import colormaps
    from matplotlib import pyplot as plt

    places = [("hottest spot", at), *((f"marked centre {i}", np.asarray(c)) for i, c in enumerate(centers, start=1))]
    width, height = grid.shape[0] * grid.spacing[0], grid.shape[1] * grid.spacing[1]
    figure, axes = plt.subplots(len(places), 3, figsize=(12, (4 * height / width + 0.4) * len(places)),
                                squeeze=False, layout="constrained")
    for row, (title, point) in zip(axes, places, strict=True):
        z = int(np.clip(round(float(grid.to_index(point)[2])), 0, grid.shape[2] - 1))
        plane = np.asarray(volume[0, z].float().cpu())
        heat = mapped.plane(grid.shape, z)
        cam = slab_map(network, volume, z)
        mixed = [(1 - SHARE) * plane[..., None] + SHARE * colormaps["jet"](each)[..., :3] for each in (cam, heat)]
        titles = (f"{title}: slice {z}", "Grad-CAM of the slab of 9 slices, over its maximum",
                  f"probability by windows, at most {heat.max():.2f} here")
        for axis, shown, text in zip(row, (plane, *mixed), titles, strict=True):
            axis.imshow(shown, cmap="gray", vmin=0, vmax=1, aspect=grid.spacing[1] / grid.spacing[0])
            axis.set_title(text, fontsize=8, loc="left")
            axis.axis("off")
            for center in centers:
                x, y, k = grid.to_index(np.asarray(center, float))
                if abs(k - z) * grid.spacing[2] < 5:
                    axis.plot(x, y, "o", color="red", markersize=3)
    figure.savefig(path, dpi=90)
    plt.close(figure)
