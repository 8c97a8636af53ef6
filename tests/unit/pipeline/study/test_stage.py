"""The command of a stage, in one process or in several, and what several cannot share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from commands import ROOT

from pipeline.errors import InputError
from pipeline.study.plan import read_config
from pipeline.study.stage import command, part_of, parts_begun, processes_of, trains
from pipeline.study.step import Step

BUNDLES = ROOT / "bundles"


def contents(bundle: str, *names: str) -> list[dict]:
    return [read_config(BUNDLES / bundle / "configs" / f"{name}.yaml") for name in names]


@pytest.mark.parametrize(("bundle", "names", "wanted"), [
    ("breast_mri_curriculum", ["train", "naive"], True), ("breast_mri_curriculum", ["train", "evaluate"], False),
    ("breast_mri_curriculum", ["prepare"], False), ("mammography_attention", ["train", "regions"], False),
    ("mammography_attention", ["train", "adapted"], True), ("breast_mri_doubly_deep", ["train"], True)])
def test_what_trains_is_told_by_what_it_runs(bundle, names, wanted) -> None:
    assert trains(*contents(bundle, *names)) is wanted
    assert trains({"run": "$@train#trainer.run()"}) and not trains({})


def test_several_processes_take_an_overlay_more_and_it_is_the_last() -> None:
    files = [Path("bundles/x/configs/train.yaml"), Path("own.yaml")]
    one = command(Path("bundles/x"), files, {"fold": 0})
    two = command(Path("bundles/x"), files, {"fold": 0}, 2)
    assert one == [sys.executable, "-m", "monai.bundle", "run", "--bundle_root", "bundles/x", "--config_file",
                   "['bundles/x/configs/train.yaml', 'own.yaml']", "--fold", "0"]
    assert two == [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
                   "monai.bundle", "run", "--bundle_root", "bundles/x", "--config_file",
                   "['bundles/x/configs/train.yaml', 'own.yaml', 'bundles/common/multi_gpu.yaml']", "--fold", "0"]
    assert command(Path("b"), files[:1], {})[-1] == "bundles/x/configs/train.yaml"


def test_a_step_that_cannot_be_shared_is_refused_before_anything_runs() -> None:
    curriculum = BUNDLES / "breast_mri_curriculum"
    of = contents("breast_mri_curriculum", "train")
    assert [processes_of("s", curriculum, of, wanted) for wanted in (1, 2, 4)] == [1, 2, 4]
    with pytest.raises(InputError, match=r"s has batch_size 4, which 3 processes cannot share equally; give .* 2"):
        processes_of("s", curriculum, of, 3)
    with pytest.raises(InputError, match="cannot share equally; give --processes 4, or"):
        processes_of("s", curriculum, of, 8)
    assert processes_of("s", curriculum, [*of, {"batch_size": 6}], 3) == 3
    assert processes_of("s", curriculum, contents("breast_mri_curriculum", "train", "evaluate"), 3) == 1


def test_a_whole_exam_is_not_divided_but_two_are() -> None:
    bundle, of = BUNDLES / "breast_mri_doubly_deep", contents("breast_mri_doubly_deep", "train")
    with pytest.raises(InputError, match="has batch_size 1, which 2 processes cannot share equally; give --pro"):
        processes_of("own fold 0 train", bundle, of, 2)
    assert processes_of("own fold 0 train", bundle, [*of, {"batch_size": 2}], 2) == 2


def test_a_bundle_without_the_overlay_beside_it(tmp_path) -> None:
    with pytest.raises(InputError, match=r"no common/multi_gpu\.yaml beside own"):
        processes_of("s", tmp_path / "own", contents("breast_mri_curriculum", "train"), 2)


def test_a_part_of_the_preparation_is_a_step_of_its_own(tmp_path) -> None:
    """Of the whole, whose folder it writes to and leaves no receipt in."""
    whole = Step("prepare", tmp_path / "prepared", ["python", "-m", "monai.bundle"], "key")
    parts = [part_of(whole, i, 3) for i in range(3)]
    assert [part.command[-2:] for part in parts] == [["--shard", f"{i}/3"] for i in range(3)]
    assert len({part.key for part in parts} | {whole.key}) == len({part.folder for part in parts} | {whole.folder}) == 4
    assert part_of(whole, 1, 4).key != parts[1].key and all(not p.folder.is_relative_to(whole.folder) for p in parts)
    assert parts_begun(whole) == []
    for part in parts[1:]:
        part.start("labels")
    for foreign in ("copyofx", "1of2of3"):
        (parts[1].folder.parent / foreign).mkdir()
    assert [part.name for part in parts_begun(whole)] == ["part 2 of 3 prepare", "part 3 of 3 prepare"]
