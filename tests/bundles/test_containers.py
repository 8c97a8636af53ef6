"""The containers: what they say where something is missing, what their files promise, and (e2e) both images built."""

from __future__ import annotations

import configparser
import fnmatch
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from commands import ROOT

DOCKER = ROOT / "docker"
NOTHING = "36 35 98:0 / / rw,noatime shared:1 - ext3 /dev/root rw\n"


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def start() -> ModuleType:
    return module(DOCKER / "start.py")


def mounted(*places: str) -> str:
    """/proc/self/mountinfo, by the kernel's description, with volumes at these places."""
    return NOTHING + "".join(f"4{i} 36 8:1 /home/a /{place} rw,relatime - ext4 /dev/sda1 rw\n"
                             for i, place in enumerate(p.lstrip("/") for p in places))


STUDY = ("pipeline", "study", "bundles/breast_mri_curriculum", "--datalist", "/data/list.json", "--out", "/runs/a")


@pytest.mark.parametrize(("words", "places", "said"), [
    (STUDY, ("/runs",), "nothing is mounted at /data; add --volume FOLDER:/data:ro"),
    (STUDY, ("/data",), "nothing is mounted at /runs, and what is written there would be lost"),
    (("pipeline", "doctor"), (), None),
    (("pipeline", "report", "/runs2/a"), (), None),
    (("monai.bundle", "run", "--output_dir=/runs/a"), (), "nothing is mounted at /runs"),
    (("monai.bundle", "run", "--config_file", "['/data/own.yaml', 'b.yaml']"), (), "nothing is mounted at /data"),
    (STUDY, ("/data/part\\040one", "/runs/a"), None),
])
def test_a_volume_that_is_named_and_not_there_is_one_line(start, tmp_path, monkeypatch, words, places, said) -> None:
    for name in ("data/list", "runs"):
        (tmp_path / name).mkdir(parents=True)
    real = start.volume
    monkeypatch.setattr(start, "volume", lambda folder, mounts: real(folder, mounts, tmp_path))
    found = start.lacks(words, start.mounts(mounted(*places)))
    assert found is None if said is None else found.startswith(said) and "\n" not in found


def test_a_volume_that_is_empty_closed_or_read_only_is_one_line(start, tmp_path, monkeypatch) -> None:
    for name in ("data", "runs"):
        (tmp_path / name).mkdir()
    assert "/data is empty: check its path" in start.volume("/data", ["/data"], tmp_path)
    assert start.volume("/runs", ["/runs"], tmp_path) is None
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert "may not write to what is mounted at /runs; add --user" in start.volume("/runs", ["/runs"], tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "may not read what is mounted at /data" in start.volume("/data", ["/data"], tmp_path)


def test_an_image_for_cuda_without_a_gpu_is_one_line(start, monkeypatch) -> None:
    monkeypatch.setattr(start, "gpu_count", lambda: 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert start.lacks(["pipeline", "doctor"], []) is None
    monkeypatch.setenv("BREAST_BUNDLES_TORCH", "cuda")
    assert "the container has no GPU; add --gpus all" in start.lacks(["pipeline", "doctor"], [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert start.lacks(["pipeline", "doctor"], []) is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(start, "gpu_count", lambda: 1)
    assert start.lacks(["pipeline", "doctor"], []) is None


def test_it_runs_the_words_or_ends_with_its_line() -> None:
    def ended(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, DOCKER / "start.py", *words], capture_output=True, text=True, cwd=ROOT,
                              env={**os.environ, "PYTHONPATH": str(ROOT)})

    assert ended("pipeline", "--version").stdout.startswith("breast-bundles ")
    if not Path("/runs").exists():
        refused = ended("pipeline", "report", "/runs/a")
        assert (refused.returncode, refused.stdout) == (2, "") and refused.stderr.count("\n") == 1
        assert refused.stderr.startswith("error: nothing is mounted at /runs")


def stages() -> dict[str, str]:
    """The Dockerfile's stages by name, with lines that go on joined."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    parts = re.split(r"^FROM (\S+) AS (\S+)$", text, flags=re.M)
    return dict(zip(parts[2::3], parts[3::3], strict=True))


def test_the_dockerfile_keeps_what_it_promises() -> None:
    found = stages()
    assert {"runtime", "label", "orthanc"} == set(found)
    for name, text in found.items():
        user = re.findall(r"^USER (\d+)", text, re.M)[-1]
        assert int(user) > 0, f"{name} runs as root"
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert re.findall(r"ARG VERSION=(\S+)", found["runtime"]) == [setup["metadata"]["version"]]
    for pin in ("monailabel", "torchvision"):  # the same server in a container and beside the demo
        here = re.findall(rf"{pin}==([\d.]+)", found["label"])
        assert here and set(here) == set(re.findall(rf"{pin}==([\d.]+)", (ROOT / "Makefile").read_text()))
    sed = re.findall(r"-e 's(.)(.+?)\1(.+?)\1'", found["orthanc"])
    settings = (DOCKER / "orthanc" / "orthanc.json").read_text()
    assert len(sed) == 2 and all(old in settings for _, old, _ in sed)
    for _, old, new in sed:
        settings = settings.replace(old, new)
    assert json.loads(settings)["RemoteAccessAllowed"] and json.loads(settings)["StorageDirectory"] == "/orthanc"


def test_what_the_dockerfile_copies_is_there_and_not_ignored() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    kept = [line[1:] for line in lines if line.startswith("!")]
    for text in stages().values():
        for words in re.findall(r"^COPY (.+)$", text, re.M):
            for source in words.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(fnmatch.fnmatch(source.partition("/")[0], each) for each in kept), f"{source} is ignored"
        for file in re.findall(r"(?:-c|-r) ([\w/.-]+\.txt)", text):
            assert (ROOT / file).is_file()


def test_compose_opens_nothing_but_this_machines_loopback() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    assert {each["build"]["target"] for each in services.values()} == set(stages())
    for name, each in services.items():
        assert all(str(port).startswith("127.0.0.1:") for port in each.get("ports", [])), name
        assert each["read_only"] is True and each["cap_drop"] == ["ALL"], name
        assert "network_mode" not in each and "privileged" not in each, name
    assert services["orthanc"]["ports"] == ["127.0.0.1:8042:8042"]
    asks = services["answer"]["command"]
    assert asks[0] == "docker.orthanc.answer" and asks[-2:] == ["--host", "orthanc"]
    folders = [volume for each in services.values() for volume in each["volumes"] if isinstance(volume, dict)]
    assert {folder["target"]: folder.get("read_only", False) for folder in folders} == {"/exported": True,
                                                                                       "/studies": False}
    assert not any(folder["bind"]["create_host_path"] for folder in folders)  # root's, where a path is misspelt


@pytest.mark.e2e
@pytest.mark.timeout(3600)
def test_both_images_build_and_run(tmp_path) -> None:
    """The script builds both, runs them as another user on a read-only root without a network, and removes them."""
    for tool in ("buildah", "debootstrap"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian: {tool})")
    if os.getuid():
        pytest.skip("debootstrap and a chroot want root")
    ended = subprocess.run(["bash", DOCKER / "build_test.sh"], capture_output=True, text=True, cwd=ROOT,
                           env={**os.environ, "PYTHON": sys.executable})
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    sizes = dict(re.findall(r"^size (\w+) (\d+) MB$", ended.stdout, re.M))
    assert int(sizes["runtime"]) <= 2500 and "label" in sizes
