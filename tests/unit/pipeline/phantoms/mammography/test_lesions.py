"""Findings lie in their boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.phantoms.mammography import exams as mammography
from pipeline.phantoms.mammography.exams import IMAGES, Preset, boxes_of, make_exam
from pipeline.phantoms.mammography.specs import ExamSpec, draw_cohort

DEMO = mammography.PRESETS["demo"]


HALF = Preset((128, 104), 1.82, 30, DEMO.diameters)


def without_findings(spec: ExamSpec) -> ExamSpec:
    left, right = (replace(breast, findings=()) for breast in spec.breasts)
    return replace(spec, breasts=(left, right))


def test_findings_lie_in_their_boxes_at_one_depth() -> None:
    seen = 0
    for spec in draw_cohort(HALF.exams, HALF.shares, HALF.diameters, seed=1):
        boxes = boxes_of(spec, HALF)
        if not boxes:
            continue
        images, healthy = make_exam(spec, HALF), make_exam(without_findings(spec), HALF)
        for name in IMAGES:
            change = np.abs(images[name].astype(int) - healthy[name])
            inside = np.zeros(change.shape, bool)
            for box in (b for b in boxes if b.view == name):
                where = np.s_[box.row_min : box.row_max, box.col_min : box.col_max]
                inside[where] = True
                assert change[where].max() > 100 or spec.detection == "interval"
                seen += 1
            assert change[~inside].sum() <= 0.05 * change.sum()
        for box in boxes:
            other = next(b for b in boxes if b.lesion_id == box.lesion_id and b.view != box.view)
            assert box.view[0] == other.view[0] and box.malignant == other.malignant
            assert abs(box.col_min + box.col_max - other.col_min - other.col_max) * HALF.spacing / 2 < 8  # mm
    assert seen > 20
