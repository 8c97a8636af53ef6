"""The listing: what the labels of each dataset mean, which bundle it serves, its terms, how it was verified."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from data_lists.__main__ import main
from data_lists.datasets import DATASETS, table
from pipeline.datalist import MODALITIES, TRUTHS

ROOT = Path(__file__).parents[3]


def test_the_command_alone_lists_every_converter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert len(DATASETS) == 14 and all(f"\n{name} " in f"\n{said}" for name in DATASETS)
    assert said.count("verified on real data: no\n") == len([d for d in DATASETS.values() if d.verified == "no"])
    assert "no T2" in said and "labels by BI-RADS of readers" in said and table() in said


@pytest.mark.parametrize("name", DATASETS)
def test_every_converter_is_whole(name: str) -> None:
    dataset = DATASETS[name]
    module = importlib.import_module(f"data_lists.{dataset.module}")
    assert callable(module.add_arguments) and callable(module.convert)
    assert dataset.modality in (*MODALITIES, "") and dataset.truth in TRUTHS and dataset.rule and dataset.licence
    assert len(module.__doc__.splitlines()) > 8, "layout, label rule, exclusions and traps"
    for line in dataset.serves:
        bundle = line.split(":")[0]
        assert bundle == "all bundles" or (ROOT / "bundles" / bundle).is_dir()


def test_marks_tell_datasets_apart() -> None:
    marks = [mark for dataset in DATASETS.values() for mark in dataset.marks]
    assert len(marks) == len(set(marks))
