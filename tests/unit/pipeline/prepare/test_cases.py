"""The prepared list and its arrays: what is refused, in one line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from traceback import clear_frames

import numpy as np
import pytest
from torch.utils.data import DataLoader

from pipeline.breast_mri.breasts import breasts, lesions
from pipeline.errors import InputError, one_line
from pipeline.training.batches import SeededDataset, collate
from transforms import LoadLesionPatchd, LoadPreparedd

SMALL = (16, 16, 4)  # voxels of a breast

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
    folder = make_prepared(tmp_path / "prepared", shape=SMALL)
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
    clear_frames(error.tb)  # left to the garbage collector, the loader would wait five seconds for each process


def test_an_array_is_held_against_its_digest_once_a_run(make_prepared, tmp_path, monkeypatch) -> None:
    from pipeline.prepare import cases

    asked = []
    monkeypatch.setattr(cases, "demand", lambda path, *rest: asked.append(path))
    found = lesions(make_prepared(tmp_path / "prepared", shape=SMALL), 0, "train")
    data = SeededDataset([*found, found[0]], LoadLesionPatchd("image", SMALL))
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
