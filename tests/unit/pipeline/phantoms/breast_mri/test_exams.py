"""The synthetic breast MRI: the same for a seed, true in its geometry, malignant in the lesions alone."""

from __future__ import annotations

import csv
import math
from collections import Counter

import nibabel as nib
import numpy as np
import pytest
from joblib import Parallel, delayed
from scipy import ndimage, stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.__main__ import main
from pipeline.errors import InputError
from pipeline.phantoms.breast_mri import exams as breast_mri
from pipeline.phantoms.breast_mri.shapes import LesionShape, _even_directions
from pipeline.phantoms.breast_mri.specs import Lesion, draw_cohort

TINY = breast_mri.Preset((64, 64, 10), (4.8, 4.8, 12.0), (48, 48, 8), (6.4, 6.4, 15.0))
EXAM_COLUMNS = (
    "exam_id,patient_id,pre,post1,post2,post3,post4,t2,lesions_mask,left_malignant,left_benign,right_malignant,"
    "right_benign,group_density,reader1_left,reader1_right"
)
LESION_COLUMNS = "exam_id,lesion_id,side,x_mm,y_mm,z_mm,malignant,diameter_mm,kinetics,margin"


def render(spec, preset="demo"):
    return breast_mri.make_exam(spec, preset, np.random.default_rng([spec.seed, spec.index]))


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def large():
    return draw_cohort(1000, seed=3)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return breast_mri.write_cohort(tmp_path_factory.mktemp("cohort") / "a", TINY, exams=4, seed=5, workers=1,
                                   progress=False)


def test_shares_are_exact(large):
    breasts = Counter((s.label(side, 1), s.label(side, 0)) for s in large for side in "LR")
    assert breasts[1, 0] + breasts[1, 1] == 800 and breasts[0, 1] == 800 and breasts[0, 0] == 400
    patients = Counter(s.patient_id for s in large)
    assert Counter(patients.values()) == {1: 904, 2: 48}  # 48 of 952: 5.04 %
    assert sorted(s.exam_id for s in large) == [f"E{i:04d}" for i in range(1, 1001)]
    densities = Counter({s.patient_id: s.anatomy.density for s in large}.values())
    assert [densities[d] for d in "abcd"] == [95, 381, 381, 95]  # of 952


@pytest.mark.parametrize("exams", [1, 2, 3, 7])
def test_small_cohorts_come_as_near_as_whole_numbers_allow(exams):
    malignant = sum(s.label(side, 1) for s in draw_cohort(exams) for side in "LR")
    assert abs(malignant - 0.8 * exams) < 1


def test_two_exams_of_a_patient_share_anatomy_and_nothing_else(large):
    exams = {}
    for spec in large:
        exams.setdefault(spec.patient, []).append(spec)
    first, second = next(pair for pair in exams.values() if len(pair) == 2)
    assert first.anatomy == second.anatomy
    assert first.midline_mm != second.midline_mm and first.lesions != second.lesions


def test_lesions_differ_in_kinetics_and_margin_only(large):
    lesions = {m: [lesion for s in large for lesion in s.lesions if lesion.malignant == m] for m in (0, 1)}
    midline = {id(lesion): s.midline_mm for s in large for lesion in s.lesions}
    for of in (
        lambda x: x.diameter_mm,
        lambda x: abs(x.center_mm[0] - midline[id(x)]),
        lambda x: x.center_mm[1],
        lambda x: x.center_mm[2],
    ):
        assert stats.ks_2samp([of(x) for x in lesions[0]], [of(x) for x in lesions[1]]).pvalue > 0.01
    numbers = {0: Counter(), 1: Counter()}  # of lesions in a breast that has any, by its label
    for s in large:
        for side in "LR":
            if count := sum(x.side == side for x in s.lesions):
                numbers[s.label(side, 1)][count] += 1
    table = [[numbers[m][n] for n in (1, 2, 3)] for m in (0, 1)]
    assert set(numbers[0] | numbers[1]) == {1, 2, 3} and stats.chi2_contingency(table).pvalue > 0.01
    for malignant, kinetics, spiculated in ((0, (0.65, 0.28, 0.07), 0.2), (1, (0.07, 0.28, 0.65), 0.7)):
        found = Counter(x.kinetics for x in lesions[malignant])
        total = len(lesions[malignant])
        shares = [found[k] / total for k in ("persistent", "plateau", "washout")]
        assert np.allclose(shares, kinetics, atol=0.05)
        assert abs(np.mean([x.margin == "spiculated" for x in lesions[malignant]]) - spiculated) < 0.05
    assert all(math.isclose(np.mean(curve), 1, abs_tol=1e-9) for curve in breast_mri.CURVES.values())
    assert abs(breast_mri.SLOPE.sum()) < 1e-9


