"""The file of regions, and the pictures for the report, of one batch worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.explain.stacks import load_stack
from pipeline.mammography.regions import known
from pipeline.mammography.write_regions import WriteRegions

ABOUT = {"schema": "breast-bundles/regions/1", "model": "0", "width": 50, "size": 50, "fold": 0}


def batch() -> SimpleNamespace:
    """Two pictures of 200 × 100 pixels, scaled to 100 × 50, of which rows 25 to 74 were seen; attention at (25, 20)."""
    maps = torch.zeros(2, 50, 50)
    maps[:, 25, 20] = 1.0
    two = {"exam_id": ["E1", "E2"], "image_id": ["L-CC", "L-CC"], "split": ["test", "train"], "sha256": ["digest"] * 2,
           "malignant": [1, 0],
           "detection": ["screen", "negative"], "frame": [[200, 100, 0, 0]] * 2, "corner": [(25, 0)] * 2,
           "boxes": [[[96, 36, 104, 46, 1], [0, 0, 10, 10, 0]], []], "image": torch.rand(2, 1, 50, 50)}
    return SimpleNamespace(state=SimpleNamespace(
        batch=two, output={"pred": {"maps": maps, "scores": torch.tensor([1.0, -1.0])}}))


def test_centers_in_native_pixels_and_a_picture_of_test_images(tmp_path) -> None:
    handler = WriteRegions(tmp_path / "regions.json", ABOUT, region=20)
    engine = batch()
    handler.start(engine)
    handler.collect(engine)
    handler.write(engine)
    # Half a scaled pixel is one of the file's: (25 + 25 + 0.5) · 2 − 0.5 and (20 + 0.5) · 2 − 0.5.
    assert known(tmp_path / "regions.json", ABOUT)["E1/L-CC"] == {
        "center": [100.5, 40.5], "score": 1.0, "array": "digest"}
    assert [p.name for p in (tmp_path / "maps").iterdir()] == ["E1_L-CC.npz"]
    with np.load(tmp_path / "maps" / "E1_L-CC.npz") as picture:
        # The region has rows 91 to 110 and columns 31 to 50 of the file; half of that, less the 25 rows not seen.
        np.testing.assert_allclose(picture["box"], [20.5, 15.5, 30.5, 25.5], atol=0.5)
        assert picture["box"][2] - picture["box"][0] == pytest.approx(10)
        np.testing.assert_allclose(picture["points"], [[20.0, 24.5]])  # column, row; the other finding was not seen
        assert picture["label"] == 1 and picture["score"] == pytest.approx(0.731059, abs=1e-6)
        assert np.unravel_index(picture["heat"].argmax(), (50, 50)) == (23, 18)  # first of the 5 × 5


def test_a_picture_of_every_test_image_where_asked(tmp_path) -> None:
    handler = WriteRegions(tmp_path / "regions.json", ABOUT, region=20, shown=0, stacks=True)
    engine = batch()
    handler.start(engine)
    handler.collect(engine)
    assert not (tmp_path / "maps").exists()
    (path,) = (tmp_path / "stacks").iterdir()  # the other image trains
    found = load_stack(path)
    assert found.names == {"exam_id": "E1", "side": "L", "image_id": "L-CC"} and found.image.shape == (1, 50, 50)
    np.testing.assert_allclose(found.points, [[20.0, 24.5, 0.0]])
    assert found.heat is not None and np.unravel_index(found.heat.argmax(), found.heat.shape) == (0, 23, 18)
