"""Rows of breasts, their maps' peaks and pictures, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from evaluation import batch_of, evaluate, rows

from pipeline.breast_mri.write_breasts import WritePredictions
from pipeline.explain.stacks import load_stack

AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])
LOGITS = torch.tensor([[0.0, 1.0], [2.0, 0.0]])  # softmax of the second: 1 / (1 + 1/e) and 1 / (1 + e²)


def case(side: str, label: int, split: str = "test", lesions: Any = ()) -> dict[str, Any]:
    """A breast of 12 × 10 × 4 voxels; its lower half is tissue, brightest at (2, 1, 3)."""
    image = torch.zeros(2, 12, 10, 4)
    image[:, :, :5] = 1.0
    image[1, 2, 1, 3] = 2.0
    return {"exam_id": "E1", "patient_id": "P1", "side": side, "split": split, "label": label, "image": image,
            "lesions": list(lesions), "affine": AFFINE, "groups": {"density": "b"},
            "readers": {"one": 4.0 if side == "L" else None}}


def test_a_row_is_what_the_case_says_and_the_softmax(tmp_path, capsys) -> None:
    evaluate(WritePredictions(tmp_path, 3), (batch_of(case("L", 1), case("R", 0, "validation")), LOGITS))
    assert rows(tmp_path / "predictions.csv") == [
        {"exam_id": "E1", "patient_id": "P1", "side": "L", "fold": "3", "split": "test", "label": "1",
         "score": "0.731059", "group_density": "b", "reader_one": "4.0"},
        {"exam_id": "E1", "patient_id": "P1", "side": "R", "fold": "3", "split": "validation", "label": "0",
         "score": "0.119203", "group_density": "b", "reader_one": ""}]
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]
    assert capsys.readouterr().out.startswith("2 predictions in ")


@pytest.mark.parametrize(("peak", "hit", "distance"), [((5, 3, 2), 1, 0.0), ((5, 6, 2), 1, 9.0), ((9, 3, 0), 0, 11.31),
                                                       ((0, 0, 0), 0, 15.65)])
def test_the_peak_against_the_nearest_malignant_lesion(tmp_path, peak, hit, distance) -> None:
    """At (5, 3, 2); 2 × 3 × 4 mm a voxel: (4, 0, 2) voxels are 8, 0 and 8 mm, (5, 3, 2) are 10, 9 and 8 mm."""
    heat = torch.zeros(1, 12, 10, 4)
    heat[(0, *peak)] = 0.7
    lesions = [[5.0, 3.0, 2.0, 1], [9.0, 3.0, 0.0, 0]]  # a benign one does not count
    writer = WritePredictions(tmp_path, 0, shown=1, radius_mm=10.0)
    evaluate(writer, (batch_of(case("L", 1, lesions=lesions)), {"logits": LOGITS[:1], "heatmap": heat}))
    (row,) = rows(tmp_path / "localisation.csv")
    assert (row["exam_id"], row["side"], row["hit"], row["radius_mm"]) == ("E1", "L", str(hit), "10.0")
    assert float(row["distance_mm"]) == pytest.approx(distance, abs=0.005)
    # Tissue is rows 0 to 4; how many of its voxels lie within 10 mm, counted one by one.
    near = [((x - 5) * 2) ** 2 + ((y - 3) * 3) ** 2 + ((z - 2) * 4) ** 2 <= 100
            for x in range(12) for y in range(5) for z in range(4)]
    assert float(row["chance"]) == pytest.approx(np.mean(near), abs=0.08)  # the outline is smoothed by a row


def test_the_picture_is_the_lesions_slice_turned_for_display(tmp_path) -> None:
    heat = torch.zeros(2, 12, 10, 4)
    heat[:, 4, 2, 3] = 0.7
    cases = case("L", 1, lesions=[[2.0, 1.0, 3.4, 1], [7.0, 2.0, 0.0, 0]]), case("R", 0)
    writer = WritePredictions(tmp_path, 0, shown=1)
    evaluate(writer, (batch_of(*cases), {"logits": LOGITS, "heatmap": heat}))
    with np.load(tmp_path / "maps" / "E1_L.npz") as kept:
        assert kept["image"].shape == kept["heat"].shape == (10, 12)  # rows from anterior, columns outwards
        assert kept["image"][8, 2] == 1 and kept["image"][0, 0] == 0  # voxel (2, 1) of slice 3
        assert kept["heat"][7, 4] == pytest.approx(0.7)
        assert kept["points"].tolist() == [[2, 8]] and kept["point_malignant"].tolist() == [1]  # the other: slice 0
        assert (int(kept["label"]), float(kept["score"]), str(kept["exam_id"])) == (1, 0.731059, "E1")
    with np.load(tmp_path / "maps" / "E1_R.npz") as kept:  # no lesion: the slice of the peak
        assert kept["heat"].max() == pytest.approx(0.7) and len(kept["points"]) == 0
    assert not (tmp_path / "localisation.csv").exists() or len(rows(tmp_path / "localisation.csv")) == 1


def test_maps_are_of_the_test_split_and_no_more_than_asked_for(tmp_path) -> None:
    heat = torch.rand(3, 12, 10, 4)
    cases = case("L", 1, "validation", [[5.0, 3.0, 2.0, 1]]), case("L", 0), case("R", 0)
    evaluate(WritePredictions(tmp_path, 0, maps=1), (batch_of(*cases), {"logits": torch.zeros(3, 2), "heatmap": heat}))
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["E1_L.npz"]
    assert len(rows(tmp_path / "predictions.csv")) == 3 and not (tmp_path / "localisation.csv").exists()
    evaluate(again := WritePredictions(tmp_path, 0), (batch_of(case("L", 0)), torch.zeros(1, 2)))
    evaluate(again, (batch_of(case("R", 0)), torch.zeros(1, 2)))  # a second run begins afresh
    assert [row["side"] for row in rows(tmp_path / "predictions.csv")] == ["R"]


def test_all_slices_are_kept_where_asked_counted_as_the_exam_s_file_counts(tmp_path) -> None:
    heat = torch.zeros(2, 12, 10, 4)
    heat[:, 4, 2, 3] = 0.7
    # The exam has 8 slices of 2 mm, counted from above: the breast's slice z of 4 mm is its 7 - 2 z.
    own = {"affine": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -2, 14], [0, 0, 0, 1]], "shape": [40, 40, 8]}
    cases = [{**case("L", 1, lesions=[[2.0, 1.0, 3.0, 1]]), "exam_grid": own},
             {**case("R", 0, "validation"), "exam_grid": own}]
    evaluate(WritePredictions(tmp_path, 0, shown=1, stacks=True),
             (batch_of(*cases), {"logits": LOGITS, "heatmap": heat}))
    (path,) = (tmp_path / "stacks").iterdir()  # of the test breast alone
    found = load_stack(path)
    assert path.name == "E1_L.npz" and found.image.shape == (4, 10, 12)
    assert found.numbers.tolist() == [7, 5, 3, 1] and found.total == 8 and found.aspect == 1.5
    assert found.points.tolist() == [[2.0, 8.0, 3.0]] and found.malignant.tolist() == [1]
    assert found.heat is not None and np.argwhere(found.heat).tolist() == [[3, 7, 4]]  # rows from anterior
    assert np.unravel_index(found.image.argmax(), found.image.shape) == (3, 8, 2)
