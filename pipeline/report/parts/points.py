"""What a study of centre points adds to the report: do maps point to lesions, how did training go, what are crops."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipeline.errors import InputError
from pipeline.files.tables import read_results
from pipeline.metrics.hot_spots import HotSpots
from pipeline.metrics.localisation import Volume, in_boxes, localise
from pipeline.report.figures import STYLE, colour, svg
from pipeline.report.gallery import data_uri
from pipeline.report.predictions import AGAIN, Run
from transforms.grid import Grid, triple


def points(run: Run, count: int, seed: int) -> dict[str, Any]:
    """Localisation on whole test volumes (`pipeline.metrics.localise`), of the folds in `run.tested`; empty without.

    Raises:
        InputError: a file that is none, or a study whose volumes are all one patient's.
    """
    volumes = [volume for fold in run.tested for volume in _volumes(run, fold)]
    if not any(len(np.atleast_1d(v.centers)) for v in volumes):
        return {}
    try:
        return localise(volumes, count=count, seed=seed)
    except ValueError as error:
        raise InputError(f"{run.folder}: localisation cannot be measured: {error}; test the volumes of more "
                         "patients") from None


def _volumes(run: Run, fold: int) -> list[Volume]:
    path = run.place(run.variants[0], fold) / "volumes.json"
    if not path.is_file():
        return []
    try:
        found = []
        for entry in json.loads(path.read_text(encoding="utf-8")):
            spots = np.reshape(np.asarray(entry["spots"], float), (-1, 4))
            grid = Grid(triple(entry["shape"]), np.asarray(entry["affine"], float))
            centers = np.reshape(np.asarray(entry["centers"], float), (-1, 3))
            region = in_boxes(entry["boxes"], grid) if entry["boxes"] else None
            found.append(Volume(entry["patient_id"], HotSpots.of(spots[:, :3], spots[:, 3]), centers, grid, region))
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not what an evaluation wrote ({type(error).__name__}); {AGAIN}") from None


def points_figure(found: dict[str, Any]) -> str:
    """FROC on the left; on the right the pointing game over radii, beside chance."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        curve, rows = found["froc"]["curve"], found["froc"]["sensitivity"]
        left.step([0, *curve["false_positives"]], [0, *curve["sensitivity"]], where="post", color=colour(0),
                  linewidth=1.6)
        rates = [row["false_positives"] for row in rows]
        left.errorbar(rates, [row["value"] for row in rows], yerr=_bars(rows), fmt="o", markersize=3.5, color=colour(0),
                      elinewidth=0.9, capsize=2)
        left.plot(rates, [row["chance"] for row in rows], color="#888888", linestyle=(0, (2, 3)), linewidth=1.2)
        left.set_xscale("log", base=2)
        left.set_xticks(rates, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
        left.set_xlim(0.1, 10)
        left.set_xlabel("False positives a volume")
        left.set_ylabel(f"Sensitivity within {found['froc']['radius_mm']:g} mm")
        near = [row for row in found["pointing"] if row["radius_mm"] is not None]
        radii = [row["radius_mm"] for row in near]
        right.errorbar(radii, [row["value"] for row in near], yerr=_bars(near), fmt="-o", markersize=3.5,
                       color=colour(0), elinewidth=0.9, capsize=2, label="the map")
        right.plot(radii, [row["chance"] for row in near], color="#888888", linestyle=(0, (2, 3)), linewidth=1.2,
                   marker="s", markersize=3, label="chance: other patients’ maps")
        right.set_xlabel("Distance of the peak from a centre, mm")
        right.set_ylabel("Share of volumes within")
        right.legend(loc="upper left")
        for axes in (left, right):
            axes.set_ylim(-0.02, 1.02)
    return svg(figure, "points", "Sensitivity against false positives a volume, and the share of volumes whose peak "
               "lies within a distance of a centre, each beside chance.")


def _bars(rows: list[dict[str, Any]]) -> np.ndarray:
    value = np.array([row["value"] for row in rows])
    low, high = np.array([row["ci95"] for row in rows], float).T
    return np.nan_to_num(np.clip([value - low, high - value], 0, None))


def history_figure(run: Run) -> str:
    """Accuracy over the epochs on training crops and on crops that were only watched (paper, Fig. 2); empty without."""
    fold = run.tested[0]
    path = next(iter(sorted(run.place(run.variants[0], fold).glob("*/history.csv"))), None)
    if path is None:
        return ""
    table = read_results(path, (), AGAIN, keep_default_na=True)
    if not {"epoch", "train_accuracy", "val_accuracy"} <= set(table):  # of a study that watches something else
        return ""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 2.8), layout="constrained")
        axes = figure.add_subplot()
        for i, (column, name) in enumerate((("train_accuracy", "training"), ("val_accuracy", "test" if run.final else
                                                                             "validation"))):
            known = table.dropna(subset=[column])
            axes.plot(known["epoch"], known[column], color=colour(i), linewidth=1.4, label=f"{name} crops")
        axes.set_xlabel("Epoch")
        axes.set_ylabel("Accuracy at 0.5")
        axes.set_ylim(0, 1.02)
        axes.legend(loc="lower right")
    return svg(figure, "history", "Accuracy over the epochs on training crops and on crops that were only watched.")


