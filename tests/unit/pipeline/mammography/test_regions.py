"""Regions of attention: kept a model, never found twice, and whether they hold a lesion."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import InputError
from pipeline.explain.stacks import save_stack
from pipeline.mammography import regions
from transforms.mammography.scale import fit_square, region_around


def cases() -> list[dict[str, Any]]:
    """Two images with their prepared arrays' digests."""
    return [{"exam_id": "E1", "image_id": "L-CC", "sha256": "a"}, {"exam_id": "E1", "image_id": "L-MLO", "sha256": "b"}]


def found(case: dict[str, Any]) -> dict[str, Any]:
    return {"E1/L-CC": {"center": [3.0, 4.0], "score": -0.5, "array": case["sha256"]}}


@pytest.fixture
def model(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "holistic.pt")
    return tmp_path / "holistic.pt"


def test_what_a_model_found_is_not_found_again(tmp_path, model) -> None:
    path, about, both = tmp_path / "regions.json", regions.identity(model, 976, 976, 0), cases()
    assert regions.unknown(both, path, about) == both
    regions.save(path, about, found(both[0]))
    assert regions.unknown(both, path, about) == both[1:]
    assert regions.unknown(both, path, {**about, "width": 488}) == both  # another input, other centres
    assert regions.unknown([{**both[0], "sha256": "another image"}], path, about)
    path.write_text(path.read_text().replace("3.0", "3.5"))
    assert regions.unknown(both, path, about) == both  # changed by hand: not believed
    with pytest.raises(InputError, match=r"regions\.json: was changed since it was written"):
        regions.with_centers(both, path, 0)
    regions.save(path, about, found(both[0]))
    torch.save({"weight": torch.zeros(2)}, model)
    assert regions.unknown(both, path, regions.identity(model, 976, 976, 0)) == both


def test_a_picture_that_was_not_kept_is_made_where_it_is_asked_for_later(tmp_path, model) -> None:
    path, about = tmp_path / "regions.json", regions.identity(model, 976, 976, 0)
    test, train = ({**case, "split": split} for case, split in zip(cases(), ("test", "train"), strict=True))
    regions.save(path, about, found(test) | {"E1/L-MLO": {"center": [1.0, 2.0], "score": 0.0, "array": "b"}})
    assert regions.unknown([test, train], path, about) == []
    assert regions.unknown([test, train], path, about, stacks=True) == [test]
    save_stack(tmp_path, regions.stack_names(test), np.zeros((1, 4, 4)), None)
    assert regions.unknown([test, train], path, about, stacks=True) == []


def test_cases_get_their_centers_or_one_line(tmp_path, model) -> None:
    path, about, both = tmp_path / "regions.json", regions.identity(model, 976, 976, 2), cases()
    with pytest.raises(InputError, match=r"no such file of regions; run regions\.yaml"):
        regions.with_centers(both, path, 2)
    regions.save(path, about, found(both[0]))
    (case,) = regions.with_centers(both[:1], path, 2, model, 976, 976)
    assert case["center"] == [3.0, 4.0] and case["holistic"] == -0.5
    with pytest.raises(InputError, match="exam E1, L-MLO is not in it"):
        regions.with_centers(both, path, 2)
    with pytest.raises(InputError, match="another holistic model"):
        regions.with_centers(both[:1], path, 2, model, 488, 976)
    with pytest.raises(InputError, match=r"regions\.json: of fold 2, this is fold 1"):
        regions.with_centers(both[:1], path, 1)
    assert set(json.loads(path.read_text())) == {"schema", "model", "width", "size", "fold", "images", "digest"}


def test_a_center_on_the_whole_picture() -> None:
    # 400 × 200 pixels scaled to width 100: 200 rows, of which the square of 100 takes rows 50 to 149.
    _, corner = fit_square(torch.zeros(1, 200, 100), 100)
    assert corner == (50, 0)
    maps = torch.zeros(1, 100, 100)
    maps[0, 10, 20] = 1
    ((row, column),) = regions.native_centers(maps, [corner], [(400, 200)], 100)
    assert (row, column) == (120.5, 40.5)  # the middle of native pixels 120, 121 and 40, 41


def test_a_small_picture_is_padded_around() -> None:
    image, corner = fit_square(torch.ones(1, 6, 10), 10)
    assert corner == (-2, 0) and image.sum() == 60 and image[0, :2].sum() == 0


@pytest.mark.parametrize(("shape", "size"), [((40, 30), 10), ((8, 30), 10), ((8, 9), 10)])
def test_regions_hold_what_their_box_holds(shape, size) -> None:
    random = np.random.default_rng(0)
    points = random.uniform(0, shape, (50, 2))
    target = np.array([[shape[0] / 2, shape[1] / 3]])
    wanted = [box.top - 0.5 <= target[0, 0] < box.bottom - 0.5 and box.left - 0.5 <= target[0, 1] < box.right - 0.5
              for box in (region_around(shape, tuple(point), size) for point in points)]
    assert regions.holds(points, shape, size, target).tolist() == wanted


def test_points_of_the_breast() -> None:
    part = np.zeros((4, 6), np.uint16)
    part[1, 2:5] = 7
    assert regions.breast_points(part, (100, 100, 10, 20)).tolist() == [[11, 22], [11, 23], [11, 24]]
