"""Settings of a study for the variants that need them, and what a report does with exams that one variant lacks."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import InputError
from pipeline.report.predictions import _keep_common
from pipeline.study.engines.local import Runner, Step
from pipeline.study.plan import Study, given_settings
from pipeline.study.record import left_out

EVALUATE = {"configs": ["a.yaml"], "settings": {"cache": "{study}/cache"}}
VARIANTS = {"own": {"label": "Own", "stages": [], "evaluate": EVALUATE},
            "others": {"label": "Others'", "paper": {"auroc": [0.8]}, "needs": ["weights"], "takes": ["augment"],
                       "stages": [], "evaluate": EVALUATE}}


def study(variants: list[str], **given: str) -> Study:
    return Study(Path("b"), {"variants": VARIANTS, "prepare": {}}, Path("out"), "paper", [0], variants, given=given)


def test_settings_reach_the_variants_that_name_them() -> None:
    made = study(["own", "others"], **given_settings(["weights=w.p"], VARIANTS))
    (own,), (others,) = made.chain("own", 0), made.chain("others", 0)
    assert "--weights" not in own.command and others.command[-6:] == [
        "--weights", "w.p", "--output_dir", "out/others/fold0", "--cache", "out/cache"]


def test_a_variant_that_was_not_run_is_a_row_of_the_paper() -> None:
    assert left_out(study(["own"])) == [{"label": "Others'", "auroc": [0.8]}]
    assert left_out(study(["own", "others"])) == []


@pytest.mark.parametrize("word, message", [("weights", "give NAME=VALUE"), ("weights=", "give NAME=VALUE"),
                                           ("weihgts=w.p", "it has augment, weights")])
def test_settings_that_no_variant_knows(word, message) -> None:
    with pytest.raises(InputError, match=message):
        given_settings([word], VARIANTS)


def test_variants_are_compared_on_the_exams_of_all(capsys) -> None:
    tables = {name: {0: pd.DataFrame({"exam_id": exams, "score": 0.5})}
              for name, exams in {"own": ["A", "B", "C"], "others": ["A", "C"]}.items()}
    _keep_common(tables)
    assert [list(folds[0]["exam_id"]) for folds in tables.values()] == [["A", "C"]] * 2
    assert capsys.readouterr().out == "left out: 1 exams that not all variants score\n"


def command(folder: Path, word: str) -> Step:
    """A step that adds a word to a file, and counts what an earlier run left to go on from."""
    script = (f"from pathlib import Path; p = Path({str(folder)!r}); r = p / 'resume.pt'; "
              f"(p / 'said').open('a').write('{word}' + ('+' if r.exists() else '') + ' '); r.touch()")
    return Step(f"{word} fold 0 train", folder, [sys.executable, "-c", script])


def test_what_is_done_is_done_again_where_its_inputs_changed(tmp_path) -> None:
    first, second = command(tmp_path / "1", "one"), command(tmp_path / "2", "two")

    def run(inputs: str) -> list[str]:
        runner = Runner(1)
        runner.run_chain([first, second], 1, inputs)
        return [(tmp_path / name / "said").read_text() for name in "12"]

    assert run("labels") == ["one ", "two "]
    assert run("labels") == ["one ", "two "]  # done before
    assert run("corrected") == ["one one ", "two two "]  # afresh: nothing to go on from is left
    (tmp_path / "2" / "done.json").unlink()  # killed in the second step: it goes on
    assert run("corrected") == ["one one ", "two two two+ "]
    (tmp_path / "1" / "done.json").unlink()  # the second rests on what the first makes anew
    assert run("corrected") == ["one one one+ ", "two two two+ two "]
