"""The library that goes along: a wheel that pip takes, with everything that is imported."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

from commands import ROOT

from pipeline.serve.wheel import wheel


def test_the_same_bytes_and_every_module(tmp_path) -> None:
    name, content = wheel()
    assert (name, content) == wheel() and name.startswith("breast_bundles-") and len(content) < 1_000_000
    (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / name) as archive:
        names = set(archive.namelist())
        for package in ("pipeline", "transforms", "data_lists"):
            assert {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")} <= names
        assert {"pipeline/report/report.html", "pipeline/py.typed"} <= names
        record = archive.read(next(n for n in names if n.endswith("RECORD"))).decode()
    assert {line.partition(",")[0] for line in record.splitlines()} == names


def test_pip_installs_it_and_it_is_imported_from_there(tmp_path) -> None:
    name, content = wheel()
    (tmp_path / name).write_bytes(content)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target",
                    tmp_path / "there", tmp_path / name], check=True, capture_output=True)
    ended = subprocess.run([sys.executable, "-c", "import pipeline, transforms; print(pipeline.__file__)"],
                           capture_output=True, text=True, cwd=tmp_path,
                           env={**os.environ, "PYTHONPATH": str(tmp_path / "there")})
    assert ended.stdout.strip() == str(tmp_path / "there" / "pipeline" / "__init__.py"), ended.stderr
