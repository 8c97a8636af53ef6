"""What `predict` refuses before it loads anything; its answers are compared with other hosts' in tests/bundles."""

from __future__ import annotations

import zipfile

import pytest

from pipeline.__main__ import main
from pipeline.errors import InputError
from pipeline.serve.card import SUMS, sums
from pipeline.serve.export import MARK
from pipeline.serve.predict import check_sums


def test_what_was_changed_since_the_export_is_named(tmp_path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text("{}")
    with pytest.raises(InputError, match=r"no exported bundle \(export\.json, SHA256SUMS\)"):
        check_sums(tmp_path)
    (tmp_path / MARK).write_text("{}")
    (tmp_path / SUMS).write_text(sums(tmp_path))
    check_sums(tmp_path)
    (tmp_path / "configs" / "inference.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match=r"configs/inference\.json: is missing, or was changed since the export"):
        check_sums(tmp_path)


def test_hostile_and_missing_files_are_one_line(tmp_path, capsys) -> None:
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as archive:
        archive.writestr("../../escaped", "x")
    (tmp_path / "exam").mkdir()
    for bundle, exam, told in (
            ("bundle.zip", "exam", "would lie outside its folder"), ("none", "exam", "none: no such file"),
            ("exam", "gone", "gone: no such file or folder"), ("exam", "exam", "no exported bundle")):
        assert main(["predict", str(tmp_path / bundle), str(tmp_path / exam), "-o", str(tmp_path / "out")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and told in line
    assert not (tmp_path / "out").exists() and not (tmp_path.parent / "escaped").exists()
