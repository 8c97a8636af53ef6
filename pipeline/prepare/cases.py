"""Prepared exams as training sees them: lists of cases, a dataset that can be resumed, a sampler, a collate."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from monai.data import Dataset
from torch.utils.data import DistributedSampler, default_collate

from pipeline import datalist
from pipeline.datalist import SPLITS
from pipeline.errors import InputError
from pipeline.mammography.screening import DETECTIONS, MOST_VIEWS, found_by_screening, image_label, is_known

SCHEMA = "breast-bundles/prepared/2"
LIST = "prepared.json"


def load(folder: Path | str) -> dict[str, Any]:
    """The content of a prepared dataset's list.

    Raises:
        InputError: no prepared dataset in the folder.
    """
    path = Path(folder) / LIST
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{Path(folder).name}: holds no {LIST}; run prepare.yaml first and give its output as "
                         "dataset_dir") from None
    except json.JSONDecodeError:
        raise InputError(f"{path.name}: damaged; run prepare.yaml again, exams that are ready are kept") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f"{path.name}: not a prepared dataset ({SCHEMA}); run prepare.yaml again")
    return content


def breasts(folder: Path | str, fold: int, *splits: str) -> list[dict[str, Any]]:
    """One case a breast with a known label.

    Args:
        folder: what `prepare.yaml` wrote.
        fold: which fold.
        splits: of `train`, `validation`, `test`.

    Returns:
        dictionaries with `image` (path), `label` (1 = malignant), `exam_id`, `patient_id`, `side`, `split`,
        `lesions` (voxel x, y, z and malignant), `affine`, `groups`, `readers`.

    Raises:
        InputError: no such fold, or no case in it.
    """
    return [
        {**case, "label": int(case["malignant"])}
        for case in _cases(folder, fold, splits) if case["malignant"] is not None
    ]


def lesions(folder: Path | str, fold: int, *splits: str) -> list[dict[str, Any]]:
    """One case a marked lesion with a known label, for `LoadLesionPatchd`.

    Args, Raises: as `breasts`.

    Returns:
        the breast's dictionary with `center` (voxel x, y, z) and `label` of the lesion.
    """
    found = [
        {**case, "center": [x, y, z], "label": int(malignant)}
        for case in _cases(folder, fold, splits) for x, y, z, malignant in case["lesions"]
    ]
    if not found:
        raise InputError(f"fold {fold} has no marked lesion in {' or '.join(splits)}; stage 1 needs lesion centres: "
                         "give lesions.csv to the converter, or train with naive.yaml")
    return found


def slices(folder: Path | str, fold: int, channels: Sequence[str], *splits: str) -> list[dict[str, Any]]:
    """One case a patch of a lesion, for `LoadSliced` (contrast transfer).

    Args:
        folder, fold, splits: as `breasts`.
        channels: contrasts that will be read.

    Returns:
        dictionaries with `image` and `array` (path), `slice` (number in the array), `label` (1 = malignant), `exam_id`,
        `patient_id`, `side`, `lesion_id`, `split`, `groups`, `readers`.

    Raises:
        InputError: no such fold, no case in it, or an exam that lacks one of the contrasts.
    """
    found = []
    for case in _cases(folder, fold, splits, "lesions"):
        if lacking := [name for name in channels if name in case["missing"]]:
            raise InputError(f"exam {case['exam_id']} has no {', '.join(lacking)}; leave the exam out of the datalist, "
                             "or choose channels that it has")
        found += [{**case, "slice": k, "array": case["image"], "label": int(case["malignant"])}
                  for k in range(case["slices"])]
    return found


def crops(folder: Path | str, fold: int, *splits: str, views: Sequence[str] = ("",)) -> list[dict[str, Any]]:
    """One case a stored crop, for `LoadCropd` (centre-point ultrasound).

    Args:
        folder, fold: as `breasts`.
        splits: as `breasts`, or `watched`: the validation crops, and the test crops in a fold that validates none.
        views: each crop is there once for each of them, under `view`.

    Returns:
        dictionaries with `image` (path), `label` (1 = holds a lesion), `exam_id`, `patient_id`, `side`, `image_id`,
        `split`, `groups`, `readers`, and `view` where one is given.

    Raises:
        InputError: no such fold, or no case in it.
    """
    if splits == ("watched",):
        found = any(case["splits"][fold] == "validation" for case in load(folder).get("crops", ()))
        splits = ("validation",) if found else ("test",)
    return [{**case, "label": case["lesion"], **({"view": view} if view else {})}
            for view in views for case in _cases(folder, fold, splits, "crops", "lesion")]


def volumes(folder: Path | str, fold: int, *splits: str) -> list[dict[str, Any]]:
    """One case a whole volume, read where the datalist has it, for `LoadVolumed`.

    Where a test set is held out, its fold alone has any: maps of whole volumes are dear.

    Returns:
        dictionaries with `image` (path), `exam_id`, `patient_id`, `side`, `split`, `healthy` (the datalist says so),
        `centers` (RAS mm), `malignant` of each, `mask` (path or None) with the lesions' numbers, `spacing_mm`.

    Raises:
        InputError: the datalist has gone.
    """
    content = load(folder)
    source = datalist.load(Path(folder) / content["datalist"])
    _check_fold(content, fold)
    last = content["folds"].get("held_out", fold)
    found = []
    for exam in source.exams if fold == last else []:
        if exam.split(fold) in splits:
            mask = source.path(exam, datalist.MASK) if datalist.MASK in exam.images else None
            found.append({
                "image": str(source.path(exam, "image")), "exam_id": exam.exam_id, "patient_id": exam.patient_id,
                "side": "".join(exam.breasts), "split": exam.split(fold), "healthy": exam.healthy(),
                "centers": [list(m.center_mm) for m in exam.lesions], "malignant": [m.malignant for m in exam.lesions],
                "lesion_ids": [m.lesion_id for m in exam.lesions], "mask": None if mask is None else str(mask),
                "spacing_mm": exam.spacing_mm})
    return found


def images(folder: Path | str, fold: int, *splits: str, other_breast: str = "leave_out") -> list[dict[str, Any]]:
    """One case a mammogram with a training label (§4.1 of the screening paper, `pipeline.mammography.screening.image_label`).

    Args:
        folder, fold, splits: as `breasts`.
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

    Args, Raises: as `breasts`.
    """
    cases = _cases(folder, fold, splits, "images")
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


def in_order(cases: Sequence[Any], seed: int = 0) -> list[tuple[int, int]]:
    """A sampler that draws every case once, each with a seed of its own: random transforms do the same each time."""
    return [(i, seed + i) for i in range(len(cases))]


def stored_channels(folder: Path | str) -> list[str]:
    """Contrasts of the arrays, in their order."""
    return list(load(folder)["parameters"]["channels"])


def _check_fold(content: dict[str, Any], fold: int) -> None:
    count = content["folds"].get("count", 0)
    if not 0 <= fold < count:
        raise InputError(f"fold {fold} does not exist; this dataset has folds 0 to {count - 1}")


def _cases(folder: Path | str, fold: int, splits: Sequence[str], unit: str = "breasts",
           label: str = "malignant") -> list[dict[str, Any]]:
    content = load(folder)
    if unit not in content:
        raise InputError(f"{Path(folder).name}: was not prepared for this bundle (it holds no {unit}); run the "
                         "bundle's own prepare.yaml into another folder")
    _check_fold(content, fold)
    if not splits or not set(splits) <= set(SPLITS):
        raise InputError(f"splits {splits} must be some of {', '.join(SPLITS)}")
    cases = []
    for breast in content[unit]:
        if (split := breast["splits"][fold]) in splits:
            cases.append({**breast, "image": str(Path(folder) / breast["image"]), "split": split})
    labels = {case[label] for case in cases} - {None}
    if not labels:
        raise InputError(f"fold {fold} has no labelled {unit[:-1]} in {' or '.join(splits)}; check the datalist's "
                         "labels")
    return cases


class SeededDataset(Dataset):
    """A dataset whose random transforms follow the draw, not the process.

    `BalancedSampler` gives each draw its own seed. What a case looks like in an epoch then depends neither on the
    number of workers nor on what was drawn before, so that a resumed run sees exactly what an uninterrupted one
    would have seen.
    """

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, tuple):
            index, seed = index
            if hasattr(self.transform, "set_random_state"):
                self.transform.set_random_state(seed=seed)
        return super().__getitem__(index)


class BalancedSampler(DistributedSampler):
    """Draws all classes equally often, on one process or shared between several.

    An epoch walks through each class in random order, smaller classes again and again, until `length` cases are
    drawn. All processes make the same plan and take every n-th case of it, so that what one GPU would see in a
    step, several see together. MONAI's engines call `set_epoch`; the plan depends on `seed` and epoch alone.

    Args:
        cases: dictionaries with `label`.
        seed: of the plan and of every draw's transforms.
        length: cases an epoch over all processes; default: as many as there are.
        num_replicas: processes; default: as torch.distributed says, or 1.
        rank: this process.

    Raises:
        InputError: only one class to draw from.
    """

    def __init__(self, cases: Sequence[dict[str, Any]], seed: int = 0, length: int | None = None,
                 num_replicas: int | None = None, rank: int | None = None) -> None:
        distributed = dist.is_available() and dist.is_initialized()
        replicas = num_replicas or (dist.get_world_size() if distributed else 1)
        own = (dist.get_rank() if distributed else 0) if rank is None else rank
        super().__init__(Dataset(cases), replicas, own, seed=seed)
        labels = np.asarray([int(case["label"]) for case in cases])
        self.members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if len(self.members) < 2:
            raise InputError(f"all {len(cases)} training cases have the label {labels[0]}; both classes are needed: "
                             "check the datalist's labels")
        self.length = int(length or len(cases))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        each = -(-self.length // len(self.members))
        rounds = [np.concatenate([random.permutation(m) for _ in range(-(-each // len(m)))])[:each]
                  for m in self.members]
        plan = random.permuted(np.stack(rounds, axis=1), axis=1).reshape(-1)[: self.length]
        seeds = random.integers(2**31, size=self.length)
        mine = slice(self.rank, len(self) * self.num_replicas, self.num_replicas)
        yield from zip(plan[mine].tolist(), seeds[mine].tolist(), strict=True)

    def __len__(self) -> int:
        return self.length // self.num_replicas


def collate(cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Batch cases: images stacked without leaving the stored memory order, other values as torch does.

    Returns:
        `image` with the axis of the batch in front, e.g. `(B, C, X, Y, Z)` as a view of memory `(B, C, Z, Y, X)`;
        `label` `(B,)` int64, and the rest as lists.
    """
    first = cases[0]["image"]
    stored = sorted(range(first.ndim), key=lambda axis: -first.stride(axis))  # the axes as memory has them
    images = torch.stack([case["image"].permute(stored) for case in cases])
    images = images.permute(0, *(1 + stored.index(axis) for axis in range(first.ndim)))
    labels = default_collate([case["label"] for case in cases])
    rest = {key: [case[key] for case in cases] for key in cases[0] if key not in ("image", "label")}
    return {"image": images, "label": labels, **rest}