def split_counts(run: Run) -> list[dict[str, Any]]:
    """Patients and volumes by class, in training and test (paper, Table 1); empty where no crops were prepared.

    A patient with a lesion in any volume counts as one with lesions.
    """
    cases = _crops(run)
    if not cases:
        return []
    fold = run.tested[0]
    volumes = {case["exam_id"]: [case["patient_id"], case["splits"][fold] == "test", False] for case in cases}
    for case in cases:
        volumes[case["exam_id"]][2] |= bool(case["lesion"])
    patients: dict[str, list[bool]] = {}
    for patient, test, diseased in volumes.values():
        known = patients.setdefault(patient, [test, False])
        known[1] |= diseased
    rows = []
    for name, counted in (("Patients", [(t, d) for t, d in patients.values()]),
                          ("Volumes", [(t, d) for _, t, d in volumes.values()])):
        number = Counter(counted)
        rows.append({"name": name, "total": len(counted), "train": [number[False, False], number[False, True]],
                     "test": [number[True, False], number[True, True]],
                     "all": [number[False, d] + number[True, d] for d in (False, True)]})
    return rows


def crop_pictures(run: Run) -> list[dict[str, Any]]:
    """The middle slice of a few stored crops, of lesions and healthy, with the central part that the network sees."""
    cases = _crops(run)
    shape = _shape(run)
    found = []
    for lesion, name in ((1, "a lesion’s centre"), (0, "healthy")):
        for case in [c for c in cases if c["lesion"] == lesion and not c["padded"]][:3]:
            try:
                crop = np.load(run.folder / "prepared" / case["image"], mmap_mode="r")
            except (OSError, ValueError):
                continue
            plane = np.asarray(crop[0, crop.shape[1] // 2], np.float32)
            aspect = case["spacing"][1] / case["spacing"][2]
            rows, columns = plane.shape
            part = None if shape is None else [(columns - shape[2]) / 2, (rows - shape[1]) / 2 * aspect, shape[2],
                                               shape[1] * aspect]
            found.append({"name": name, "uri": data_uri(np.repeat(plane[..., None], 3, axis=2)), "columns": columns,
                          "rows": rows * aspect, "part": part})
    return found


def _shape(run: Run) -> list[int] | None:
    """Voxels that the network sees, as the training's record says."""
    import yaml

    for path in run.place(run.variants[0], run.tested[0]).glob("*/config.yaml"):
        shape = yaml.safe_load(path.read_text()).get("shape")
        if isinstance(shape, list) and len(shape) == 3:
            return shape
    return None


def _crops(run: Run) -> list[dict[str, Any]]:
    try:
        content = json.loads((run.folder / "prepared" / "prepared.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return list(content.get("crops") or [])
