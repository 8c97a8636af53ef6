"""The archive that answers: a study in a real Orthanc on loopback, fetched, answered and answered no second time."""

from __future__ import annotations

import errno
import http.client
import importlib.util
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from commands import ROOT
from dicom_answers import AFFINES, result, write_exam


@pytest.fixture
def answering() -> ModuleType:
    spec = importlib.util.spec_from_file_location("answering", ROOT / "docker" / "orthanc" / "answer.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Orthanc's, started with the project's settings but for where it stores."""
    if (program := shutil.which("Orthanc")) is None:
        pytest.skip("Orthanc is not installed (Debian: orthanc)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    settings = json.loads((ROOT / "docker" / "orthanc" / "orthanc.json").read_text())
    here = {"HttpPort": number, "StorageDirectory": str(tmp_path / "store"), "IndexDirectory": str(tmp_path / "store")}
    here["Plugins"] = [name for name in settings["Plugins"] if Path(name).is_file()]
    (tmp_path / "orthanc.json").write_text(json.dumps(settings | here))
    archive = subprocess.Popen([program, tmp_path / "orthanc.json"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{number}/system", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield number
    finally:
        archive.terminate()
        archive.wait(30)


@pytest.mark.e2e
def test_a_study_is_answered_once(port: int, answering: ModuleType, tmp_path: Path, make_series: Any,
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    from pipeline.serve.dicom_objects import write_dicom
    from pipeline.serve.dicom_study import Model

    heat, affine = write_exam(make_series, tmp_path / "dyn", AFFINES["oblique"])
    orthanc = answering.Orthanc(port)
    for path in (tmp_path / "dyn").iterdir():
        orthanc.store(path.read_bytes())
    asked: list[list[str]] = []

    def predict(command: list[str], **_: Any) -> SimpleNamespace:
        """What the command of that name does, of a model that is not there."""
        asked.append(command)
        exam, out = Path(command[command.index("-o") - 1]), Path(command[command.index("-o") + 1])
        assert "SECRET" not in "".join(map(str, exam.rglob("*")))
        write_dicom(next(exam.iterdir()), result(affine), heat, out, Model("some_bundle", "1"), affine=affine)
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(answering.subprocess, "run", predict)
    study, = orthanc.json("/studies")
    assert answering.answer(orthanc, study, tmp_path / "some_bundle") == "answered, 3 objects stored"
    assert answering.answer(orthanc, study, tmp_path / "some_bundle") == "has its answer" and len(asked) == 1
    tags = [orthanc.json(f"/series/{each}")["MainDicomTags"] for each in orthanc.json(f"/studies/{study}")["Series"]]
    assert sorted(each["Modality"] for each in tags) == ["MR", "OT", "SEG", "SR"]
    assert not Path(asked[0][asked[0].index("-o") + 1]).exists()  # nothing is left of it
    failed = SimpleNamespace(returncode=2, stderr="warning: x\nerror: exam: no series is t2; found 1\n")
    monkeypatch.setattr(answering.subprocess, "run", lambda *_, **__: failed)
    assert answering.answer(orthanc, study, tmp_path / "other") == "error: exam: no series is t2; found 1"


def test_what_a_restart_interrupted_is_asked_again(answering: ModuleType, tmp_path: Path, capsys: Any,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive goes away twice in the second of four studies; the disk is full in the third, the fourth removed."""
    (tmp_path / "export.json").write_text("{}")
    asked: list[tuple[int, str]] = []
    gone = urllib.error.HTTPError("", 404, "", {}, None)  # type: ignore[arg-type]
    happens: Iterator[str | Exception] = iter([
        "answered", ConnectionResetError("reset"), http.client.IncompleteRead(b""), "answered",
        OSError(errno.ENOSPC, "No space left on device"), gone])

    def stable(orthanc: Any, since: int) -> Iterator[tuple[int, str]]:
        assert orthanc.root == "http://orthanc:8042"
        for number, name in enumerate("abcd"[since:], since + 1):
            asked.append((number, name))
            yield number, name

    def answer(*_: Any) -> str:
        what = next(happens)
        if isinstance(what, Exception):
            raise what
        return what

    def sleep(_: float) -> None:
        if len(asked) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(answering.Orthanc, "stable", stable)
    monkeypatch.setattr(answering, "answer", answer)
    monkeypatch.setattr(answering.time, "sleep", sleep)
    monkeypatch.setattr("sys.argv", ["answer", str(tmp_path), "--host", "orthanc"])
    with pytest.raises(KeyboardInterrupt):
        answering.main()
    assert asked == [(1, "a"), (2, "b"), (2, "b"), (2, "b"), (3, "c"), (4, "d")]
    said = capsys.readouterr().out.splitlines()
    assert all("Orthanc does not answer" in line for line in said[1:3]) and "HTTP status 404" in said[-1]
    assert said[-2].endswith("passed over: No space left on device")
