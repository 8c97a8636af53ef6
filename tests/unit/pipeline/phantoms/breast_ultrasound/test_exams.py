"""The synthetic ultrasound: the same for a seed, true in its geometry, speckle as physics has it, lesions local."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
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
from pipeline.phantoms.breast_ultrasound.echo import Beam, acquire
from pipeline.phantoms.breast_ultrasound.specs import DIAMETERS, draw_cohort
from pipeline.phantoms.breast_ultrasound.tissue import Frame, lerp
from pipeline.verify import verify
from transforms.grid import Grid
from transforms.load import read_image

TINY = ultrasound.Preset((48, 64, 24), (2.4, 0.7, 4.5), Beam(0.5, (1.2, 2.0), 2.2))
DEMO = ultrasound.PRESETS["demo"]


def render(spec, preset=TINY):
    return ultrasound.make_exam(spec, preset, np.random.default_rng([spec.seed, spec.index]))


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def one_lesion(**changes):
    """A specimen with one round lesion, and the index of its centre."""
    spec = next(s for s in draw_cohort(60, DEMO.field) if len(s.lesions) == 1)
    lesion = replace(spec.lesions[0], diameter_mm=12.0, margin="smooth", stretch=1.0, **changes)
    index = np.rint(DEMO.frame.grid().index(np.array(lesion.place))).astype(int)
    return replace(spec, lesions=(lesion,)), index


@pytest.fixture(scope="module")
def large():
    return draw_cohort(1000, DEMO.field, seed=3)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return ultrasound.write_cohort(tmp_path_factory.mktemp("cohort") / "a", TINY, exams=12, seed=5, workers=1,
                                   progress=False)


def test_patients_have_one_or_two_volumes_and_are_healthy_or_diseased(large):
    patients = Counter(s.patient_id for s in large)
    assert Counter(patients.values()) == {1: 112, 2: 444}  # 444 of 556: 80 %
    assert sorted(s.exam_id for s in large) == [f"E{i:04d}" for i in range(1, 1001)]
    assert 0.35 < np.mean([bool(s.lesions) for s in large]) < 0.42  # the paper: 348 of 904 volumes
    diseased = {s.patient_id for s in large if s.lesions}
    assert len(diseased) == pytest.approx(0.55 * 556, abs=3)  # the paper: 255 of 457 patients
    for first, second in itertools.pairwise(large):
        if first.patient_id == second.patient_id:
            assert {first.side, second.side} == {"L", "R"} and first.layers == second.layers


def test_lesions_lie_in_the_breast_and_differ_by_margin_and_what_is_behind(large):
    lesions = [(s, lesion) for s in large for lesion in s.lesions]
    for spec, lesion in lesions:
        u, d, s = lesion.place
        reach = lesion.diameter_mm / 2
        _, _, chest = spec.layers.depths(np.array(u), np.array(s), spec.nipple)
        assert spec.layers.skin + reach < d < chest - reach
        assert np.hypot(u - spec.nipple[0], s - spec.nipple[1]) > reach + 6.9
        assert DIAMETERS[0] <= lesion.diameter_mm <= DIAMETERS[1]
    kinds = {m: [lesion for _, lesion in lesions if lesion.malignant == m] for m in (0, 1)}
    assert 0.4 < len(kinds[1]) / len(lesions) < 0.6
    for of in (lambda x: x.diameter_mm, lambda x: x.place[1], lambda x: x.echo_db):
        assert stats.ks_2samp([of(x) for x in kinds[0]], [of(x) for x in kinds[1]]).pvalue > 0.01
    for malignant, irregular, shadow in ((0, 0.2, 0.15), (1, 0.75, 0.65)):
        found = kinds[malignant]
        assert np.mean([x.margin == "irregular" for x in found]) == pytest.approx(irregular, abs=0.1)
        assert np.mean([x.posterior == "shadow" for x in found]) == pytest.approx(shadow, abs=0.1)


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


@pytest.mark.parametrize("margin", ["smooth", "irregular"])
def test_masks_have_the_volume_of_their_diameter(margin):
    spec, index = one_lesion()
    spec = replace(spec, lesions=(replace(spec.lesions[0], margin=margin, stretch=1.15),))
    mask = render(spec, DEMO)["lesions_mask"]
    assert mask[tuple(index)] == 1
    assert mask.sum() * np.prod(DEMO.spacing) == pytest.approx(np.pi / 6 * 12**3, rel=0.15)
    if margin == "smooth":  # wider than tall
        sizes = [np.ptp(axis) * step for axis, step in zip(np.nonzero(mask), DEMO.spacing, strict=True)]
        assert sizes[0] > 1.2 * sizes[1]


def test_speckle_of_even_tissue_is_rayleigh_and_longest_along_the_sweep():
    frame = Frame((100, 200, 40), (0.5, 0.2, 0.6))
    beam = Beam(0.2, (0.5, 0.9), 1.2, noise_db=-200)
    flat = np.zeros(frame.shape[::-1], np.float32)
    image = acquire(flat, flat, frame, frame, beam, 0.0, np.random.default_rng(0))
    level = image.astype(float) * beam.range_db / 255
    inside = level[:, 20:-20, 20:-20]
    assert inside.std() == pytest.approx(20 / np.log(10) * np.pi / np.sqrt(24), rel=0.05)  # 5.57 dB
    by_depth = inside.mean(axis=(0, 2)).reshape(8, 20).mean(axis=1)
    assert np.ptp(by_depth) < 0.7  # the beam keeps its energy in and out of focus

    def reach(axis):
        """Distance in mm at which the amplitudes' correlation has fallen to one half."""
        moved = np.moveaxis(10 ** (inside / 20), axis, 0)
        moved = moved - moved.mean()
        lags = [np.mean(moved[k:] * moved[: len(moved) - k]) for k in range(12)]
        spacing = frame.spacing[::-1][axis]
        return np.interp(0.5, (np.array(lags) / lags[0])[::-1], np.arange(12)[::-1] * spacing)

    along_sweep, along_depth, sideways = (reach(axis) for axis in range(3))
    assert along_sweep > 1.2 * sideways > 1.5 * along_depth
    wide, focused = (10 ** (level[:, rows] / 20) for rows in (slice(170, 190), slice(80, 100)))
    change = [np.corrcoef(part[..., 1:].ravel(), part[..., :-1].ravel())[0, 1] for part in (wide, focused)]
    assert change[0] > change[1] + 0.1  # away from the focus the beam is wider


