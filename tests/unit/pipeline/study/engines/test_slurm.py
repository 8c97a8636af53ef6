"""What is submitted to SLURM, held against what a stand-in for its commands was called with."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import ROOT

from pipeline.__main__ import main
from pipeline.errors import InputError
from pipeline.study.engines.slurm import _numbers, requeue

BUNDLE = "bundles/breast_mri_curriculum"
# Notes how it was called and answers as SLURM does: with a number, or with its words and a status.
STAND_IN = """#!{python}
import json, sys
from pathlib import Path
calls = Path({folder!r}) / "calls.json"
known = json.loads(calls.read_text()) if calls.exists() else []
calls.write_text(json.dumps([*known, [Path(sys.argv[0]).name, *sys.argv[1:]]]))
fails = Path({folder!r}) / "fails"
if fails.exists() and any(fails.read_text().strip() in word for word in sys.argv):
    sys.exit("sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified")
print(100 + len(known))
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch) -> Callable[[], list[list[str]]]:
    """SLURM's commands as stand-ins on the path; gives what they were called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "scontrol", "scancel"):
        (folder / name).write_text(STAND_IN.format(python=sys.executable, folder=str(folder)))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def read() -> list[list[str]]:
        return json.loads((folder / "calls.json").read_text()) if (folder / "calls.json").exists() else []
    return read


def study(cohort, out: Path, *more: str) -> int:
    return main(["study", BUNDLE, "--datalist", str(cohort.list), "--out", str(out), "--preset", "demo", "--engine",
                 "slurm", *more])


def option(call: list[str], name: str) -> str:
    return [word.partition("=")[2] for word in call if word.startswith(f"--{name}=")][-1]


def test_an_array_as_long_as_there_are_runs_waits_for_the_preparation(tiny_cohort, tmp_path, calls) -> None:
    assert study(tiny_cohort, tmp_path / "run", "--slurm", "--partition=gpu --time=12:00:00", "--retry", "2") == 0
    prepare, chains, combine = calls()
    assert all(call[0] == "sbatch" and option(call, "partition") == "gpu" for call in (prepare, chains, combine))
    assert "--prepare-only" in prepare[-1] and not any(word.startswith(("--gres", "--array")) for word in prepare)
    assert option(chains, "array") == "0-5"  # two variants of the demo in three folds
    assert option(chains, "dependency") == "afterok:100" and option(chains, "gres") == "gpu:1"
    assert "--requeue" in chains and option(chains, "signal") == "B:USR1@120"
    assert option(combine, "dependency") == "afterany:101" and "pipeline report" in combine[-1]
    words = shlex.split(chains[-1].removeprefix("--wrap=").replace("$SLURM_ARRAY_TASK_ID", "4"))
    assert words[:2] == ["exec", sys.executable] and words[words.index("--shard") + 1] == "4/6"
    assert words[words.index("--retry") + 1] == "2"
    assert Path(option(chains, "output")).parent.is_dir()  # sbatch makes no folders


@pytest.mark.parametrize("more, gpus", [
    ((), ["--gres=gpu:2"]), (("--gpus", "4"), ["--gres=gpu:4"]), (("--gpus", "0"), [])])
def test_a_task_gets_a_gpu_for_each_process_that_trains(tiny_cohort, tmp_path, calls, more, gpus) -> None:
    study(tiny_cohort, tmp_path / "run", "--processes", "2", *more)
    prepare, chains, combine = calls()
    assert [word for word in chains if word.startswith("--gres")] == gpus and "--processes 2" in chains[-1]
    assert not any(word.startswith("--gres") for word in [*prepare, *combine])


def test_an_array_in_front_prepares_the_exams_and_one_job_behind_it_the_rest_and_the_list(
        tiny_cohort, tmp_path, calls, capsys) -> None:
    assert study(tiny_cohort, tmp_path / "run", "--prepare-tasks", "3") == 0
    exams, prepare, chains, combine = calls()
    assert option(exams, "array") == "0-2" and not any(word.startswith(("--gres", "--dependency")) for word in exams)
    words = shlex.split(exams[-1].removeprefix("--wrap=").replace("$SLURM_ARRAY_TASK_ID", "2"))
    assert words[0] == "exec" and words[-3:] == ["--prepare-only", "--shard", "2/3"]
    assert option(prepare, "dependency") == "afterany:100"  # what a task left undone is done there, or named
    assert "--prepare-only" in prepare[-1] and "--shard" not in prepare[-1]
    assert option(chains, "dependency") == "afterok:101" and option(combine, "dependency") == "afterany:102"
    assert "exams: job 100, 3 tasks\nprepare: job 101\n" in capsys.readouterr().out
    assert study(tiny_cohort, tmp_path / "run", "--prepare-tasks", "99", "--print") == 0
    assert f"--array=0-{len(tiny_cohort.load().exams) - 1} " in capsys.readouterr().out.splitlines()[0]


def test_the_shell_of_a_job_fills_in_its_number(tiny_cohort, tmp_path, calls) -> None:
    study(tiny_cohort, tmp_path / "a run's", "--print", "--gpus", "0", "--cores", "2", "--memory", "4")
    assert calls() == []
    study(tiny_cohort, tmp_path / "a run's")
    words = calls()[1][-1].removeprefix("--wrap=exec ")
    said = subprocess.run(["sh", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True,
                          env={"SLURM_ARRAY_TASK_ID": "3"}).stdout.splitlines()
    assert said[said.index("--shard") + 1] == "3/6" and said[said.index("--out") + 1] == str(tmp_path / "a run's")


def test_what_is_printed_is_a_script_that_submits_the_same(tiny_cohort, tmp_path, calls, capsys) -> None:
    words = ("--cores", "2", "--memory", "4", "--gpus", "0")
    assert study(tiny_cohort, tmp_path / "run", "--print", *words) == 0
    script = capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    subprocess.run(["sh", "-c", script], check=True)
    printed = calls()
    study(tiny_cohort, tmp_path / "run", *words)
    # The numbers differ: three jobs were there before.
    submitted = [[word.replace("103", "100").replace("104", "101") for word in call] for call in calls()[3:]]
    assert submitted == printed and option(printed[1], "cpus-per-task") == "2" and option(printed[1], "mem") == "4G"


def test_where_one_is_refused_the_others_are_taken_back_and_slurm_s_words_are_one_line(
        tiny_cohort, tmp_path, calls, capsys) -> None:
    (tmp_path / "bin" / "fails").write_text("--array")
    assert study(tiny_cohort, tmp_path / "run", "--slurm", "--account=none") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == ("error: sbatch: Batch job submission failed: Invalid account or account/partition combination "
                    "specified; correct --slurm (partition, account, time), --cores, --memory or --gpus")
    assert calls()[-1] == ["scancel", "100"]


def test_without_slurm_s_commands(tiny_cohort, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert study(tiny_cohort, tmp_path / "run") == 2
    assert "error: sbatch: not found; run this where SLURM's commands are" in capsys.readouterr().err


def test_a_job_whose_time_is_nearly_over_goes_back_but_not_for_ever(calls, monkeypatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    requeue()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "77")  # of the last task, whose number alone would mean them all
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    requeue()
    assert calls() == [["scontrol", "requeue", "77"], ["scontrol", "requeue", "77_4"]]
    monkeypatch.setenv("SLURM_RESTART_COUNT", "50")
    with pytest.raises(InputError, match="begun 50 times"):
        requeue()


@pytest.mark.parametrize("which, said", [([0], "0"), ([0, 1], "0-1"), ([0, 1, 2, 5, 7, 8], "0-2,5,7-8")])
def test_numbers_of_an_array(which, said) -> None:
    assert _numbers(which) == said


def test_the_commands_of_the_how_to_run_as_they_stand(tiny_cohort, calls, monkeypatch) -> None:
    """Beside SLURM's stand-in; what prepares on this machine is printed, and the report has tests of its own."""
    page = (ROOT / "docs" / "how_to" / "run_on_a_cluster.md").read_text().replace("\\\n", " ")
    blocks = [block for _, block in re.findall(r"^( *)```sh\n(.*?)^\1```", page, re.MULTILINE | re.DOTALL)]
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    monkeypatch.chdir(tiny_cohort.folder)
    for name in ("bundles", "docker"):
        Path(name).symlink_to(ROOT / name)
    for words in commands:
        if words[0] == "sbatch":
            assert words[1] == "--array=0-14" and Path(words[2]).is_file()  # three variants in five folds
        elif words[3] != "report":
            assert words[:4] == ["python", "-m", "pipeline", "study"]
            assert main([*words[3:], *(["--print"] if "--prepare-only" in words else [])]) == 0
    assert [words[3] for words in commands if words[0] == "python"] == ["study"] * 6 + ["report"]
    assert [option(call, "job-name").rpartition("-")[2] for call in calls()] == [
        "exams", *["prepare", "chains", "combine"] * 4]
    assert option(calls()[0], "array") == "0-9" and option(calls()[2], "array") == "0-8"  # here three folds
