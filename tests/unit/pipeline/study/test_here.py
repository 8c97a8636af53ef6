"""What one process does of a study: nothing of what is done, and only what it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from done_study import words_of, write_done

from pipeline.__main__ import main
from pipeline.study.engines.local import Runner

BUNDLE = "bundles/breast_mri_curriculum"
MORE = ("--preset", "demo", "--variants", "naive_1e-4")


@pytest.fixture
def done(tmp_path: Path) -> Path:
    assert write_done(tmp_path, BUNDLE, 2, "MR", *MORE) == 5
    return tmp_path


def study(folder: Path, *more: str) -> int:
    return main(["study", *words_of(folder, BUNDLE, 2, *MORE), *more])


def test_what_is_done_is_seen_and_its_record_is_written_once(done, capsys) -> None:
    assert study(done) == 0
    said = capsys.readouterr().out
    assert said.count("done before") == 5 and "$ python" not in said and "study: 5 steps done" in said
    written = (done / "run" / "study.json").stat().st_mtime_ns
    assert study(done) == 0 and (done / "run" / "study.json").stat().st_mtime_ns == written
    assert study(done, "--status") == 0 and "5 of 5 steps done" in capsys.readouterr().out


def test_a_shard_beyond_the_number_of_runs_has_nothing_to_do(done, capsys) -> None:
    assert study(done, "--shard", "7/9") == 0
    assert capsys.readouterr().out == "--shard 7/9: nothing to do; runs of the study: 2\n"


def test_another_preset_in_the_same_folder_is_refused(done, capsys) -> None:
    assert study(done) == 0
    capsys.readouterr()
    assert study(done, "--preset", "paper") == 2
    assert capsys.readouterr().err == "error: run: holds a study of preset demo, not paper; choose another --out\n"


def test_other_settings_are_refused_while_somebody_works_there(done, tmp_path, capsys) -> None:
    from pipeline.files.claims import claimed

    assert study(done) == 0
    (tmp_path / "o.yaml").write_text("lr: 0.5\n")
    with claimed(done / "run" / "naive_1e-4" / "fold1" / "breasts", print):
        assert study(done, "--overlay", str(tmp_path / "o.yaml")) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "works there on a study of other exams or settings; wait until it has ended, or choose another" in line


def test_nothing_is_combined_before_the_exams_are_prepared(done, capsys) -> None:
    (done / "run" / "prepared" / "E0.npy").unlink()
    assert study(done, "--combine-only") == 2
    assert "the exams are not prepared" in capsys.readouterr().err


def test_a_part_of_the_preparation_is_all_that_is_done_and_is_told(done, monkeypatch, capsys) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(Runner, "call", lambda self, command, *_, **__: ran.append(command) or 0)
    (done / "run" / "prepared" / "done.json").unlink()
    for _ in range(2):  # the second time it is done
        assert study(done, "--prepare-only", "--shard", "1/3") == 0
    assert [command[-2:] for command in ran] == [["--shard", "1/3"]] and "prepare.yaml" in " ".join(ran[0])
    capsys.readouterr()
    assert study(done, "--status") == 0
    part, whole, *_ = capsys.readouterr().out.splitlines()
    assert part.startswith("part 2 of 3 prepare  ") and "done" in part and whole.startswith("prepare  ")
    assert "to do" in whole and not (done / "run" / "prepared" / "done.json").exists()
