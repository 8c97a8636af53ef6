"""Preparation: what happens to a dataset that changes, is interrupted or is damaged."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import warm_start
from commands import ROOT

from pipeline.breast_mri.breasts import BREASTS
from pipeline.errors import InputError
from pipeline.prepare import cases as prepared
from pipeline.prepare import run as prepare
from pipeline.prepare.cases import inputs_digest
from transforms import LoadBreastsd

CHANNELS = ["pre", "post1", "t2"]


SMALL = {"channels": CHANNELS, "matrix": [64, 64, 8], "rows": 32, "field_of_view": "bilateral"}


@pytest.fixture
def cohort(phantom_cohort):
    datalist = phantom_cohort.load()
    datalist.exams = datalist.exams[:4]
    for i, exam in enumerate(datalist.exams):
        exam.fold, exam.validation_folds, exam.patient_id = i % 3, [(i + 1) % 3], f"P{i}"
    phantom_cohort.save(datalist)
    return phantom_cohort


def run(cohort, output: Path, **changed) -> dict:
    prepare.run(cohort.list, output, BREASTS, LoadBreastsd("image", **{**SMALL, **changed}), workers=1)
    return prepared.load(output)


def times(output: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted(output.glob("*.npy"))}


def test_what_is_written(cohort, tmp_path) -> None:
    content = run(cohort, tmp_path / "out")
    exams = {exam.exam_id: exam for exam in cohort.load().exams}
    assert [(b["exam_id"], b["side"]) for b in content["breasts"]] == [(e, s) for e in exams for s in "LR"]
    assert content["folds"] == {"count": 3, "seed": 0} and content["parameters"]["matrix"] == [64, 64, 8]
    for breast in content["breasts"]:
        array = np.load(tmp_path / "out" / breast["image"])
        assert array.dtype == np.float16 and array.shape == (3, 8, 32, 32)  # (C, Z, Y, X)
        exam = exams[breast["exam_id"]]
        assert breast["malignant"] == exam.breasts[breast["side"]]["malignant"]
        centers = [m.center_mm for m in exam.lesions if m.side == breast["side"]]
        assert len(breast["lesions"]) + breast["lesions_outside_crop"] == len(centers)
        affine = np.array(breast["affine"])
        for x, y, z, _ in breast["lesions"]:  # voxels of the breast, back in millimetres
            back = (affine @ [x, y, z, 1])[:3]
            assert min(np.abs(back - np.array(center)).max() for center in centers) < 1e-3
    assert not list((tmp_path / "out").glob(".*"))


def first_image(cohort) -> Path:
    return cohort.path(0, "post1")


def touch(cohort) -> dict:
    os.utime(first_image(cohort))
    return {}


def brighten(cohort) -> dict:
    cohort.rewrite(0, "post1", lambda array, affine: array + 1)
    return {}


def lose_an_array(cohort) -> dict:
    (cohort.folder.parent / "out" / f"{cohort.load().exams[0].exam_id}_L.npy").unlink()
    return {}


def one_breast_only(cohort) -> dict:
    datalist = cohort.load()
    datalist.exams[0].breasts.pop("L")
    datalist.exams[0].lesions = [m for m in datalist.exams[0].lesions if m.side == "R"]
    cohort.save(datalist)
    return {}


@pytest.mark.parametrize(("change", "redone"), [
    (lambda cohort: {}, 0), (touch, 0), (brighten, 1), (lose_an_array, 1), (one_breast_only, 1),
    (lambda cohort: {"rows": 28}, 4), (lambda cohort: {"channels": CHANNELS[:2]}, 4),
], ids=["nothing", "touched", "another image", "array lost", "a breast less", "another parameter",
        "other channels"])
def test_only_what_changed_is_prepared_again(cohort, tmp_path, change, redone, capsys) -> None:
    run(cohort, tmp_path / "out")
    before = times(tmp_path / "out")
    capsys.readouterr()
    changed = change(cohort)
    run(cohort, tmp_path / "out", **changed)
    after = times(tmp_path / "out")
    again = {name[:5] for name in after if after[name] != before.get(name)}
    assert len(again) == redone
    assert f"4 exams, {4 - redone} ready, {redone} to do" in capsys.readouterr().out


def test_a_corrected_label_prepares_nothing_again_and_counts(cohort, tmp_path) -> None:
    label = run(cohort, tmp_path / "out")["breasts"][0]["malignant"]
    before = times(tmp_path / "out")
    datalist = cohort.load()
    exam = datalist.exams[0]
    exam.breasts["L"]["malignant"] = 1 - label
    exam.lesions = [m for m in exam.lesions if m.side == "R"]
    exam.groups["density"] = "x"
    cohort.save(datalist)
    first = run(cohort, tmp_path / "out")["breasts"][0]
    assert (first["malignant"], first["lesions"], first["groups"]) == (1 - label, [], {"density": "x"})
    assert times(tmp_path / "out") == before


def test_parts_and_then_the_whole_are_byte_for_byte_what_the_whole_is_at_once(cohort, tmp_path, capsys) -> None:
    run(cohort, tmp_path / "once")

    def part(shard: str) -> None:
        prepare.run(cohort.list, tmp_path / "parts", BREASTS, LoadBreastsd("image", **SMALL), 1, shard=shard)

    for shard in ("2/3", "0/3", "1/3", "1/3", "5/6"):  # in any order, one twice, one without an exam
        part(shard)
        assert not (tmp_path / "parts" / "prepared.json").exists()
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("prepare: ")]
    assert [line.partition(";")[0] for line in said[1:]] == [
        f"prepare: {count} exams, {ready} ready, {count - ready} to do"
        for count, ready in ((1, 0), (2, 0), (1, 0), (1, 1), (0, 0))]
    run(cohort, tmp_path / "parts")
    assert "prepare: 4 exams, 4 ready, 0 to do" in capsys.readouterr().out
    files = [{str(path.relative_to(tmp_path / name)): re.sub(rb'"modified": \d+', b"", path.read_bytes())  # of arrays
              for path in (tmp_path / name).rglob("*.*")} for name in ("once", "parts")]
    assert files[0] == files[1] and len(files[0]) == 1 + 4 + 16
    for shard in ("3/3", "first"):
        with pytest.raises(InputError, match=f"--shard {shard}: give I/N with I from 0 to N-1"):
            part(shard)


# Dies like a machine that loses power: in the first array of the second exam, with half of it written.
_KILLED = """
import os, signal, sys
import numpy as np
from pipeline.breast_mri.breasts import BREASTS
from pipeline.prepare import run as prepare
from transforms import LoadBreastsd
save, calls = np.save, []
def half(file, array):
    calls.append(1)
    if len(calls) == 5:  # an exam has two breasts and their masks
        file.write(array.tobytes()[: array.nbytes // 2]); file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(file, array)
np.save = half
prepare.run(sys.argv[1], sys.argv[2], BREASTS, LoadBreastsd("image", **{parameters}), workers=1)
"""


@pytest.mark.timeout(60)
def test_a_killed_run_leaves_nothing_half_written_and_goes_on(cohort, tmp_path, capsys) -> None:
    output = tmp_path / "out"
    script = _KILLED.replace("{parameters}", repr(SMALL))
    killed = warm_start.run(["tests.helpers.script", script, str(cohort.list), str(output)], ROOT, dict(os.environ))
    assert killed.returncode == -9, killed.stderr[-500:]
    left = times(output)
    assert len(left) == 4 and list(output.glob(".*.part")) and not (output / "prepared.json").exists()
    for name in left:
        assert np.load(output / name).shape == (1 if "mask" in name else 3, 8, 32, 32)
    run(cohort, output)
    assert "4 exams, 1 ready, 3 to do" in capsys.readouterr().out
    after = times(output)
    assert len(after) == 16 and {name: after[name] for name in left} == left
    assert not list(output.glob(".*.part"))


def test_one_damaged_exam_is_named_and_left_out(cohort, tmp_path) -> None:
    path = cohort.path(2, "post1")
    path.write_bytes(path.read_bytes()[:-2000])
    exam = cohort.load().exams[2].exam_id
    with pytest.raises(InputError, match=f"1 of 4 exams.*exam {exam}: post1.nii.gz: truncated.*copy it again") as error:
        run(cohort, tmp_path / "out")
    assert len(str(error.value).splitlines()) == 1
    listed = {breast["exam_id"] for breast in prepared.load(tmp_path / "out")["breasts"]}
    assert listed == {e.exam_id for e in cohort.load().exams} - {exam}
    assert len(times(tmp_path / "out")) == 12


def test_a_list_with_errors_prepares_nothing(cohort, tmp_path) -> None:
    cohort.path(1, "t2").unlink()
    with pytest.raises(InputError, match=r"list\.json has 1 errors, the first: missing_file in exam.*pipeline verify"):
        run(cohort, tmp_path / "out")
    assert not (tmp_path / "out" / "prepared.json").exists()


def test_prepared_list_is_json_that_others_can_read(cohort, tmp_path) -> None:
    run(cohort, tmp_path / "out")
    text = (tmp_path / "out" / "prepared.json").read_text()
    assert "NaN" not in text and json.loads(text)["schema"] == prepared.SCHEMA
    assert str(tmp_path) not in text  # the folder can move


def test_masks_are_prepared_with_the_breasts_and_only_where_there_are_any(cohort, tmp_path) -> None:
    content = run(cohort, tmp_path / "out")
    exams = {exam.exam_id: exam for exam in cohort.load().exams}
    for breast in content["breasts"]:
        known = breast["outlines"]
        mask = np.load(tmp_path / "out" / known["mask"])
        assert mask.dtype == np.uint8 and mask.shape == (1, 8, 32, 32)  # (1, Z, Y, X)
        assert known["mask"] == f"{breast['exam_id']}_{breast['side']}_mask.npy" and known["unlabelled"] == []
        own = {int(m.lesion_id): m for m in exams[breast["exam_id"]].lesions if m.side == breast["side"]}
        assert len(known["marks"]) + known["outside_crop"] == len(own)
        for number, malignant in known["marks"]:
            assert malignant == own[number].malignant and (mask == number).any()
            x, y, z = np.linalg.solve(breast["affine"], [*own[number].center_mm, 1])[:3]  # the marked centre, in voxels
            places = np.argwhere(mask[0] == number)[:, ::-1]
            assert np.abs(places.mean(axis=0) - [x, y, z]).max() < 1.5
            assert known["extents"] and min(np.abs(np.array(e[:3]) - [x, y, z]).max() for e in known["extents"]) < 1e-3
    before = times(tmp_path / "out")
    assert run(cohort, tmp_path / "out")["breasts"] == content["breasts"] and times(tmp_path / "out") == before


def test_exams_without_masks_are_what_they_were_and_not_prepared_again(cohort, tmp_path) -> None:
    datalist = cohort.load()
    for exam in datalist.exams[1:]:
        del exam.images["lesions_mask"]
    for exam in datalist.exams:
        for lesion in exam.lesions:
            lesion.size_mm = None
    cohort.save(datalist)
    content = run(cohort, tmp_path / "out")
    assert [("outlines" in breast) for breast in content["breasts"]] == [True] * 2 + [False] * 6
    records = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out" / "records").iterdir()}
    assert [records[exam.exam_id]["inputs"] for exam in datalist.exams[1:]] == [["L", "R"]] * 3  # as ever
    before, bare = times(tmp_path / "out"), inputs_digest(tmp_path / "out")
    added = cohort.load()
    added.exams[1].images["lesions_mask"] = f"exams/{added.exams[1].exam_id}/lesions_mask.nii.gz"
    cohort.save(added)
    again = run(cohort, tmp_path / "out")
    changed = {name for name, when in times(tmp_path / "out").items() if before.get(name) != when}
    name = added.exams[1].exam_id
    assert changed == {f"{name}_{side}{end}.npy" for side in "LR" for end in ("", "_mask")}
    assert sum("outlines" in breast for breast in again["breasts"]) == 4
    # Who takes no mask rests on the same as before; what the masks themselves hold counts for who does.
    assert again["sources"] == content["sources"] and again["digest"] != content["digest"]
    assert inputs_digest(tmp_path / "out") == bare and inputs_digest(tmp_path / "out", outlines=True) == again["digest"]


def test_a_mask_on_another_grid_is_named(cohort, tmp_path) -> None:
    cohort.rewrite(0, "lesions_mask", lambda array, affine: array[:, :, :-1])
    with pytest.raises(InputError, match=r"lesions_mask|shape_mismatch"):
        run(cohort, tmp_path / "out")
