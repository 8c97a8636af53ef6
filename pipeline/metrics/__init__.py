"""How well scores tell malignant from not, and how well maps point to lesions, with patient-clustered intervals.

Everything here is plain numpy on labels and scores; reading predictions and writing the report is
`pipeline.report`'s.
"""

from pipeline.metrics.area_interval import area_interval, on_logits, score_ends
from pipeline.metrics.average_precision import AveragePrecision
from pipeline.metrics.bootstrap import Auroc, Medians, Shares, Weighted, holm, interval, p_value, replicates
from pipeline.metrics.calibration import calibration_error, reliability, wilson
from pipeline.metrics.delong import delong_covariance, delong_test, delong_variance, z_test
from pipeline.metrics.ensemble import Selected, ensemble_selection
from pipeline.metrics.froc import Froc
from pipeline.metrics.hot_spots import HotSpots, hot_spots
from pipeline.metrics.localisation import Volume, in_boxes, in_mask, localise, random_point_share, shuffled
from pipeline.metrics.matched import Matched
from pipeline.metrics.roc import (
    Curve,
    auroc,
    roc_band,
    roc_curve,
    sensitivity_threshold,
    specificity_threshold,
    youden_threshold,
)
from pipeline.metrics.selection import Chosen, best_of

__all__ = [
    "Auroc",
    "AveragePrecision",
    "Chosen",
    "Curve",
    "Froc",
    "HotSpots",
    "Matched",
    "Medians",
    "Selected",
    "Shares",
    "Volume",
    "Weighted",
    "area_interval",
    "auroc",
    "best_of",
    "calibration_error",
    "delong_covariance",
    "delong_test",
    "delong_variance",
    "ensemble_selection",
    "holm",
    "hot_spots",
    "in_boxes",
    "in_mask",
    "interval",
    "localise",
    "on_logits",
    "p_value",
    "random_point_share",
    "reliability",
    "replicates",
    "roc_band",
    "roc_curve",
    "score_ends",
    "sensitivity_threshold",
    "shuffled",
    "specificity_threshold",
    "wilson",
    "youden_threshold",
    "z_test",
]
