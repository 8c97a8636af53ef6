"""Chains as tasks of a dask cluster, whose workers are threads of this process."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import ROOT

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
dask_config = pytest.importorskip("dask.config")

from pipeline.__main__ import main  # noqa: E402
from pipeline.errors import InputError  # noqa: E402
from pipeline.study.engines.dask import Dask  # noqa: E402
from pipeline.study.engines.engine import Needs, Part  # noqa: E402
from pipeline.study.engines.local import Runner  # noqa: E402
from pipeline.study.step import Step  # noqa: E402

pytestmark = pytest.mark.alone  # dask gives its threads ten seconds to begin


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None,
                                  resources={"GPU": 1}) as cluster:
        yield cluster.scheduler_address


def part(folder: Path, name: str, numbers: list[int], fails: int | None = None, gpus: int | None = None,
         processes: int = 1) -> Part:
    """Chains each of which notes what it was called with; one may fail."""
    def command(i: str) -> list[str]:
        fail = f"sys.exit('error: no such thing in {i}')" if fails is not None and int(i) == fails else ""
        script = f"import sys; open({str(folder / f'{name}{i}')!r}, 'w').write(' '.join(sys.argv[1:])); {fail}"
        return [sys.executable, "-c", script]
    chains = [[Step(f"v fold {i} train", folder / str(i), [])] for i in numbers]
    return Part(name, chains, numbers, command, Needs(gpus=gpus, processes=processes))


def test_the_chains_are_done_behind_the_preparation_and_one_that_fails_keeps_nobody(cluster, tmp_path, capsys) -> None:
    engine = Dask(cluster, Runner(1), [tmp_path], tmp_path)
    parts = [part(tmp_path, "prepare", [0]), part(tmp_path, "chains", [0, 1, 2], fails=1),
             part(tmp_path, "combine", [0])]
    with pytest.raises(InputError, match="1 of 3 runs failed, the first: v fold 1: no such thing in 1"):
        engine.run(parts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chains0", "chains1", "chains2", "combine0", "prepare0"]
    assert (tmp_path / "chains2").read_text().startswith("--cores ")
    assert "[3/3] v fold" in capsys.readouterr().out


def test_a_preparation_that_fails_is_the_end(cluster, tmp_path) -> None:
    parts = [part(tmp_path, "prepare", [0], fails=0), part(tmp_path, "chains", [0]), part(tmp_path, "combine", [0])]
    with pytest.raises(InputError, match="prepare: failed"):
        Dask(cluster, Runner(1), [], tmp_path).run(parts)
    assert [path.name for path in tmp_path.iterdir()] == ["prepare0"]


@pytest.mark.parametrize("asked, words", [({"gpus": 2}, "--gpus 2"), ({"processes": 3}, "--processes 3")])
def test_more_gpus_than_a_worker_offers(cluster, tmp_path, asked, words) -> None:
    parts = [part(tmp_path, "prepare", [0]), part(tmp_path, "chains", [0], **asked), part(tmp_path, "combine", [0])]
    with pytest.raises(InputError, match=rf"{words}: no worker .* as many GPUs; begin workers with .*={words[-1]}"):
        Dask(cluster, Runner(1), [], tmp_path).run(parts)


def test_its_lines_are_what_is_run(tmp_path) -> None:
    parts = [part(tmp_path, "prepare", [0]), part(tmp_path, "chains", [1, 4]), part(tmp_path, "combine", [0])]
    lines = Dask("tcp://nowhere:1", Runner(1), [], tmp_path).lines(parts)
    assert [line.split("/")[-1].split("'")[0] for line in lines] == ["prepare0", "chains1", "chains4", "combine0"]


def test_the_commands_of_the_how_to_run_as_they_stand(cluster, tiny_cohort, monkeypatch, capsys) -> None:
    """The study is printed; workers and larger things were run by hand, and their output is on the page."""
    page = (ROOT / "docs" / "how_to" / "run_on_dask.md").read_text().replace("\\\n", " ")
    blocks = [block for _, block in re.findall(r"^( *)```sh\n(.*?)^\1```", page, re.MULTILINE | re.DOTALL)]
    commands = [shlex.split(line.replace("tcp://head:8786", cluster), comments=True)
                for block in blocks for line in block.splitlines()]
    monkeypatch.chdir(tiny_cohort.folder)
    Path("bundles").symlink_to(ROOT / "bundles")
    own = [words[3:] for words in commands if words[:3] == ["python", "-m", "pipeline"]]
    assert [words[0] for words in own] == ["study", "verify", "phantom"] and len(commands) == 8
    said = dask_config.collect_env(dict([commands[0][1].split("=", 1)]))  # None: unset for workers
    assert said == {"distributed": {"nanny": {"pre_spawn_environ": {"MALLOC_TRIM_THRESHOLD_": None}}}}
    assert main([*own[0], "--print"]) == 0 and main(own[1]) == 0
    assert "0 errors" in capsys.readouterr().out
