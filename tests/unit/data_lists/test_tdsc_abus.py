"""The TDSC-ABUS converter on a small copy of the challenge's layout."""

from __future__ import annotations

import json
from pathlib import Path

import itk
import numpy as np
import pytest

from data_lists.__main__ import main
from pipeline.breast_ultrasound.crops import CENTER_CROPS
from pipeline.datalist import load
from pipeline.verify import verify
from transforms import LoadCenterCrops

SHAPE = (40, 30, 20)  # lateral, depth, sweep, as in the files
BOX = np.array([[8, 5, 3], [21, 17, 11]])  # first and last voxel of the lesion, along the file's axes


def write_case(folder: Path, number: int) -> None:
    voxels = np.random.default_rng(number).integers(1, 255, SHAPE).astype(np.uint8)
    mask = np.zeros(SHAPE, np.uint8)
    mask[tuple(slice(a, b + 1) for a, b in BOX.T)] = 1
    for kind, array in (("DATA", voxels), ("MASK", mask)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        image = itk.image_from_array(np.ascontiguousarray(array.T))
        itk.imwrite(image, str(folder / kind / f"{kind}_{number:03d}.nrrd"))


def write_challenge(root: Path, reverse: bool = True) -> Path:
    """Eight training, four test cases; the box table names axes from the last (as published) or from the first."""
    middle, length = BOX.mean(axis=0), BOX[1] - BOX[0]  # endpoints are inclusive: 8…21 has the length 13
    order = slice(None, None, -1) if reverse else slice(None)
    for part, first, count in (("Train", 0, 8), ("Test", 130, 4)):
        numbers = range(first, first + count)
        for number in numbers:
            write_case(root / part, number)
        lines = [f"{n},{'M' if n % 2 else 'B'},DATA\\DATA_{n:03d}.nrrd,MASK\\MASK_{n:03d}.nrrd" for n in numbers]
        (root / part / "labels.csv").write_text("Case_id,Label,Data_path,Mask_path\n" + "\n".join(lines) + "\n")
        boxes = [",".join(map(str, [n, *middle[order], *length[order]])) for n in numbers]
        (root / part / "bbx_labels.csv").write_text("id,c_x,c_y,c_z,len_x,len_y,len_z\n" + "\n".join(boxes) + "\n")
    return root


def write_list(root: Path, path: Path) -> int:
    return main(["tdsc-abus", str(root), "-o", str(path), "--folds", "2"])


@pytest.mark.parametrize("reverse", [True, False], ids=["axes from the last", "axes from the first"])
def test_centres_labels_and_the_challenges_test_part(tmp_path, reverse):
    root = write_challenge(tmp_path / "tdsc", reverse)
    assert write_list(root, tmp_path / "list.json") == 0
    content = json.loads((tmp_path / "list.json").read_text())
    assert len(content["exams"]) == 12 and content["folds"]["count"] == 3 and content["folds"]["held_out"] == 2
    exam = content["exams"][[e["exam_id"] for e in content["exams"]].index("TDSC131")]
    assert exam["held_out"] and exam["fold"] == 2 and exam["breasts"] == {"L": {"malignant": 1, "benign": 0}}
    # The middle voxel is (14.5, 11, 7): by hand -14.5 · 0.2, -11 · 0.073, 7 · 0.475674 mm.
    assert exam["lesions"][0]["center_mm"] == pytest.approx([-2.9, -0.803, 3.329718])
    assert [issue for issue in verify(load(tmp_path / "list.json")) if issue.severity == "error"] == []
    trained = [e for e in content["exams"] if not e["held_out"]]
    assert len(trained) == 8 and all(e["fold"] in (0, 1) for e in trained)


def test_prepare_reads_the_lesion_where_the_table_says(tmp_path):
    root = write_challenge(tmp_path / "tdsc")
    assert write_list(root, tmp_path / "list.json") == 0
    source = load(tmp_path / "list.json")
    exam = source.exams[0]
    inputs = CENTER_CROPS.inputs(exam, {"image": source.path(exam, "lesions_mask")})  # the mask, to see the box
    cut = LoadCenterCrops((9, 13, 14), healthy=1, far_mm=3.0)(inputs)
    assert cut["crops"]["lesion1"].shape == (1, 9, 13, 14)
    assert (cut["crops"]["lesion1"] > 0).all(), "a crop of the box's size holds the box and nothing else"
    assert set(cut["crops"]) == {"lesion1", "healthy1"} and not (cut["crops"]["healthy1"] > 0).all()


def test_boxes_that_fit_nowhere_and_missing_volumes_are_refused(tmp_path, capsys):
    root = write_challenge(tmp_path / "tdsc")
    table = root / "Train" / "bbx_labels.csv"
    table.write_text(table.read_text().replace("14.5", "114.5", 1))
    assert write_list(root, tmp_path / "list.json") == 2
    said = capsys.readouterr().err
    assert "case 0" in said and len(said.strip().splitlines()) == 1
    for path in list((root / "Train" / "DATA").iterdir())[:3]:
        path.unlink()
    assert write_list(root, tmp_path / "list.json") == 2
    assert "3 of 12" in capsys.readouterr().err and not (tmp_path / "list.json").exists()
