"""What a study's record says of variants that were not run."""

from __future__ import annotations

from small_study import study

from pipeline.study.record import left_out


def test_a_variant_that_was_not_run_is_a_row_of_the_paper(tmp_path) -> None:
    assert left_out(study(tmp_path, ["own"])) == [{"label": "Others'", "auroc": [0.8]}]
    assert left_out(study(tmp_path, ["own", "others"])) == []
