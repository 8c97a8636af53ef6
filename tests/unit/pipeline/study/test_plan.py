"""Settings of a study for the variants that need them, and what a step is known by."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from commands import ROOT
from small_study import VARIANTS, study

from pipeline.errors import InputError
from pipeline.study.command import add_arguments
from pipeline.study.plan import Study, given_settings, read_study

BUNDLE = ROOT / "bundles" / "breast_mri_curriculum"


def test_settings_reach_the_variants_that_name_them(tmp_path) -> None:
    made = study(tmp_path, ["own", "others"], **given_settings(["weights=w.p"], VARIANTS))
    (own,), (others,) = made.chain("own", 0), made.chain("others", 0)
    assert "--weights" not in own.command and others.command[-6:] == [
        "--weights", "w.p", "--output_dir", "out/others/fold0", "--cache", "out/cache"]


def test_a_step_is_known_by_its_settings_not_by_where_it_runs(tmp_path) -> None:
    def key(name: str, text: str, out: str, weights: str) -> str:
        folder = tmp_path / name
        (folder / "configs").mkdir(parents=True, exist_ok=True)
        (folder / "configs" / "a.yaml").write_text(text)
        (folder / "w.pt").write_text(weights)
        given = {"weights": str(folder / "w.pt")}
        made = Study(folder, {"variants": VARIANTS, "prepare": {}}, Path(out), "paper", [0], ["others"], given=given)
        return made.chain("others", 0)[0].key

    first = key("here", "lr: 0.1", "/data/run", "w")
    assert key("there", "# said\nlr: 0.1", "runs/5", "w") == first
    assert key("there", "lr: 0.2", "runs/5", "w") != first
    assert key("there", "lr: 0.1", "runs/5", "v") != first


@pytest.mark.parametrize("preset, chosen, wanted", [
    ("paper", "all", ["curriculum", "naive_1e-5", "naive_1e-4"]), ("demo", "all", ["curriculum", "naive_1e-4"]),
    ("demo", "naive_1e-5", ["naive_1e-5"])])
def test_a_preset_runs_its_own_variants_and_others_by_name(tiny_cohort, preset, chosen, wanted) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args([str(BUNDLE), "--datalist", str(tiny_cohort.list), "--out", "out", "--preset", preset,
                              "--variants", chosen])
    assert read_study(args)[0].variants == wanted


def test_masks_are_an_input_of_the_variants_that_need_them_and_of_no_other(tiny_cohort, tmp_path) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    listed = tiny_cohort.load()
    for exam in listed.exams:
        exam.images["lesions_mask"] = exam.images["pre"]
    tiny_cohort.save(listed)
    (tmp_path / "out" / "prepared").mkdir(parents=True)
    (tmp_path / "out" / "prepared" / "prepared.json").write_text('{"digest": "with masks"}')
    made = read_study(parser.parse_args([str(BUNDLE), "--datalist", str(tiny_cohort.list), "--out",
                                         str(tmp_path / "out")]))[0]
    besides = {name: {step.besides() for step in made.chain(name, 0)} for name in made.variants}
    assert besides == {"curriculum": {""}, "naive_1e-5": {""}, "naive_1e-4": {""}, "retina_unet": {"with masks"},
                       "mask_rcnn": {"with masks"}}


def mammography(cohort: Path, *words: str) -> Study:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_study(parser.parse_args([str(ROOT / "bundles/mammography_attention"), "--datalist", str(cohort),
                                         "--out", "run", *words]))[0]


def test_the_papers_preset_asks_for_the_weights_it_starts_from(mammography_cohort) -> None:
    """Only the holistic stage takes them: the attention model starts from the holistic one (§4.2)."""
    with pytest.raises(InputError, match="image_labels asks for --set weights=VALUE: torchvision") as e:
        mammography(mammography_cohort.list)
    assert "\n" not in str(e.value)
    chain = mammography(mammography_cohort.list, "--set", "weights=w.pth").chain("image_labels", 0)
    assert [step.name.split()[-1] for step in chain if "--weights" in step.command] == ["holistic"]
    assert chain[0].command[chain[0].command.index("--weights") + 1] == "w.pth"
    for words in (["--set", "weights=null"], ["--preset", "demo"]):  # at random, said so; or the demo
        assert not any("--weights" in step.command
                       for step in mammography(mammography_cohort.list, *words).chain("image_labels", 0))


@pytest.mark.parametrize("word, message", [("weights", "give NAME=VALUE"), ("weights=", "give NAME=VALUE"),
                                           ("weihgts=w.p", "it has augment, weights")])
def test_settings_that_no_variant_knows(word, message) -> None:
    with pytest.raises(InputError, match=message):
        given_settings([word], VARIANTS)


def test_how_many_processes_train_is_no_part_of_a_step(mammography_cohort) -> None:
    """Only the two stages that train are shared: centres of attention are found, and scores made, by one."""
    words = ("--set", "weights=null", "--variants", "image_labels")
    alone, shared = (mammography(mammography_cohort.list, *words, *more).chain("image_labels", 0)
                     for more in ((), ("--processes", "2")))
    assert [step.processes for step in shared] == [2, 1, 2, 1] and {step.processes for step in alone} == {1}
    assert ["torch.distributed.run" in step.command for step in shared] == [True, False, True, False]
    assert [step.key for step in shared] == [step.key for step in alone]


def test_an_overlay_says_how_a_study_prepares_but_not_how_it_is_run(tmp_path) -> None:
    overlay = tmp_path / "no_t2.yaml"
    overlay.write_text("channels: [pre, post1]\nworkers: 0\nlr: 0.1\ntrain#trainer#max_epochs: 1\n")
    plan = {"variants": {}, "prepare": {"configs": ["prepare.yaml"]}}
    command = Study(BUNDLE, plan, tmp_path, "paper", [0], [], [overlay]).prepare_step(tmp_path / "list.json").command
    assert command[command.index("--channels") + 1] == "['pre', 'post1']"
    assert not {"--workers", "--lr", "--train#trainer#max_epochs"} & set(command) and str(overlay) not in command


def test_where_exams_are_prepared_is_a_setting_of_prepare_yaml_and_no_part_of_the_step(tmp_path) -> None:
    plan = {"variants": {}, "prepare": {"configs": ["prepare.yaml"]}}
    made = Study(BUNDLE, plan, tmp_path, "paper", [0], [])
    here, there = (made.prepare_step(tmp_path / "list.json", where) for where in (None, "tcp://head:8786"))
    assert there.command == [*here.command, "--scheduler", "tcp://head:8786"] and there.key == here.key
