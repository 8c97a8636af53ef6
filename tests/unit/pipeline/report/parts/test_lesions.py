"""Lesions of the user's own data, and a study of many variants."""

from __future__ import annotations

import json

import numpy as np
from written_study import write_run

from pipeline.__main__ import main


def test_a_study_of_many_is_ranked_and_its_best_tested_against_the_next(tmp_path) -> None:
    run = write_run(tmp_path / "run")
    study = json.loads((run / "study.json").read_text())
    study["comparisons"] = "best"
    study["variants"] = {name: study["variants"][name] for name in ("base_a", "main", "base_b")}
    (run / "study.json").write_text(json.dumps(study))
    fold = run / "base_a" / "fold0"
    np.savez(fold / "contrasts.npz", patch=np.random.default_rng(0).random((2, 8, 8)), names=np.array(["pre", "sub"]))
    (fold / "curves.csv").write_text("exam_id,lesion_id,label,pre,post1,post2,post3,post4\nE,1,1,1,2,2,2,2\n"
                                     "E,2,0,1,1,1,1,1.5\n")
    assert main(["report", str(run), "--replicates", "100"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["variants"]) == ["main", "base_b", "base_a"]  # how far their classes lie apart
    assert [(c["first"], c["second"]) for c in metrics["comparisons"]] == [("main", "base_b")]
    page = (run / "report.html").read_text()
    figure = page[page.index('id="ranking"') : page.index('id="roc"')]
    assert figure.index("Main") < figure.index("Base b") < figure.index("Base a")
    lesions = page[page.index('id="lesions"') : page.index('id="roc"')]
    assert lesions.count("data:image/png") == 2 and "malignant (1)" in lesions and "benign (1)" in lesions
