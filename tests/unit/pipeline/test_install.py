"""The install: which PyTorch is chosen, by pip itself against a folder that poses as PyTorch's index."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline import install

PLATFORM = "py3-none-any"


def wheel(folder: Path, version: str) -> None:
    """A wheel of a `torch` that holds nothing, in an index of that package alone."""
    home = folder / "torch"
    home.mkdir(parents=True, exist_ok=True)
    info, name = f"torch-{version}.dist-info", f"torch-{version}-{PLATFORM}.whl"
    with zipfile.ZipFile(home / name, "w") as file:
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {PLATFORM}\n")
        file.writestr(f"{info}/RECORD", "")
    link = name.replace("+", "%2B")
    (home / "index.html").write_text(f'<a href="{link}">{name}</a>')


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def indices(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The default index, with a build for CUDA, and PyTorch's own, with one for CPU."""
    wheel(tmp_path / "default", "2.13.0")
    wheel(tmp_path / "cpu", "2.13.0+cpu")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    yield f"{base}/default", f"{base}/cpu"
    server.shutdown()
    server.server_close()


def test_pip_takes_the_cpu_build_where_its_index_is_asked_too(tmp_path: Path, indices) -> None:
    default, cpu = indices
    constraint = tmp_path / "constraints.txt"
    constraint.write_text("torch==2.13.0\n")
    environment = {**{k: v for k, v in os.environ.items() if not k.startswith("PIP_")}, "PIP_CONFIG_FILE": os.devnull,
                   "PIP_INDEX_URL": default, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    chosen = {}
    for name, command in (("both", install.pytorch(str(constraint), cpu)),
                          ("default", [*install.pytorch(str(constraint), cpu)[:-3], "torch"])):
        found = tmp_path / f"{name}.json"
        ended = subprocess.run([*command, "--dry-run", "--ignore-installed", "--report", str(found)], text=True,
                               env=environment, capture_output=True)
        assert ended.returncode == 0, ended.stderr
        chosen[name] = [entry["metadata"]["version"] for entry in json.loads(found.read_text())["install"]]
    assert chosen == {"both": ["2.13.0+cpu"], "default": ["2.13.0"]}


@pytest.fixture
def calls(monkeypatch, tmp_path: Path) -> list[list[str]]:
    """What would be run, from an environment without PyTorch, on Linux without a GPU."""
    ran: list[list[str]] = []
    monkeypatch.setattr(install, "is_there", lambda constraint: False)
    monkeypatch.setattr(install, "gpu_count", lambda: 0)
    monkeypatch.setattr(install.subprocess, "call", lambda command: ran.append(command[4:]) or 0)
    monkeypatch.setattr(sys, "platform", "linux")
    return ran


def test_without_a_gpu_the_cpu_index_is_asked_for_pytorch_alone(indices, calls, capsys) -> None:
    assert install.main(["--index", indices[1], "--extras", "test"]) == 0
    assert calls == [["--constraint", "constraints.txt", "--extra-index-url", indices[1], "torch"],
                     ["--constraint", "constraints.txt", "--editable", ".[test]"]]
    first = capsys.readouterr().out.splitlines()[0]
    assert "CPU (no NVIDIA GPU was found; TORCH=cuda takes the other)" in first and "GB on disk" in first


def test_an_index_out_of_reach_is_said_and_the_install_goes_on(indices, calls, capsys) -> None:
    assert install.main(["--index", indices[1].replace("/cpu", "/nowhere")]) == 0
    assert calls == [["--constraint", "constraints.txt", "--editable", "."]]
    assert "cannot be reached: PyTorch comes from pip's own index" in capsys.readouterr().out


@pytest.mark.parametrize(("gpus", "asked", "said"), [
    (2, "auto", "CUDA (an NVIDIA GPU was found)"), (0, "cuda", "CUDA, as asked")])
def test_with_a_gpu_or_asked_for_cuda_the_default_index_is_enough(monkeypatch, calls, capsys, gpus, asked, said
                                                                  ) -> None:
    monkeypatch.setattr(install, "gpu_count", lambda: gpus)
    assert install.main(["--torch", asked]) == 0
    assert calls == [["--constraint", "constraints.txt", "--editable", "."]]
    assert said in capsys.readouterr().out


def test_a_cpu_build_can_be_asked_for_on_a_machine_with_gpus(monkeypatch, indices, calls) -> None:
    monkeypatch.setattr(install, "gpu_count", lambda: 2)
    assert install.main(["--torch", "cpu", "--index", indices[1]]) == 0
    assert len(calls) == 2


def test_an_extra_leaves_the_pytorch_that_is_there(tmp_path: Path) -> None:
    import torch

    constraint = tmp_path / "constraints.txt"
    constraint.write_text(f"torch=={torch.__version__.partition('+')[0]}\n")
    assert install.is_there(str(constraint))
    constraint.write_text("torch==1.0.0\n")
    assert not install.is_there(str(constraint))


def test_nothing_but_the_standard_library_is_needed(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-S", "-m", "pipeline.install", "--help"], capture_output=True, text=True,
                           cwd=Path(install.__file__).parents[1])
    assert ended.returncode == 0, ended.stderr
