"""Writing: a reader sees the old file or the new one, never half of it."""

from __future__ import annotations

import cProfile
import json
import math
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.files.atomic import _host, leftovers, replacing, write_array, write_json, write_table


def test_a_block_that_fails_leaves_the_old_file_alone(tmp_path) -> None:
    path = tmp_path / "deep" / "map.nii.gz"
    with replacing(path, ".nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz") and temporary.parent == path.parent
        temporary.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half of")
        raise RuntimeError
    assert path.read_text() == "old" and [p.name for p in path.parent.iterdir()] == ["map.nii.gz"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path) -> None:
    write_array(tmp_path / "a.npy", np.arange(3))
    script = ("import resource, signal, sys, numpy as np; from pipeline.files.atomic import write_array\n"
              "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
              "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
              "from pipeline.errors import run_main\n"
              "sys.exit(run_main(lambda: write_array(sys.argv[1], np.zeros(9999))))")
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.npy")], capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.startswith("error: a.npy: cannot be written (")
    assert ended.stderr.count("\n") == 1
    assert np.load(tmp_path / "a.npy").tolist() == [0, 1, 2] and len(list(tmp_path.iterdir())) == 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


@pytest.mark.parametrize("name", ["x" * 300, "gone/file.json"])
def test_what_cannot_be_written_is_named(tmp_path, name) -> None:
    (tmp_path / "gone").write_text("a file where a folder is asked for")
    with pytest.raises(InputError, match="cannot be written"):
        write_json(tmp_path / name, {})


def test_leftovers_of_dead_processes_go_and_those_of_the_living_stay(tmp_path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for process in (gone.pid, os.getppid()):
        (tmp_path / f".a.npy.{_host()}.{process}.part").touch()
    (tmp_path / ".a.npy.far.3999999.part").touch()  # of another host
    (tmp_path / "a.npy").touch()
    leftovers(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "a.npy", f".a.npy.{_host()}.{os.getppid()}.part", ".a.npy.far.3999999.part"}


def test_json_refuses_what_is_not_finite(tmp_path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert not list(tmp_path.iterdir())


def test_long_lists_have_an_entry_a_line_and_cost_a_call_or_two_each(tmp_path) -> None:
    """Indenting, Python calls some dozens of functions an entry; 100,000 exams took minutes."""
    content = {"name": "a \"b\"", "few": [{"a": [1, None]}], "many": [{"id": f"E{i}", "x": [i, 0.5, {"é": True}]}
                                                                    for i in range(3000)]}
    profile = cProfile.Profile()
    profile.runcall(write_json, tmp_path / "a.json", content)
    calls = sum(entry.callcount for entry in profile.getstats())
    assert calls < 10 * 3000
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == content and len(text.splitlines()) == 3000 + len(json.dumps(
        {**content, "many": [0]}, indent=1).splitlines()) - 1
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"many": [math.inf] * 3000})
    write_json(tmp_path / "b.json", {"few": content["few"]})
    assert (tmp_path / "b.json").read_text() == json.dumps({"few": content["few"]}, indent=1) + "\n"


def test_a_table_has_all_columns_in_the_order_of_their_first_occurrence(tmp_path) -> None:
    write_table(tmp_path / "a.csv", [{"b": 1, "a": None}, {"a": "x, y", "c": 0.5}])
    assert (tmp_path / "a.csv").read_text() == 'b,a,c\n1,,\n,"x, y",0.5\n'
