"""Exams on disk: which file is which view."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from pipeline.errors import InputError
from pipeline.mammography.answer_exams import ExamResultd, SaveExamd, find


def test_files_are_known_by_the_view_that_their_names_end_in(tmp_path) -> None:
    for name in ("0_L-CC.png", "exam7_r_mlo.TIF", "RCC.dcm", "L-CC_02.png", "again L-CC.png", "3.2.dcm", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    exam, = find(tmp_path)
    assert {view: path.rpartition("/")[2] for view, path in exam["image"].items()} == {
        "L-CC": "0_L-CC.png", "L-CC-2": "L-CC_02.png", "L-CC-3": "again L-CC.png", "R-MLO": "exam7_r_mlo.TIF",
        "R-CC": "RCC.dcm", "3.2": "3.2.dcm"}


def test_a_folder_of_exams_and_a_single_file(tmp_path) -> None:
    for exam in ("E1", "E2"):
        (tmp_path / exam).mkdir()
        (tmp_path / exam / "L-CC.png").write_bytes(b"")
    assert [exam["exam_id"] for exam in find(tmp_path)] == ["E1", "E2"]
    assert find(tmp_path / "E1" / "L-CC.png")[0]["image"] == {"L-CC": str(tmp_path / "E1" / "L-CC.png")}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no mammogram"):
        find(tmp_path / "empty")


def test_pictures_of_other_formats_and_other_folders_are_not_passed_over(tmp_path, capsys) -> None:
    for exam in ("E1", "E2", "empty"):
        (tmp_path / exam).mkdir()
    (tmp_path / "E1" / "L-CC.png").write_bytes(b"")
    (tmp_path / "E2" / "R-CC.png").write_bytes(b"")
    assert len(find(tmp_path)) == 2
    assert "left out: 1 folders without a mammogram, the first: empty" in capsys.readouterr().out
    (tmp_path / "E2" / "L-CC.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"E2/L-CC\.jpg: mammograms are not read from this format"):
        find(tmp_path)


def test_centers_and_regions_are_in_the_pixels_of_the_file(tmp_path) -> None:
    """A left and a right view of 60 × 40 pixels, both with attention at row 20, column 9 from the chest wall."""
    pixels = np.ones((60, 40), np.uint16)
    views = {name: {"pixels": pixels, "flipped": name[0] == "R", "notes": "", "spacing": (0.5, 0.5)}
             for name in ("L-CC", "R-CC")}
    maps = torch.zeros(2, 40, 40)
    maps[:, 10, 9] = 1.0
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(100, 2))
    meta = {"original_affine": np.diag([-0.5, -0.5, 1, 1]), "spatial_shape": (40, 60, 1), "digests": {"L-CC": "1"}}
    case = {"exam_id": "E1", "views": views, "corners": [(10, 0)] * 2,  # rows 10 to 49 of the scaled picture were seen
            "shown": "R-CC", "image": MetaTensor(torch.zeros(1, 2, 1, 40, 40), meta=meta),
            "pred": {"scores": torch.tensor([1.0, 3.0]), "maps": maps}}
    torch.save(network.state_dict(), tmp_path / "attention.pt")
    blank = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(100, 2))
    answered = ExamResultd("pred", blank, 40, 10, tmp_path / "attention.pt", threshold=0.5)(case)
    assert torch.equal(blank[1].weight, network[1].weight)  # a host loads one network: the other is loaded here
    result = SaveExamd("pred", tmp_path / "out", 40)(answered)["result"]
    assert result["decision"] == {"threshold": 0.5, "positive": result["probability"] >= 0.5}
    heat = answered["pred"][0].numpy()  # of the view that is shown, columns first: column 39 − 9, row 10 + 10
    assert heat.shape == (40, 60, 1) and np.unravel_index(heat.argmax(), heat.shape) == (30, 20, 0)
    alone = result["images"]["R-CC"]["ensemble"]
    assert heat.max() == pytest.approx(1 / (1 + np.exp(-alone)), abs=1e-5)
    assert heat[:, :9].max() == 0  # above what the network saw
    left, right = result["images"]["L-CC"], result["images"]["R-CC"]
    assert left["center"] == [20.0, 9.0] and right["center"] == [20.0, 30.0]  # 39 − 9
    assert left["region"] == [16, 4, 10] and right["region"] == [16, 26, 10]  # columns 4 to 13; 39 − 13 to 39 − 4
    assert result["breasts"]["R"]["holistic"] == 6.0 and result["exam"]["holistic"] == 6.0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "E1_heatmap.nii.gz", "E1_heatmap_L-CC.nii.gz", "E1_preview.png", "E1_result.json"]
    del answered["exam_id"]  # from a server, which sends the answer itself
    assert SaveExamd("pred", tmp_path / "other", 40)(answered) == answered and not (tmp_path / "other").exists()
