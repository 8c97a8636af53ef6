"""The command that runs a study: what it prints, how it shares the work, and what it refuses."""

from __future__ import annotations

import shlex

import pytest

from pipeline.__main__ import main

BUNDLE = "bundles/breast_mri_curriculum"


def study(cohort, out, *more: str) -> int:
    return main(["study", BUNDLE, "--datalist", str(cohort.list), "--out", str(out), "--preset", "demo", *more])


def test_print_shows_every_command_and_runs_none(tiny_cohort, tmp_path, capsys) -> None:
    assert study(tiny_cohort, tmp_path / "run", "--folds", "2", "--print") == 0
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert all(line[0] == "python" for line in lines) and not (tmp_path / "run").exists()
    assert "prepare.yaml" in " ".join(lines[0])
    assert {line[line.index("--fold") + 1] for line in lines[1:]} == {"0", "1"}


def test_shards_are_all_the_work_and_none_of_it_twice(tiny_cohort, tmp_path, capsys) -> None:
    def commands(*more: str) -> list[str]:
        assert study(tiny_cohort, tmp_path / "run", "--print", *more) == 0
        return capsys.readouterr().out.splitlines()[1:]  # the first prepares

    whole = commands()
    parts = [line for i in range(3) for line in commands("--shard", f"{i}/3")]
    assert sorted(parts) == sorted(whole) and len(set(whole)) == len(whole)


def test_a_part_of_the_preparation_is_all_that_is_shown_of_it(tiny_cohort, tmp_path, capsys) -> None:
    assert study(tiny_cohort, tmp_path / "run", "--print", "--prepare-only", "--shard", "1/3") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "prepare.yaml" in line and line.endswith("--shard 1/3")


def test_status_takes_the_command_that_a_cluster_was_given(tiny_cohort, tmp_path, capsys) -> None:
    assert study(tiny_cohort, tmp_path / "run", "--status", "--prepare-tasks", "3", "--slurm", "--time=1") == 0
    assert "0 failed" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "named"), [
    (["--engine", "slurm", "--processes", "2", "--gpus", "1"], "--gpus 1: --processes 2 take a GPU each"),
    (["--shard", "3/3"], "--shard 3/3: give I/N"), (["--shard", "half"], "give I/N"),
    (["--engine", "dask"], "--engine dask: name the cluster with --scheduler"),
    (["--scheduler", "tcp://x:1"], "is for --engine dask"), (["--slurm", "--time=1"], "is for --engine slurm"),
    (["--engine", "slurm", "--shard", "0/2"], "shares the runs out itself"), (["--retry", "-1"], "give 0 or more"),
    (["--engine", "slurm", "--slurm", "'"], "quote the options"), (["--cores", "0"], "give 1 or more"),
    (["--prepare-tasks", "0"], "--prepare-tasks 0: give 1 or more"), (["--prepare-tasks", "2"], "for --engine slurm"),
    (["--processes", "3"], "curriculum fold 0 patches has batch_size 32, which 3 processes cannot share equally"),
    (["--variants", "no_such"], "no_such"), (["--folds", "7"], "fold"), (["--preset", "huge"], "huge")])
def test_what_it_refuses_is_one_line(tiny_cohort, tmp_path, capsys, words, named) -> None:
    assert study(tiny_cohort, tmp_path / "run", "--print", *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and named in line


def test_it_does_not_begin_on_exams_with_errors(tiny_cohort, tmp_path, capsys) -> None:
    tiny_cohort.path(3, "t2").write_bytes(b"")
    assert study(tiny_cohort, tmp_path / "run") == 2
    assert "list.json has errors" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["verify.json"]
