"""Grey values alone tell nothing."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from pipeline.phantoms.mammography import exams as mammography
from pipeline.phantoms.mammography.exams import VIEWS, make_exam
from pipeline.phantoms.mammography.specs import draw_cohort

DEMO = mammography.PRESETS["demo"]


QUANTILES = (1, 25, 50, 75, 95, 99)


def test_grey_values_alone_tell_nothing() -> None:
    """Neither mean, spread, percentiles nor the breast's area find the malignant breasts."""
    values, labels = [], []
    for spec in draw_cohort(DEMO.exams, DEMO.shares, DEMO.diameters):
        if spec.detection == "negative":  # the other breasts of the patients with cancer are controls enough
            continue
        images = make_exam(spec, DEMO)
        for breast in spec.breasts:
            tissue = np.concatenate([(image := images[f"{breast.side}-{view}"])[image > 0] for view in VIEWS])
            values.append([tissue.mean(), tissue.std(), tissue.size, *np.percentile(tissue, QUANTILES)])
            labels.append(breast.malignant)
    for statistic in np.array(values).T:
        area = roc_auc_score(labels, statistic)
        assert max(area, 1 - area) <= 0.65
