"""What a report keeps to itself."""

from __future__ import annotations

from pathlib import Path

from pipeline.report.redact import redactor


def test_neither_patients_nor_places_are_told(finished: Path, page: str) -> None:
    for text in (page, (finished / "metrics.json").read_text()):
        assert "SECRET" not in text
        for place in (str(finished), str(finished.resolve()), str(Path.cwd()), str(Path.home()), "/archive"):
            assert place not in text
    assert "--output_dir RUN/main" in page
    assert "+ &#39;/model.pt&#39;" in page  # a join in an expression is no place


def test_redaction() -> None:
    redact = redactor(Path("runs/demo"))
    here = Path.cwd()
    assert redact(f"--out {here}/runs/demo/prepared") == "--out RUN/prepared"
    assert redact("--out runs/demo --x runs/demo2") == "--out RUN --x runs/demo2"
    assert redact(f"{here}/bundles/x/configs") == "bundles/x/configs"
    assert redact(f"{here}2/a") == "…/a"
    assert redact("['/data/site/list.json', '/data/b/']") == "['…/list.json', '…']"
    assert redact(r"C:\Users\ann\list.json") == "…/list.json"
    for kept in ("1/2", "https://example.org/a/b", "$@ckpt_dir + '/a/b.pt'", "bundles/x/configs", "a // b"):
        assert redact(kept) == kept
