"""The notebook runs from its first cell to its last; what is stored of it is small and says nothing of a machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from commands import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "docs" / "getting_started.ipynb"
TINY = {  # by a cell's tag, what takes its place: a cohort that is there already, and sizes for seconds
    "draw": "%%sh\nmkdir -p demo/notebook && cp -r \"$COHORT\" demo/notebook/cohort",
    "sizes": "%%writefile demo/notebook/minute.yaml\n"
             "{max_epochs: 1, cases_per_epoch: 4, batch_size: 2, precision: fp32}",
}


@pytest.fixture
def stored() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def coded(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def said(cell: Any) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def test_what_is_stored_is_small_whole_and_of_no_machine(stored) -> None:
    nbformat.validate(stored)
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert not re.search(r"[\"' =(]/(?:home|root|tmp|usr|work|opt|Users|var)/", text)
    count = len(coded(stored))
    assert [cell.execution_count for cell in coded(stored)] == list(range(1, count + 1))
    assert all(output.output_type != "error" and output.get("name") != "stderr"
               for cell in coded(stored) for output in cell.outputs)


def test_its_links_lead_somewhere(stored) -> None:
    links = [link for cell in stored.cells if cell.cell_type == "markdown"
             for link in re.findall(r"\]\(([^)]+)\)", cell.source)]
    lost = [link for link in links if not link.startswith("../demo/") and not (NOTEBOOK.parent / link).exists()]
    assert len(links) > 4 and not lost


@pytest.mark.slow
def test_it_runs_as_it_stands(stored, tmp_path: Path, phantom_cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    before = NOTEBOOK.read_bytes()
    replaced = [tag for cell in coded(stored) for tag in cell.metadata.get("tags", ()) if tag in TINY]
    assert sorted(replaced) == sorted(TINY)
    for cell in coded(stored):
        cell.source = next((TINY[tag] for tag in cell.metadata.get("tags", ()) if tag in TINY), cell.source)
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    for name, value in {"COHORT": phantom_cohort.folder, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": 1,
                        "IPYTHONDIR": tmp_path / "ipython", "JUPYTER_RUNTIME_DIR": tmp_path / "runtime"}.items():
        monkeypatch.setenv(name, str(value))
    here = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(stored, timeout=300, kernel_name="python3", resources=here).execute()
    last = [said(cell) for cell in coded(stored)]
    assert any("ResNet18 curriculum" in text and "AUROC" in text for text in last)
    assert any(re.search(r"E0002: probability of malignancy .*\"L\": 0\.\d+, \"R\": 0\.\d+", text) for text in last)
    assert sum("image/png" in output.get("data", {}) for cell in coded(stored) for output in cell.outputs) == 4
    for name in ("run/report.html", "run/exams.html", "answers/E0002_heatmap.nii.gz"):
        assert (tmp_path / "demo" / "notebook" / name).is_file()
    assert NOTEBOOK.read_bytes() == before