def test_lesions_lie_apart_and_inside_the_breast(large):
    diameters = []
    for spec in large:
        for n, lesion in enumerate(spec.lesions):
            radius = lesion.diameter_mm / 2
            u = np.array(lesion.center_mm) - [spec.midline_mm, 0, 0]
            assert (u[0] > 0) == (lesion.side == "R")  # RAS: the right breast has the greater x
            # Spicules stay off the skin and the chest wall.
            assert spec.anatomy.breasts[lesion.side].depth(u) > 1.5 * radius + 4.9
            assert spec.anatomy.chest_depth(u) < -1.5 * radius - 1.9
            for other in spec.lesions[:n]:
                gap = math.dist(lesion.center_mm, other.center_mm)
                assert gap > 0.75 * (lesion.diameter_mm + other.diameter_mm)
            diameters.append(lesion.diameter_mm)
    assert min(diameters) >= 5 and 20 < max(diameters) <= 25
    assert np.median(diameters) < 12  # skewed to small


def test_readers_see_the_truth_through_noise(large):
    truth = [s.label(side, 1) for s in large for side in "LR"]
    scores = [s.readers[side] for s in large for side in "LR"]
    assert set(scores) == {1, 2, 3, 4, 5}
    assert roc_auc_score(truth, scores) == pytest.approx(0.93, abs=0.015)


def test_margins_have_the_volume_of_their_diameter():
    for seed, margin in enumerate(("smooth", "spiculated") * 3):
        shape = LesionShape(Lesion("L", (0, 0, 0), 14.0, 0, "plateau", margin), np.random.default_rng(seed))
        extent = shape._extent(_even_directions(20000))
        volume = 4 / 3 * math.pi * (extent**3).mean()
        assert volume == pytest.approx(1436.755, rel=0.03)  # mm³, a ball 14 mm across
        assert extent.max() <= 1.5 * 7 + 1e-3
        assert (extent.std() / extent.mean() > 0.15) == (margin == "spiculated")


def test_tables_and_images_say_the_same(written):
    rows = list(csv.DictReader((written / "exams.csv").open()))
    lesions = list(csv.DictReader((written / "lesions.csv").open()))
    assert (written / "exams.csv").read_text().splitlines()[0] == EXAM_COLUMNS
    assert (written / "lesions.csv").read_text().splitlines()[0] == LESION_COLUMNS
    assert [row["exam_id"] for row in rows] == ["E0001", "E0002", "E0003", "E0004"]
    assert lesions
    for row in rows:
        pre, t2 = nib.load(written / row["pre"]), nib.load(written / row["t2"])
        mask = nib.load(written / "exams" / row["exam_id"] / "lesions_mask.nii.gz")
        assert pre.shape == mask.shape == (64, 64, 10) and t2.shape == (48, 48, 8)
        assert pre.get_data_dtype() == np.int16 and mask.get_data_dtype() == np.uint8
        assert nib.aff2axcodes(pre.affine) == nib.aff2axcodes(t2.affine) == ("L", "P", "S")
        assert np.allclose(mask.affine, pre.affine) and not np.allclose(t2.affine[:3, 3], pre.affine[:3, 3])
        direction = pre.affine[:3, :3] / [4.8, 4.8, 12]
        assert np.allclose(direction.T @ direction, np.eye(3), atol=1e-5)
        assert 0.2 < np.degrees(np.arccos((-direction[0, 0] - direction[1, 1] + direction[2, 2] - 1) / 2)) < 4
        own = [x for x in lesions if x["exam_id"] == row["exam_id"]]
        array = np.asanyarray(mask.dataobj)
        assert set(np.unique(array)) == {0, *(int(x["lesion_id"]) for x in own)}
        for x in own:
            point = np.array([float(x[f"{axis}_mm"]) for axis in "xyz"] + [1])
            voxel = np.rint(np.linalg.inv(pre.affine) @ point)[:3].astype(int)
            assert array[tuple(voxel)] == int(x["lesion_id"])
            in_t2 = (np.linalg.inv(t2.affine) @ point)[:3]
            assert (in_t2 > 0).all() and (in_t2 < np.array(t2.shape) - 1).all()
        for side, name in (("L", "left"), ("R", "right")):
            for malignant, label in (("1", "malignant"), ("0", "benign")):
                expected = any(x["side"] == side and x["malignant"] == malignant for x in own)
                assert row[f"{name}_{label}"] == str(int(expected))


