"""What an evaluation of volumes wrote, scored for the report."""

from __future__ import annotations

import json

import numpy as np
import pytest


def test_a_lesions_points_reach_the_report(tmp_path) -> None:
    """`points` scores what an evaluation wrote: both peaks 3 mm off their centres, none within 2 mm."""
    from pipeline.report.parts.points import points

    class Run:
        folder, variants, tested = tmp_path, ["full"], [5]

        def place(self, variant: str, fold: int):
            return tmp_path

    affine = np.eye(4).tolist()
    listed = [{"patient_id": f"P{i}", "spots": [[10.0 + i, 20, 30, 0.9], [40, 40, 40, 0.2]], "shape": [64, 64, 64],
               "affine": affine, "centers": [[10.0 + i, 23, 30]], "boxes": None} for i in range(2)]
    (tmp_path / "volumes.json").write_text(json.dumps(listed))
    found = points(Run(), 200, 0)  # type: ignore[arg-type]
    shares = {row["radius_mm"]: row["value"] for row in found["pointing"]}
    assert shares[5.0] == 1.0 and found["peak_mm"]["value"] == pytest.approx(3.0) and found["lesions"] == 2