def test_image_does_not_depend_on_slabs_and_noise_grows_with_depth(monkeypatch):
    frame = Frame((40, 150, 30), (0.8, 0.3, 1.5))
    dark = np.full(frame.shape[::-1], -80, np.float32)
    zero = np.zeros_like(dark)
    beam = Beam(0.3, (0.8, 1.2), 1.5, noise_db=-30)
    image = acquire(dark, zero, frame, frame, beam, 0.0, np.random.default_rng(1))
    assert image[:, -40:].mean() > image[:, :40].mean() + 10
    monkeypatch.setattr("pipeline.phantoms.breast_ultrasound.echo._SLAB", 7)
    assert np.array_equal(acquire(dark, zero, frame, frame, beam, 0.0, np.random.default_rng(1)), image)


def test_lerp_equals_numpy_along_every_axis():
    array = np.random.default_rng(0).random((5, 6, 7)).astype(np.float32)
    at = np.array([-1.0, 0.25, 3.5, 9.0])
    first, last = lerp(array, [at, np.arange(6), np.arange(7)]), lerp(array, [np.arange(5), np.arange(6), at])
    assert first[:, 2, 3] == pytest.approx(np.interp(at, range(5), array[:, 2, 3]))
    assert last[1, 2] == pytest.approx(np.interp(at, range(7), array[1, 2]))


def test_a_lesion_changes_its_place_and_what_lies_behind_it_and_nothing_else():
    change = {}
    for posterior, loss in (("shadow", 15.0), ("none", 0.0), ("enhancement", -6.0)):
        spec, (i, j, k) = one_lesion(posterior=posterior, behind_db=loss)
        with_it, without = (render(s, DEMO)["image"].astype(float) for s in (spec, replace(spec, lesions=())))
        difference = with_it - without
        assert difference[i - 2 : i + 3, j - 5 : j + 6, k - 1 : k + 2].mean() < -25
        far = np.ones(difference.shape, bool)
        far[i - 15 : i + 16, j - 30 :, max(k - 8, 0) : k + 9] = False
        assert not difference[far].any()
        change[posterior] = difference[i - 2 : i + 3, j + 22 : j + 34, k - 1 : k + 2].mean()
    assert change["shadow"] < -30 and abs(change["none"]) < 12 and change["enhancement"] > 12


def test_nipple_and_ribs_throw_shadows():
    nipple, shaded = [], []
    for spec in draw_cohort(6, DEMO.field):
        image = render(replace(spec, lesions=()), DEMO)["image"].astype(float)
        i, _, k = np.rint(DEMO.frame.grid().index(np.array([spec.nipple[0], 0, spec.nipple[1]]))).astype(int)
        column = image[i - 2 : i + 3, 30:90, k - 1 : k + 2].mean()
        nipple.append(column - image[:, 30:90].mean())
        # Behind the chest wall the brightness along the sweep comes and goes with the ribs.
        deep = image[40:90, -8:].mean(axis=(0, 1))
        shaded.append(np.ptp(deep))
    assert np.mean(nipple) < -15 and np.median(shaded) > 30


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
