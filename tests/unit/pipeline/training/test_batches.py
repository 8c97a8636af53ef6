"""The balanced draw, and batches that do not depend on how they were loaded."""

from __future__ import annotations

import gc
import multiprocessing
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from torch.utils.data import DataLoader

from pipeline.breast_mri.breasts import breasts, lesions
from pipeline.errors import InputError
from pipeline.files.receipts import digest
from pipeline.training import distributed
from pipeline.training.batches import BalancedSampler, SeededDataset, ShuffledSampler, collate, in_order
from transforms import LoadLesionPatchd, LoadPreparedd, RandRotateFlipd, read_prepared
from transforms.read_prepared import open_prepared

CASES = [{"label": int(i in (2, 5, 6))} for i in range(10)]  # three of ten are malignant


def plan(epoch: int = 1, **settings) -> list[tuple[int, int]]:
    sampler = BalancedSampler(CASES, **settings)
    sampler.set_epoch(epoch)
    drawn = list(sampler)
    assert len(drawn) == len(sampler)
    return drawn


@pytest.mark.parametrize("length", [None, 2, 12, 40, 101])
def test_classes_are_drawn_equally_often_and_so_are_their_members(length) -> None:
    times = Counter(i for i, _ in plan(length=length))
    malignant = sum(times[i] for i in (2, 5, 6))
    assert times.total() == (length or 10)
    assert abs(malignant - (times.total() - malignant)) <= 1
    for members in ((2, 5, 6), (0, 1, 3, 4, 7, 8, 9)):
        counts = [times[i] for i in members]
        assert max(counts) - min(counts) <= 1


def test_every_step_is_balanced() -> None:
    drawn = [CASES[i]["label"] for i, _ in plan(length=40)]
    assert all(sum(drawn[step : step + 4]) == 2 for step in range(0, 40, 4))
    assert len({tuple(drawn[step : step + 2]) for step in range(0, 40, 2)}) == 2  # in either order


def test_the_plan_follows_from_seed_and_epoch_alone() -> None:
    assert plan(3, seed=7) == plan(3, seed=7)
    assert plan(3, seed=7) != plan(4, seed=7)
    assert plan(3, seed=7) != plan(3, seed=8)
    seeds = [seed for epoch in (1, 2) for _, seed in plan(epoch, length=40)]
    assert len(set(seeds)) == 80  # a case drawn twice is augmented twice


