"""Cases, the balanced draw, and batches that do not depend on how they were loaded."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from torch.utils.data import DataLoader

from pipeline.breast_mri.breasts import breasts, lesions
from pipeline.errors import InputError, one_line
from pipeline.mammography.views import images, views
from pipeline.training.batches import BalancedSampler, SeededDataset, collate
from transforms import LoadLesionPatchd, LoadPreparedd, RandRotateFlipd

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


def test_splits_follow_the_folds(tiny_prepared) -> None:
    # 12 exams in 3 folds: 4 are tested in fold 1, another 4 validate, 4 train; two breasts each.
    parts = {split: breasts(tiny_prepared, 1, split) for split in ("train", "validation", "test")}
    assert {split: len(cases) for split, cases in parts.items()} == {"train": 8, "validation": 8, "test": 8}
    assert {case["exam_id"] for case in parts["test"]} == {"E0001", "E0004", "E0007", "E0010"}
    assert {case["exam_id"] for case in parts["validation"]} == {"E0000", "E0003", "E0006", "E0009"}
    assert all(case["split"] == split for split, cases in parts.items() for case in cases)
    both = breasts(tiny_prepared, 1, "validation", "test")
    assert len(both) == 16
    case = parts["validation"][0]
    assert Path(case["image"]).is_file() and (case["side"], case["label"]) == ("L", 1)


def test_lesions_are_cases_of_their_own(tiny_prepared) -> None:
    cases = lesions(tiny_prepared, 0, "train", "validation", "test")
    # Exams 0, 2, … 10 have a malignant breast; 0, 4, 8 a benign one beside it; 1, 5, 9 two benign ones.
    assert Counter(case["label"] for case in cases) == {1: 6, 0: 9}
    assert all([*case["center"], case["label"]] in case["lesions"] for case in cases)


@pytest.fixture
def edited(tiny_prepared, tmp_path, reseal):
    """A copy of the prepared list alone, changed by a function of its content."""

    def edit(change) -> Path:
        content = json.loads((tiny_prepared / "prepared.json").read_text())
        change(content)
        return reseal(tmp_path, content)
    return edit


@pytest.mark.parametrize("change", [
    lambda content: content["breasts"][0]["splits"].reverse(),  # a patient tested and trained on
    lambda content: content["parameters"]["channels"].reverse(),
    lambda content: content.pop("folds"),
    lambda content: content["breasts"][3].pop("splits"),
    lambda content: content.pop("breasts"),
])
def test_a_list_that_was_changed_by_hand_is_refused(tiny_prepared, tmp_path, change) -> None:
    content = json.loads((tiny_prepared / "prepared.json").read_text())
    change(content)
    (tmp_path / "prepared.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"prepared.json: was changed since prepare.yaml wrote it; correct labels"):
        breasts(tmp_path, 0, "train")


def test_a_list_may_move_with_its_datalist(tiny_prepared, tmp_path) -> None:
    content = json.loads((tiny_prepared / "prepared.json").read_text())
    (tmp_path / "prepared.json").write_text(json.dumps({**content, "datalist": "elsewhere/list.json"}))
    assert breasts(tmp_path, 0, "train")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("fault", ["a flipped bit", "another breast's", "infinite", "complex", "cut", "gone"])
def test_an_array_that_is_not_what_was_prepared_stops_the_run(make_prepared, tmp_path, fault, workers) -> None:
    folder = make_prepared(tmp_path / "prepared")
    case, other = breasts(folder, 0, "train")[:2]
    path = Path(case["image"])
    voxels, before = np.load(path), path.stat()
    if fault == "a flipped bit":
        raw = bytearray(path.read_bytes())
        raw[-1000] ^= 4
        path.write_bytes(raw)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif fault == "another breast's":
        path.write_bytes(Path(other["image"]).read_bytes())
    elif fault == "cut":
        path.write_bytes(path.read_bytes()[:-7])
    elif fault == "gone":
        path.unlink()
    else:
        np.save(path, np.full_like(voxels, np.inf) if fault == "infinite" else voxels.astype(np.complex64))
    data = SeededDataset(breasts(folder, 0, "train"), LoadPreparedd("image"))
    with pytest.raises(Exception, match=f"{path.name}: (is not what was written|cannot be read)") as error:
        list(DataLoader(data, batch_size=4, collate_fn=collate, num_workers=workers))
    assert "run prepare.yaml again" in one_line(error.value)


def test_an_array_is_held_against_its_digest_once_a_run(make_prepared, tmp_path, monkeypatch) -> None:
    from pipeline.prepare import cases

    asked = []
    monkeypatch.setattr(cases, "demand", lambda path, *rest: asked.append(path))
    found = lesions(make_prepared(tmp_path / "prepared"), 0, "train")
    data = SeededDataset([*found, found[0]], LoadLesionPatchd("image", (16, 16, 4)))
    for _ in range(2):
        list(DataLoader(data, batch_size=4, collate_fn=collate))
    assert sorted(asked) == sorted({case["image"] for case in found})


def set_all(key, value):
    return lambda content: [breast.update({key: value}) for breast in content["breasts"]]


def test_a_breast_without_a_label_is_no_case(edited) -> None:
    folder = edited(lambda content: content["breasts"][0].update(malignant=None))
    everything = breasts(folder, 0, "train", "validation", "test")
    assert len(everything) == 23


@pytest.mark.parametrize(("change", "arguments", "message"), [
    (lambda content: None, (breasts, 3, "train"), "fold 3 does not exist.*folds 0 to 2"),
    (lambda content: None, (breasts, -1, "train"), "fold -1 does not exist"),
    (lambda content: None, (breasts, 0, "training"), "splits .*train, validation, test"),
    (lambda content: None, (breasts, 0), "splits .*train, validation, test"),
    (set_all("malignant", None), (breasts, 0, "train"), "fold 0 has no labelled breast in train.*datalist"),
    (set_all("lesions", []), (lesions, 0, "train"), "no marked lesion in train.*lesions.csv"),
    (lambda content: content.update(schema="other/1"), (breasts, 0, "train"), "not a prepared data.*prepare"),
])
def test_what_cannot_be_used_is_one_line(edited, change, arguments, message) -> None:
    read, *rest = arguments
    folder = edited(change)
    with pytest.raises(InputError, match=message) as error:
        read(folder, *rest)
    assert len(str(error.value).splitlines()) == 1 and str(folder) not in str(error.value)


@pytest.mark.parametrize("content", [None, "{\"schema\": \"breast-bun"])
def test_no_prepared_list_names_the_remedy(tmp_path, content) -> None:
    if content:
        (tmp_path / "prepared.json").write_text(content)
    with pytest.raises(InputError, match=r"prepare\.yaml"):
        breasts(tmp_path, 0, "train")
    shutil.rmtree(tmp_path)
    with pytest.raises(InputError, match=r"prepare\.yaml"):
        breasts(tmp_path, 0, "train")


def test_batches_keep_the_stored_memory_order(tiny_prepared) -> None:
    cases = [LoadPreparedd("image")(case) for case in breasts(tiny_prepared, 0, "train")[:3]]
    batch = collate(cases)
    assert batch["image"].shape == (3, 6, 64, 64, 8)
    assert batch["image"].permute(0, 1, 4, 3, 2).is_contiguous()
    assert torch.equal(batch["image"][2], cases[2]["image"])
    assert batch["label"].dtype == torch.int64 and batch["label"].shape == (3,)
    assert batch["lesions"] == [case["lesions"] for case in cases]  # of different lengths


@pytest.fixture
def screened(tiny_views, tmp_path, reseal):
    """Prepared screening exams of this test's own, without arrays, and what changes them."""
    content = json.loads((tiny_views / "prepared.json").read_text())

    def write(which: str | None = None, **values: Any) -> Path:
        for image in content["images"]:
            if which in (None, image["exam_id"]):
                image.update(values)
        return reseal(tmp_path, content)

    return write, [image["exam_id"] for image in content["images"] if image["splits"][0] == "train"]


def test_exams_of_unknown_status_are_left_out_and_counted(screened, capsys) -> None:
    write, (name, *_) = screened
    before = {case["exam_id"] for case in views(write(), 0, "train")}
    after = {case["exam_id"] for case in views(write(name, detection=None, malignant=None), 0, "train")}
    assert before - after == {name} and "left out: 1 exams without a known label" in capsys.readouterr().out


def test_detections_and_classes_that_cannot_be_trained_on(screened) -> None:
    write, (name, *_) = screened
    with pytest.raises(InputError, match=f"exam {name}: detection is 'Screen'; write one of negative, screen"):
        views(write(name, detection="Screen"), 0, "train")
    folder = write(detection="negative", malignant=0)
    with pytest.raises(InputError, match="fold 0 has no image with screen-detected cancer in validation"):
        images(folder, 0, "validation")