def test_same_seed_same_bytes_whatever_the_workers(written, tmp_path):
    again = breast_mri.write_cohort(tmp_path / "b", TINY, exams=4, seed=5, workers=2, progress=False)
    assert contents(again) == contents(written)
    other = breast_mri.write_cohort(tmp_path / "c", TINY, exams=1, seed=6, workers=1, progress=False)
    for name in breast_mri.PHASES:
        path = f"exams/E0001/{name}.nii.gz"
        assert (other / path).read_bytes() != (written / path).read_bytes()


def test_a_stopped_run_goes_on(tmp_path):
    folder = breast_mri.write_cohort(tmp_path / "a", TINY, exams=2, seed=5, workers=1, progress=False)
    before = contents(folder)
    kept = folder / "exams/E0002/pre.nii.gz"
    stamp = kept.stat().st_mtime_ns
    (folder / "exams/E0001").rename(folder / "exams/.E0001.left")  # as a kill leaves it
    breast_mri.write_cohort(folder, TINY, exams=2, seed=5, workers=1, progress=False)
    assert contents(folder) == before
    assert kept.stat().st_mtime_ns == stamp


def test_another_cohort_in_the_folder_is_refused(written, tmp_path):
    before = contents(written)
    with pytest.raises(InputError, match="seed 5, not 6") as caught:
        breast_mri.write_cohort(written, TINY, exams=4, seed=6, workers=1, progress=False)
    assert "\n" not in str(caught.value) and "--output" in str(caught.value)
    with pytest.raises(InputError, match="exams 4, not 5"):
        breast_mri.write_cohort(written, TINY, exams=5, seed=5, workers=1, progress=False)
    assert contents(written) == before
    (tmp_path / "thesis.tex").write_text("dear reader")
    with pytest.raises(InputError, match="not empty"):
        breast_mri.write_cohort(tmp_path, TINY, exams=1, progress=False)
    with pytest.raises(InputError, match="cannot be used"):
        breast_mri.write_cohort(tmp_path / "thesis.tex", TINY, exams=1, progress=False)


@pytest.mark.parametrize("wrong", [{"exams": 0}, {"seed": -1}, {"workers": 0}, {"preset": "huge"}])
def test_numbers_out_of_range_are_refused(wrong, tmp_path):
    with pytest.raises(InputError):
        breast_mri.write_cohort(tmp_path / "a", **{"preset": TINY, **wrong}, progress=False)
    assert not (tmp_path / "a").exists()


