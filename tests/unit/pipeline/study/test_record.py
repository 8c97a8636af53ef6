"""What a study's record says of variants that were not run, and of the size of those that were."""

from __future__ import annotations

from small_study import study
from torch import nn

from pipeline.study.record import as_large_as, dataset, left_out, parameters


def test_a_variant_that_was_not_run_is_a_row_of_the_paper(tmp_path) -> None:
    assert left_out(study(tmp_path, ["own"])) == [{"label": "Others'", "auroc": [0.8]}]
    assert left_out(study(tmp_path, ["own", "others"])) == []


def test_parameters_are_of_the_network_that_was_trained() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(4, 5))
    assert parameters(network.state_dict()) == sum(p.numel() for p in network.parameters()) == 2 * 3 * 9 + 3 + 6 + 25
    planned = {"label": "A", "parameters": 1000, "rows": {"two of them": {"parameters": 2000}, "one": {"label": "B"}}}
    assert as_large_as(planned, 80) == {"label": "A", "parameters": 80,
                                        "rows": {"two of them": {"parameters": 160}, "one": {"label": "B"}}}
    assert as_large_as(planned, None) == planned and as_large_as({"label": "A"}, 80)["parameters"] == 80


def test_a_synthetic_cohort_is_named_by_what_drew_it(tiny_cohort) -> None:
    source = tiny_cohort.load()
    assert not dataset(source)["synthetic"] and "drawn_by" not in dataset(source)
    (source.root / "phantom.json").write_text('{"generator": "breast_mri/2", "seed": 0}')
    assert dataset(source)["synthetic"] and dataset(source)["drawn_by"] == "breast_mri/2"
