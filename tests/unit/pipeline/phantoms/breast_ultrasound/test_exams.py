"""The synthetic ultrasound: the same for a seed, true in its geometry, speckle as physics has it, lesions local."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_lists.__main__ import main as convert
from pipeline.__main__ import main
from pipeline.datalist import load
from pipeline.errors import InputError
from pipeline.phantoms.breast_ultrasound import exams as ultrasound
from pipeline.phantoms.breast_ultrasound.echo import Beam
from pipeline.phantoms.breast_ultrasound.specs import draw_cohort
from pipeline.verify import verify
from transforms.grid import Grid
from transforms.load import read_image

TINY = ultrasound.Preset((48, 64, 24), (2.4, 0.7, 4.5), Beam(0.5, (1.2, 2.0), 2.2))


DEMO = ultrasound.PRESETS["demo"]


def render(spec, preset=TINY):
    return ultrasound.make_exam(spec, preset, np.random.default_rng([spec.seed, spec.index]))


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return ultrasound.write_cohort(tmp_path_factory.mktemp("cohort") / "a", TINY, exams=12, seed=5, workers=1,
                                   progress=False)


def test_same_command_same_files_whatever_the_workers_and_after_a_stop(written, tmp_path):
    again = ultrasound.write_cohort(tmp_path / "b", TINY, exams=12, seed=5, workers=2, progress=False)
    expected = contents(written)
    assert contents(again) == expected
    for path in (again / "exams" / "E0003").iterdir():
        path.unlink()
    (again / "exams" / "E0003").rmdir()
    assert contents(ultrasound.write_cohort(again, TINY, exams=12, seed=5, progress=False)) == expected
    with pytest.raises(InputError, match="another cohort"):
        ultrasound.write_cohort(again, TINY, exams=12, seed=6, progress=False)


def test_files_become_a_datalist_without_issues(written, tmp_path):
    arguments = ["csv", str(written / "exams.csv"), "--lesions", str(written / "lesions.csv"), "--root", str(written),
                 "--modality", "US", "--folds", "3", "-o", str(tmp_path / "list.json")]
    assert convert(arguments) == 0
    datalist = load(tmp_path / "list.json")
    assert datalist.modality == "US" and len(datalist.exams) == 12
    for exam in datalist.exams:
        assert list(exam.images) == ["image", "lesions_mask"] and len(exam.breasts) == 1
        (side, breast), = exam.breasts.items()
        assert {lesion.side for lesion in exam.lesions} <= {side}
        assert bool(exam.lesions) == any(breast.values())  # healthy: both labels 0
    issues = verify(datalist, workers=1)
    assert not [issue for issue in issues if not issue.code.startswith("fold")]  # so few exams leave folds of one class


def test_centres_lie_in_their_lesions_in_the_files_own_space(written):
    with (written / "lesions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        image, mask = (read_image(written / "exams" / row["exam_id"] / f"{n}.nrrd") for n in ("image", "lesions_mask"))
        assert image.array.shape == mask.array.shape == TINY.shape and image.array.dtype == np.uint8
        assert np.array_equal(image.affine, mask.affine)
        grid = Grid(TINY.shape, image.affine)
        assert grid.spacing == pytest.approx(TINY.spacing, rel=1e-5)
        index = np.rint(grid.to_index([float(row[f"{a}_mm"]) for a in "xyz"])).astype(int)
        assert mask.array[tuple(index)] == int(row["lesion_id"])
        assert grid.to_world([0, 0, 0])[1] > grid.to_world([0, 60, 0])[1]  # depth runs to posterior


def test_written_affine_is_the_rendered_one():
    spec = draw_cohort(8, DEMO.field)[0]
    exam = render(spec)
    assert np.array_equal(exam["affine"], ultrasound.affine_of(spec, TINY))
    assert np.linalg.det(exam["affine"][:3, :3]) == pytest.approx(2.4 * 0.7 * 4.5, rel=1e-4)


def test_lesions_hide_from_whole_volumes_and_show_where_they_are():
    specs = draw_cohort(100, TINY.field)
    features, contrast = [], []
    for spec in specs:
        exam = render(spec)
        image, mask = exam["image"], exam["lesions_mask"]
        features.append([image.mean(), image.std(), *np.percentile(image, (1, 5, 10, 25, 50, 75, 90, 95, 99))])
        places = TINY.frame.axes()
        for lesion in spec.lesions:
            u, d, s = (a - p for a, p in zip(places, lesion.place, strict=True))
            radius = np.sqrt(u**2 + d**2 + s**2).T
            level = (abs(d) < lesion.diameter_mm / 2).T
            inner = image[radius <= max(0.35 * lesion.diameter_mm, 2.7)].mean()
            around = level & (radius > 0.8 * lesion.diameter_mm) & (radius < 1.4 * lesion.diameter_mm) & (mask == 0)
            contrast.append(image[around].mean() - inner)
    truth = np.array([bool(spec.lesions) for spec in specs])
    patients = [spec.patient_id for spec in specs]
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000))
    scores = cross_val_predict(model, np.array(features), truth, groups=patients, cv=folds, method="predict_proba")
    assert roc_auc_score(truth, scores[:, 1]) <= 0.65
    assert np.mean(np.array(contrast) > 10) > 0.95 and np.mean(contrast) > 35


def test_command_and_what_it_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setitem(ultrasound.PRESETS, "demo", TINY)
    assert main(["phantom", "breast_ultrasound", "-o", str(tmp_path / "a"), "--exams", "2", "--workers", "1"]) == 0
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["README.txt", "exams", "exams.csv", "lesions.csv",
                                                                 "phantom.json"]
    capsys.readouterr()
    for wrong in (["--exams", "0"], ["--seed", "-1"]):
        assert main(["phantom", "breast_ultrasound", "-o", str(tmp_path / "b"), *wrong]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(InputError, match="no preset"):
        ultrasound.write_cohort(tmp_path / "c", "huge")
