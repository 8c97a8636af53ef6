"""When a step of a study is done, and when it is done again."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from pipeline.files.receipts import digest
from pipeline.study.step import DONE, Step


def finished(folder, key: str = "settings", inputs: str = "labels") -> Step:
    step = Step("own fold 0 train", folder, ["python"], key)
    step.start(inputs)
    (folder / "model.pt").write_bytes(b"weights")
    (folder / "maps").mkdir(exist_ok=True)
    (folder / "maps" / "E1.npz").write_bytes(b"map")
    (folder / "resume.pt").write_bytes(b"state")
    (folder / "log.train.txt").write_text("said")
    step.finish(inputs, 1.0)
    return step


def test_done_is_done_for_the_same_settings_and_inputs_only(tmp_path) -> None:
    step = finished(tmp_path / "run")
    assert step.is_done("labels") and not step.is_done("corrected labels")
    assert not Step(step.name, step.folder, step.command, "other settings").is_done("labels")
    assert set(step.receipt()["outputs"]) == {"model.pt", "maps/E1.npz"}


def test_what_it_takes_besides_counts_as_its_inputs_do(tmp_path) -> None:
    step = finished(tmp_path / "run")
    step.besides = lambda: "masks"
    assert not step.is_done("labels")
    step.finish("labels", 1.0)
    assert step.is_done("labels") and not step.is_done("corrected labels")
    step.besides = lambda: "other masks"
    assert not step.is_done("labels")


def test_a_copy_elsewhere_is_done_too(tmp_path) -> None:
    step = finished(tmp_path / "run")
    shutil.copytree(step.folder, tmp_path / "mount" / "run")  # other times, same content
    os.utime(tmp_path / "mount" / "run" / "model.pt", (1, 1))
    assert Step("elsewhere", tmp_path / "mount" / "run", ["/opt/python"], "settings").is_done("labels")


@pytest.mark.parametrize("fault", ["gone", "cut", "flipped", "receipt"])
def test_what_is_not_whole_is_not_done(tmp_path, fault) -> None:
    step = finished(tmp_path / "run")
    model = step.folder / "model.pt"
    if fault == "gone":
        model.unlink()
    elif fault == "cut":
        model.write_bytes(b"weigh")
    elif fault == "flipped":
        model.write_bytes(b"weighty")
    else:
        done = json.loads((step.folder / DONE).read_text())
        (step.folder / DONE).write_text(json.dumps({**done, "seconds": 2}))
    assert not step.is_done("labels")


def test_a_flipped_bit_that_kept_size_and_time_is_found_by_reading_all(tmp_path) -> None:
    step = finished(tmp_path / "run")
    assert step.damaged() == [] and step.size() == 10
    model, before = step.folder / "model.pt", (step.folder / "model.pt").stat()
    model.write_bytes(b"weighty")
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert step.is_done("labels") and step.damaged() == ["model.pt"]


def test_an_interrupted_run_goes_on_and_a_finished_or_changed_one_begins_afresh(tmp_path) -> None:
    step = Step("own fold 0 train", tmp_path / "run", [], "settings")
    resume = step.folder / "resume.pt"
    for key, inputs, ended, kept in (("settings", "labels", False, False), ("settings", "labels", False, True),
                                     ("settings", "corrected", False, False), ("other", "corrected", False, False),
                                     ("other", "corrected", True, False)):
        step.key = key
        if ended:
            step.finish(inputs, 1.0)
        step.start(inputs)
        assert resume.exists() == kept, (key, inputs)
        resume.touch()


def test_what_only_tells_of_a_run_is_no_result(tmp_path) -> None:
    step = finished(tmp_path / "run")
    before = step.result()
    (step.folder / "config.yaml").write_text("output_dir: elsewhere")
    (step.folder / "model.pt.receipt.json").write_text("{}")
    step.finish("labels", 2.0)
    assert step.result() == before
    (step.folder / "model.pt").write_bytes(b"others")
    step.finish("labels", 2.0)
    assert step.result() != before


def test_files_of_a_step_s_own_list_are_read_too(tmp_path) -> None:
    step = finished(tmp_path / "run")
    (step.folder / "E1_L.npy").write_bytes(b"voxels")
    known = {"E1_L.npy": digest(step.folder / "E1_L.npy")}
    step.listed = lambda: known
    assert step.damaged() == [] and step.size() == 16
    (step.folder / "E1_L.npy").write_bytes(b"voxelS")
    assert step.damaged() == ["E1_L.npy"]
    (step.folder / DONE).write_text("{}")
    assert step.damaged() == [DONE]
