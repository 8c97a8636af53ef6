"""What a study's record says of variants that were not run."""

from __future__ import annotations

from pathlib import Path

from pipeline.study.plan import Study
from pipeline.study.record import left_out

EVALUATE = {"configs": ["a.yaml"], "settings": {"cache": "{study}/cache"}}


VARIANTS = {"own": {"label": "Own", "stages": [], "evaluate": EVALUATE},
            "others": {"label": "Others'", "paper": {"auroc": [0.8]}, "needs": ["weights"], "takes": ["augment"],
                       "stages": [], "evaluate": EVALUATE}}


def study(folder: Path, variants: list[str], **given: str) -> Study:
    (folder / "configs").mkdir(exist_ok=True)
    (folder / "configs" / "a.yaml").write_text("lr: 0.1  # a rate")
    return Study(folder, {"variants": VARIANTS, "prepare": {}}, Path("out"), "paper", [0], variants, given=given)


def test_a_variant_that_was_not_run_is_a_row_of_the_paper(tmp_path) -> None:
    assert left_out(study(tmp_path, ["own"])) == [{"label": "Others'", "auroc": [0.8]}]
    assert left_out(study(tmp_path, ["own", "others"])) == []