@pytest.mark.parametrize(("length", "replicas"), [(40, 2), (41, 2), (40, 3)])
def test_processes_share_one_plan(length, replicas) -> None:
    whole = plan(length=length)
    parts = [plan(length=length, num_replicas=replicas, rank=rank) for rank in range(replicas)]
    together = [draw for step in zip(*parts, strict=True) for draw in step]
    assert together == whole[: length // replicas * replicas]


@pytest.mark.parametrize(("cases", "processes"), [(10, 1), (10, 2), (11, 2), (10, 3), (3, 3)])
def test_every_case_is_validated_by_one_process(monkeypatch, cases, processes) -> None:
    monkeypatch.setattr(distributed, "count", lambda: processes)
    shares = []
    for own in range(processes):
        monkeypatch.setattr(distributed, "own_number", lambda own=own: own)
        shares.append(in_order(range(cases), seed=5))
    assert sorted(draw for share in shares for draw in share) == [(i, 5 + i) for i in range(cases)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_more_processes_than_cases_are_one_line(monkeypatch) -> None:
    with pytest.raises(InputError, match=r"^11 processes cannot share 10 cases; start torchrun with fewer .*$"):
        BalancedSampler(CASES, num_replicas=11, rank=0)
    monkeypatch.setattr(distributed, "count", lambda: 3)
    with pytest.raises(InputError, match="3 processes cannot share 2 cases"):
        in_order(range(2))


def shuffled(epoch: int = 1, **settings) -> list[tuple[int, int]]:
    sampler = ShuffledSampler([{"label": [0, 1, -1, 0]}] * 10, **settings)
    sampler.set_epoch(epoch)
    drawn = list(sampler)
    assert len(drawn) == len(sampler)
    return drawn


def test_every_case_is_drawn_once_before_any_is_again() -> None:
    assert sorted(i for i, _ in shuffled()) == list(range(10)) != [i for i, _ in shuffled()]
    times = Counter(i for i, _ in shuffled(length=25))
    assert times.total() == 25 and set(times.values()) == {2, 3}
    assert len({i for i, _ in shuffled(length=4)}) == 4


def test_a_shuffled_plan_follows_from_seed_and_epoch_alone_and_is_shared() -> None:
    assert shuffled(3, seed=7) == shuffled(3, seed=7) != shuffled(4, seed=7)
    assert shuffled(3, seed=7) != shuffled(3, seed=8)
    parts = [shuffled(length=10, num_replicas=2, rank=rank) for rank in range(2)]
    assert [draw for step in zip(*parts, strict=True) for draw in step] == shuffled(length=10)


def test_several_labels_a_case_are_a_row() -> None:
    batch = collate([{"image": torch.zeros(1, 2, 2, 2), "label": [0, 1, -1, 0]}] * 2)
    assert batch["label"].tolist() == [[0, 1, -1, 0]] * 2 and batch["label"].dtype == torch.int64
    with pytest.raises(InputError, match=r"different shapes.*batch_size to 1"):
        collate([{"image": torch.zeros(1, 2, 2, n), "label": 0} for n in (1, 2)])


def test_one_class_cannot_be_balanced() -> None:
    with pytest.raises(InputError, match=r"all 4 training cases have the label 0.*datalist"):
        BalancedSampler([{"label": 0}] * 4)


@pytest.mark.parametrize("stage", ["patches", "breasts"])
def test_batches_do_not_depend_on_the_number_of_workers(tiny_prepared, stage) -> None:
    if stage == "patches":
        cases = lesions(tiny_prepared, 0, "train")
        load = LoadLesionPatchd("image", (16, 16, 4), jitter=0.25)
    else:
        cases = breasts(tiny_prepared, 0, "train")[:8]
        load = LoadPreparedd("image")

    def batches(workers: int) -> list:
        dataset = SeededDataset(cases, Compose([load, RandRotateFlipd("image", 15.0)]))
        sampler = BalancedSampler(cases, seed=3, length=12)
        sampler.set_epoch(2)
        loader = DataLoader(dataset, 4, sampler=sampler, num_workers=workers, collate_fn=collate)
        return list(loader)

    alone, shared, again = batches(0), batches(2), batches(0)
    for a, b, c in zip(alone, shared, again, strict=True):
        assert torch.equal(a["image"], b["image"]) and torch.equal(a["image"], c["image"])
        assert torch.equal(a["label"], b["label"]) and a["exam_id"] == b["exam_id"]
    first, second = (batch["image"] for batch in alone[:2])
    assert not torch.equal(first, second)


def test_batches_keep_the_stored_memory_order(tiny_prepared) -> None:
    cases = [LoadPreparedd("image")(case) for case in breasts(tiny_prepared, 0, "train")[:3]]
    batch = collate(cases)
    assert batch["image"].shape == (3, 6, 64, 64, 8)
    assert batch["image"].permute(0, 1, 4, 3, 2).is_contiguous()
    assert torch.equal(batch["image"][2], cases[2]["image"])
    assert batch["label"].dtype == torch.int64 and batch["label"].shape == (3,)
    assert batch["lesions"] == [case["lesions"] for case in cases]  # of different lengths


def kilobytes(name: str, path: str | None = None) -> int:
    """A field of this process's memory as the kernel counts it, of all or of one file's mapping, in kB."""
    if path is None:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    else:
        maps = Path("/proc/self/smaps").read_text().splitlines()
        begins = [i for i, line in enumerate(maps) if line.endswith(path)]
        lines = [line for i in begins for line in maps[i : i + 20]]
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@pytest.fixture(scope="module")
def large_arrays(tmp_path_factory) -> list[dict[str, Any]]:
    """Twenty prepared arrays of 4 MB, as cases."""
    folder, cases = tmp_path_factory.mktemp("large"), []
    for i in range(20):
        np.save(folder / f"E{i}.npy", np.full((1, 8, 512, 512), i, np.float16))
        cases.append({"image": str(folder / f"E{i}.npy"), "label": i % 2, "sha256": digest(folder / f"E{i}.npy")})
    return cases


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not tell")
def test_processes_that_load_an_array_share_its_pages(large_arrays, monkeypatch) -> None:
    """Two of them, while both have it open: each counts for half of what is in memory, none has pages of its own."""
    opened, both, first = [], multiprocessing.get_context("fork").Barrier(2, timeout=60), large_arrays[0]["image"]

    def keep_open(path: str) -> np.ndarray:
        opened.append(open_prepared(path))
        return opened[-1]

    def tell(case: dict[str, Any]) -> dict[str, Any]:
        both.wait()
        case["memory"] = [kilobytes(name, first) for name in ("Rss", "Pss", "Private_Clean", "Private_Dirty")]
        both.wait()  # nobody closes it before the other has looked
        return case

    monkeypatch.setattr(read_prepared, "open_prepared", keep_open)
    cases = SeededDataset([large_arrays[0]] * 2, Compose([LoadPreparedd("image"), tell]))
    loader = DataLoader(cases, batch_size=1, num_workers=2, collate_fn=collate, multiprocessing_context="fork")
    for batch in loader:
        ((resident, own_part, *private),) = batch["memory"]
        assert resident >= 4 * 1024 and own_part == pytest.approx(resident / 2, rel=0.02)
        assert sum(private) < 0.02 * resident


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not tell")
def test_a_process_that_has_read_all_arrays_holds_none(large_arrays) -> None:
    """What is copied is one case at a time, as float32: 8 MB of the 160, given back behind it."""
    memory = []

    def tell(case: dict[str, Any]) -> dict[str, Any]:
        gc.collect()
        memory.append(sum(kilobytes(name) for name in ("Private_Clean", "Private_Dirty")) / 1024)
        return case

    for _ in DataLoader(SeededDataset(large_arrays, Compose([LoadPreparedd("image"), tell])), collate_fn=collate):
        pass
    assert len(memory) == 20 and max(memory) - memory[0] < 80  # the heap keeps some pages for later ones
