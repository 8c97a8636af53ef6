"""A dask cluster is looked at before it is given work: what is wrong with it is one line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")

from pipeline import cluster as module  # noqa: E402
from pipeline.cluster import connected, joblib_on  # noqa: E402
from pipeline.errors import InputError  # noqa: E402
from pipeline.processes import shared  # noqa: E402


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False,
                                  dashboard_address=None) as made:
        yield made


def test_joblib_s_work_is_done_there(cluster, tmp_path) -> None:
    with joblib_on(cluster.scheduler_address, [tmp_path], [tmp_path / "out"]):
        pass
    done = shared(abs, [-3, -2, 1], scheduler=cluster.scheduler_address, writes=[tmp_path / "out"], disable=True)
    assert sorted(done) == [1, 2, 3] and list((tmp_path / "out").iterdir()) == []


def test_nobody_answers(monkeypatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", "1s")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listened to
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InputError, match=f"{address}: no dask scheduler answers"), connected(address):
            pass
    with pytest.raises(InputError, match="no dask scheduler answers"), connected("head;8786"):
        pass


def test_a_worker_that_lacks_a_place_has_another_version_or_nothing(cluster, tmp_path, monkeypatch) -> None:
    def refused(match: str, reads: list[Path]) -> None:
        with pytest.raises(InputError, match=match), connected(cluster.scheduler_address, reads):
            pass

    refused("worker .* does not see exams as it is here", [tmp_path / "exams"])
    monkeypatch.setattr(module, "_facts", lambda places: {"version": "0.0.9", "lacking": []})
    refused("worker .* has breast-bundles 0.0.9, here it is", [])
    monkeypatch.setattr(module, "_facts", lambda places: __import__("no_such_package"))
    refused("worker .* has no breast-bundles .*No module named 'no_such_package'", [])


def test_a_cluster_without_workers() -> None:
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as empty, pytest.raises(
            InputError, match="has no workers; begin some with `dask worker"), connected(empty.scheduler_address):
        pass
