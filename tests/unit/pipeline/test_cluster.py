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

pytestmark = pytest.mark.alone  # dask gives its threads ten seconds to begin


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


def test_a_client_may_begin_late(cluster, monkeypatch) -> None:
    late, begin = [AssertionError(), AssertionError()], distributed.Client.__init__

    def slow(self, *args, **settings) -> None:
        if late:
            raise late.pop()
        begin(self, *args, **settings)

    monkeypatch.setattr(distributed.Client, "__init__", slow)
    with connected(cluster.scheduler_address):
        assert not late
    late += [AssertionError()] * 3
    with pytest.raises(InputError, match="too busy; try again later"), connected(cluster.scheduler_address):
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


def test_a_list_is_verified_and_prepared_there_as_here(cluster, phantom_cohort, tmp_path) -> None:
    from pipeline.breast_mri.breasts import BREASTS
    from pipeline.prepare.cases import load as load_prepared
    from pipeline.prepare.run import run
    from pipeline.verify import verify
    from transforms import LoadBreastsd

    there = cluster.scheduler_address
    listed, damaged = phantom_cohort.load(), phantom_cohort.path(1)
    whole = damaged.read_bytes()
    damaged.write_bytes(b"")
    assert verify(listed) == verify(listed, scheduler=there) != []
    damaged.write_bytes(whole)
    for name, scheduler in (("here", None), ("there", there)):
        load = LoadBreastsd("image", channels=["pre", "t2"], matrix=(128, 128, 8), rows=64)
        run(phantom_cohort.list, tmp_path / name, BREASTS, load, 1, scheduler)
    here, other = (load_prepared(tmp_path / name) for name in ("here", "there"))
    assert here["digest"] == other["digest"] and len(here["breasts"]) == 24


def test_a_cohort_is_written_there_as_here(cluster, tmp_path) -> None:
    from pipeline.phantoms.cohort import make_all

    for name, scheduler in (("here", None), ("there", cluster.scheduler_address)):
        (tmp_path / name).mkdir()
        make_all(tmp_path / name, ["a", "b"], files_of, 1, False, scheduler)
    assert [(tmp_path / name / "exams" / "b" / "image").read_bytes() for name in ("here", "there")] == [b"1", b"1"]


def files_of(number: int) -> dict[str, bytes]:
    return {"image": str(number).encode()}
