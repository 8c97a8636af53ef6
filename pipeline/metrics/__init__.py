"""How well scores tell malignant from not: ROC, thresholds, DeLong, patient-clustered bootstrap, calibration.

Everything here is plain numpy on labels and scores; reading predictions and writing the report is
`pipeline.report`'s.
"""

from pipeline.metrics.bootstrap import Auroc, Shares, holm, interval, p_value, replicates
from pipeline.metrics.calibration import calibration_error, reliability, wilson
from pipeline.metrics.delong import delong_covariance, delong_test, delong_variance, z_test
from pipeline.metrics.roc import (
    Curve,
    auroc,
    roc_band,
    roc_curve,
    sensitivity_at,
    sensitivity_threshold,
    specificity_threshold,
    youden_threshold,
)

__all__ = [
    "Auroc",
    "Curve",
    "Shares",
    "auroc",
    "calibration_error",
    "delong_covariance",
    "delong_test",
    "delong_variance",
    "holm",
    "interval",
    "p_value",
    "reliability",
    "replicates",
    "roc_band",
    "roc_curve",
    "sensitivity_at",
    "sensitivity_threshold",
    "specificity_threshold",
    "wilson",
    "youden_threshold",
    "z_test",
]
