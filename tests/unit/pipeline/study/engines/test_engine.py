"""The study's own command, as an engine hands it to others."""

from __future__ import annotations

import argparse

from pipeline.study.command import add_arguments
from pipeline.study.engines.engine import command_of


def test_it_asks_for_the_same_study_whatever_was_given() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = ["bundles/x", "--datalist", "a list.json", "--out", "run", "--preset", "demo", "--folds", "0,3",
             "--variants", "a,b", "--set", "w=1", "--set", "v=2", "--overlay", "o.yaml", "--processes", "2",
             "--retry", "3", "--adopt"]
    given = parser.parse_args([*words, "--engine", "dask", "--scheduler", "tcp://head:1", "--slurm=-p x", "--print"])
    again = parser.parse_args(command_of(given, "--shard", "2/5")[4:])
    told = parser.parse_args(words)
    assert again.shard == "2/5" and {**vars(again), "shard": "0/1"} == vars(told)
