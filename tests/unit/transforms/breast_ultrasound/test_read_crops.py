"""Parts of stored crops."""

from __future__ import annotations

import numpy as np
import pytest

from transforms import InputError, LoadCropd


def test_parts_of_stored_crops(tmp_path):
    stored = np.arange(4 * 6 * 8, dtype=np.float16).reshape(1, 4, 6, 8)
    np.save(tmp_path / "crop.npy", stored)
    case = {"image": tmp_path / "crop.npy"}
    center = LoadCropd("image", (2, 4, 4), "center")(case)["image"]
    assert np.array_equal(center, stored[:, 1:3, 1:5, 2:6])
    assert np.array_equal(LoadCropd("image", (2, 4, 4))({**case, "view": "full"})["image"], stored)
    draw = LoadCropd("image", (2, 4, 4))
    draw.set_random_state(seed=1)
    firsts = {int(draw(case)["image"][0, 0, 0, 0]) for _ in range(400)}
    assert len(firsts) == 3 * 3 * 5, "every place is drawn, the last ones too"
    with pytest.raises(InputError, match="fewer than shape"):
        LoadCropd("image", (5, 4, 4))(case)