def test_command(tmp_path, capsys):
    command = ["phantom", "breast_mri", "-o", str(tmp_path / "a"), "--exams", "1", "--workers", "1"]
    assert main(command) == 0
    assert "exams.csv" in capsys.readouterr().out
    assert nib.load(tmp_path / "a/exams/E0001/post4.nii.gz").shape == (192, 192, 20)
    assert main([*command, "--seed", "1"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")


def test_presets_show_the_same_anatomy():
    spec = next(s for s in draw_cohort(10, 1) if s.lesions)
    coarse, fine = render(spec, TINY), render(spec)
    points = np.array(np.meshgrid([-60, 0, 60], [-40, 20, 120], [-20, 10], indexing="ij")).reshape(3, -1)
    bright = []
    for exam in (coarse, fine):
        index = np.linalg.inv(exam["affine"]) @ np.vstack([points, np.ones(points.shape[1])])
        values = ndimage.map_coordinates(exam["pre"].astype(float), index[:3], order=1)
        bright.append(values > exam["pre"].max() / 8)
    assert (bright[0] == bright[1]).mean() > 0.85  # edges may fall otherwise
    assert not bright[1][points[1] > 100].any()  # air in front of the breasts


def lesion_values(spec, exam):
    """Of each lesion: malignant, post4 − post1, enhancement, enhancement around it, pre, T2."""
    image = {name: exam[name].astype(np.float32) for name in (*breast_mri.PHASES, "t2")}
    enhancement = sum(image[f"post{i}"] for i in (1, 2, 3, 4)) / 4 - image["pre"]
    rows = []
    for number, lesion in enumerate(spec.lesions, start=1):
        mask = exam["lesions_mask"] == number
        around = ndimage.binary_dilation(mask, np.ones((3, 3, 1)), iterations=5) & (exam["lesions_mask"] == 0)
        around &= ~ndimage.binary_dilation(mask, np.ones((3, 3, 1)), iterations=2)
        t2_index = np.linalg.inv(exam["t2_affine"]) @ [*lesion.center_mm, 1]
        t2 = ndimage.map_coordinates(image["t2"], t2_index[:3, None], order=1)[0]
        washout = (image["post4"] - image["post1"])[mask].mean()
        inside, outside = enhancement[mask].mean(), enhancement[around].mean()
        rows.append([lesion.malignant, washout, inside, outside, image["pre"][mask].mean(), t2])
    return rows


def half_values(spec, exam):
    """Simple statistics of each half of the images, split at the patient's midline."""
    image = {name: exam[name].astype(np.float32) for name in (*breast_mri.PHASES, "t2")}
    pairs = (("post1", "pre"), ("post4", "post1"), ("post4", "pre"))
    volumes = [image[name] for name in breast_mri.PHASES] + [image[a] - image[b] for a, b in pairs]
    rows = []
    for side in "LR":
        row = []
        for volume, affine in (*((v, exam["affine"]) for v in volumes), (image["t2"], exam["t2_affine"])):
            i, j, k = np.indices(volume.shape, sparse=True)
            x = affine[0, 0] * i + affine[0, 1] * j + affine[0, 2] * k + affine[0, 3]
            half = volume[(x > spec.midline_mm) == (side == "R")]
            row += [half.mean(), half.std(), *np.percentile(half, [1, 50, 90, 99, 99.9])]
        rows.append(row)
    return rows


def measure(spec):
    exam = render(spec)
    return half_values(spec, exam), lesion_values(spec, exam)


def test_lesions_stand_out_from_what_is_around_them():
    specs = [s for s in draw_cohort(30, 2) if s.lesions][:5]
    values = np.array([row for s in specs for row in lesion_values(s, render(s))])
    assert len(values) >= 6
    assert (values[:, 2] > 1.5 * values[:, 3] + 10).mean() > 0.9


@pytest.mark.slow
def test_malignancy_shows_in_lesions_and_not_in_whole_breasts():
    specs = draw_cohort(90, 0)
    measured = Parallel(n_jobs=2)(delayed(measure)(spec) for spec in specs)

    features = np.array([row for halves, _ in measured for row in halves])
    truth = np.array([spec.label(side, 1) for spec in specs for side in "LR"])
    patients = np.repeat([spec.patient for spec in specs], 2)
    assert truth.sum() == 72 and features.shape == (180, 63)
    for strength in (1.0, 0.01):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
        scores = cross_val_predict(model, features, truth, groups=patients, cv=folds, method="predict_proba")
        assert roc_auc_score(truth, scores[:, 1]) <= 0.65

    malignant, washout, enhancement, around, pre, t2 = np.array([r for _, rows in measured for r in rows]).T
    assert roc_auc_score(malignant, -washout) > 0.75
    assert np.mean(enhancement > around) > 0.95 and enhancement.mean() > 3 * around.mean()
    for same in (enhancement, pre, t2):  # what must not tell them apart; 0.12 is three standard errors
        assert abs(roc_auc_score(malignant, same) - 0.5) < 0.12
