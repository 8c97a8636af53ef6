"""What rendered tissue shows: the same anatomy at every matrix, lesions that stand out."""

from __future__ import annotations

import numpy as np
import pytest
from joblib import Parallel, delayed
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.phantoms.breast_mri import exams as breast_mri
from pipeline.phantoms.breast_mri.specs import draw_cohort

TINY = breast_mri.Preset((64, 64, 10), (4.8, 4.8, 12.0), (48, 48, 8), (6.4, 6.4, 15.0))


def render(spec, preset="demo"):
    return breast_mri.make_exam(spec, preset, np.random.default_rng([spec.seed, spec.index]))


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
    assert truth.sum() == 73 and features.shape == (180, 63)
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
