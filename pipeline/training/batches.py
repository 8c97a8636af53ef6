"""From cases to batches: a dataset that can be resumed, a balanced sampler, a collate that keeps memory's order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from torch.utils.data import DistributedSampler, default_collate

from pipeline.errors import InputError
from pipeline.prepare.cases import demand_array
from pipeline.training import distributed


class SeededDataset(Dataset):
    """A dataset whose random transforms follow the draw, not the process.

    A `PlannedSampler` gives each draw its own seed. What a case looks like in an epoch then depends neither on the
    number of workers nor on what was drawn before, so that a resumed run sees exactly what an uninterrupted one
    would have seen.

    An array that is read for the first time in a run, by whichever process, is held against its digest.
    """

    def __init__(self, data: Sequence[Any], transform: Any = None) -> None:
        super().__init__(data, transform)
        files = {case["image"]: i for i, case in enumerate(data) if "sha256" in case}
        self._slot = [files.get(case.get("image"), -1) if isinstance(case.get("image"), str) else -1 for case in data]
        self._checked = torch.zeros(len(data), dtype=torch.uint8).share_memory_()  # by all loading processes

    def __getitem__(self, index: Any) -> Any:
        case = index[0] if isinstance(index, tuple) else index
        if (slot := self._slot[case]) >= 0 and not self._checked[slot]:
            demand_array(self.data[case])
            self._checked[slot] = 1
        if isinstance(index, tuple):
            index, seed = index
            if hasattr(self.transform, "set_random_state"):
                self.transform.set_random_state(seed=seed)
        return super().__getitem__(index)


class PlannedSampler(DistributedSampler):
    """Draws cases by a plan of each epoch, on one process or shared between several.

    All processes make the same plan and take every n-th case of it, so that what one GPU would see in a step, several
    see together. MONAI's engines call `set_epoch`; the plan depends on `seed` and epoch alone, so that a resumed run
    goes on with what an uninterrupted one would have drawn.

    Args:
        cases: dictionaries with `label`.
        seed: of the plan and of every draw's transforms.
        length: cases an epoch over all processes; default: as many as there are.
        num_replicas: processes; default: as torch.distributed says, or 1.
        rank: this process.

    Raises:
        InputError: fewer cases an epoch than processes.
    """

    def __init__(self, cases: Sequence[dict[str, Any]], seed: int = 0, length: int | None = None,
                 num_replicas: int | None = None, rank: int | None = None) -> None:
        replicas = num_replicas or distributed.count()
        own = distributed.own_number() if rank is None else rank
        super().__init__(Dataset(cases), replicas, own, seed=seed)
        self.count = len(cases)
        self.length = int(length or len(cases))
        _check_shares(self.length, replicas)

    def plan(self, random: np.random.Generator) -> np.ndarray:
        """Numbers of the cases of one epoch, `length` of them, in their order."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[tuple[int, int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        plan = self.plan(random)
        seeds = random.integers(2**31, size=self.length)
        mine = slice(self.rank, len(self) * self.num_replicas, self.num_replicas)
        yield from zip(plan[mine].tolist(), seeds[mine].tolist(), strict=True)

    def __len__(self) -> int:
        return self.length // self.num_replicas


class BalancedSampler(PlannedSampler):
    """Draws all classes equally often: `label` is one class a case.

    An epoch walks through each class in random order, smaller classes again and again, until `length` cases are
    drawn. Arguments: as `PlannedSampler`.

    Raises:
        InputError: only one class to draw from.
    """

    def __init__(self, cases: Sequence[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
        super().__init__(cases, *args, **kwargs)
        labels = np.asarray([int(case["label"]) for case in cases])
        self.members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if len(self.members) < 2:
            raise InputError(f"all {len(cases)} training cases have the label {labels[0]}; both classes are needed: "
                             "check the datalist's labels")

    def plan(self, random: np.random.Generator) -> np.ndarray:
        each = -(-self.length // len(self.members))
        rounds = [np.concatenate([random.permutation(m) for _ in range(-(-each // len(m)))])[:each]
                  for m in self.members]
        return random.permuted(np.stack(rounds, axis=1), axis=1).reshape(-1)[: self.length]


class ShuffledSampler(PlannedSampler):
    """Draws every case once before any is drawn again, whatever its labels. Arguments: as `PlannedSampler`."""

    def plan(self, random: np.random.Generator) -> np.ndarray:
        return np.concatenate([random.permutation(self.count) for _ in range(-(-self.length // self.count))])[
            : self.length]


def in_order(cases: Sequence[Any], seed: int = 0) -> list[tuple[int, int]]:
    """A sampler that draws every case once, each with a seed of its own: random transforms do the same each time.

    Of several processes each draws every n-th case, none of them twice: their shares may differ by one.

    Raises:
        InputError: fewer cases than processes.
    """
    _check_shares(len(cases), distributed.count())
    return [(i, seed + i) for i in range(distributed.own_number(), len(cases), distributed.count())]


def _check_shares(cases: int, processes: int) -> None:
    if cases < processes:
        raise InputError(f"{processes} processes cannot share {cases} cases; start torchrun with fewer processes "
                         "(--nproc_per_node)")


def collate(cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Batch cases: images stacked without leaving the stored memory order, other values as torch does.

    Returns:
        `image` with the axis of the batch in front, e.g. `(B, C, X, Y, Z)` as a view of memory `(B, C, Z, Y, X)`;
        `label` `(B,)` int64, or `(B, K)` where a case has several, and the rest as lists, None of cases that lack it.

    Raises:
        InputError: cases of different shapes.
    """
    first = cases[0]["image"]
    if any(case["image"].shape != first.shape for case in cases):
        raise InputError("images of different shapes are in one batch; set batch_size to 1")
    stored = sorted(range(first.ndim), key=lambda axis: -first.stride(axis))  # the axes as memory has them
    images = torch.stack([case["image"].permute(stored) for case in cases])
    images = images.permute(0, *(1 + stored.index(axis) for axis in range(first.ndim)))
    labels = default_collate([torch.as_tensor(case["label"]) for case in cases])
    keys = dict.fromkeys(key for case in cases for key in case if key not in ("image", "label"))
    rest = {key: [case.get(key) for case in cases] for key in keys}
    return {"image": images, "label": labels, **rest}
