"""The mammography bundle from exams to Table 1, by the commands that a user types."""

from __future__ import annotations

import json
import math
import shutil
from functools import partial
from pathlib import Path

import commands
import matplotlib.image
import pydicom
import pytest
from commands import ok, read

BUNDLE = "bundles/mammography_attention"
monai = partial(commands.monai, BUNDLE)
SMALL = {"layers": 18, "widen": 0.125, "width": 48, "size": 48}
TRAINED = {**SMALL, "workers": 0, "padding": 4, "max_epochs": 2, "cases_per_epoch": 16, "fold": 1}


@pytest.fixture(scope="module")
def work(mammography_cohort, tmp_path_factory) -> Path:
    """Prepared exams, a holistic model, its regions, an attention model, and their evaluation in fold 1."""
    folder = tmp_path_factory.mktemp("screening")
    ok(monai("prepare", datalist=mammography_cohort.list, output_dir=folder / "prepared", workers=1))
    same = {**TRAINED, "dataset_dir": folder / "prepared"}
    ok(monai("train", **same, output_dir=folder / "holistic", ckpt_dir=folder))
    known = {"holistic": folder / "holistic.pt", "regions": folder / "regions.json"}
    text = ok(monai("train", "regions", **same, **known, output_dir=folder / "regions"))
    assert "80 images, 0 known, 80 to do" in text
    ok(monai("train", "attention", **{**same, **known}, output_dir=folder / "attention", ckpt_dir=folder, region=32))
    ok(monai("train", "evaluate", **same, regions=known["regions"], attention=folder / "attention.pt", region=32,
             output_dir=folder / "evaluated"))
    return folder


@pytest.mark.slow
def test_regions_are_not_found_twice(work) -> None:
    before = (work / "regions.json").read_text()
    text = ok(monai("train", "regions", **TRAINED, dataset_dir=work / "prepared", holistic=work / "holistic.pt",
                    regions=work / "regions.json", output_dir=work / "again"))
    assert "80 images, 80 known, 0 to do" in text and (work / "regions.json").read_text() == before


@pytest.mark.slow
def test_evaluation_writes_a_row_an_exam_and_variant(work, mammography_cohort) -> None:
    rows, images = read(work / "evaluated" / "predictions.csv"), read(work / "evaluated" / "images.csv")
    exams = {e.exam_id: e for e in mammography_cohort.load().exams if e.split(1) != "train"}
    assert {(r["variant"], r["exam_id"]) for r in rows} == {
        (v, e) for v in ("holistic", "attention", "ensemble") for e in exams}
    for row in rows:
        exam = exams[row["exam_id"]]
        breasts = [sum(float(i[row["variant"]]) for i in images if (i["exam_id"], i["side"]) == (exam.exam_id, side))
                   for side in "LR"]
        assert float(row["score"]) == pytest.approx(1 / (1 + math.exp(-max(breasts) / 2)), abs=1e-5)
        assert int(row["label"]) == (exam.groups["detection"] == "screen") and row["images"] == "4"
        assert float(row["reader_reader1"]) == max(exam.readers["reader1"].values())
        assert float(row["reader_all"]) == max(sum(r[side] for r in exam.readers.values()) for side in "LR")
    regions = read(work / "evaluated" / "regions.csv")
    positive = [e for e in exams.values() if e.groups["detection"] == "screen" and e.split(1) == "test"]
    assert len(regions) == 2 * len(positive)
    assert all(r["hit"] in "01" and 0 <= float(r["chance"]) <= 1 for r in regions)


@pytest.mark.slow
def test_inference_gives_the_scores_of_evaluation(work, mammography_cohort, tmp_path) -> None:
    wanted = [i for i in read(work / "evaluated" / "images.csv") if i["split"] == "test"]
    name = wanted[0]["exam_id"]
    models = {"model": work / "holistic.pt", "attention": work / "attention.pt", **SMALL, "region": 32}
    ok(monai("inference", dataset_dir=mammography_cohort.folder / "exams" / name, output_dir=tmp_path,
              dicom=True, **models))
    result = json.loads((tmp_path / f"{name}_result.json").read_text())
    for image in (i for i in wanted if i["exam_id"] == name):
        found = result["images"][image["image_id"]]
        for variant in ("holistic", "attention", "ensemble"):
            assert found[variant] == pytest.approx(float(image[variant]), abs=2e-4)
    assert result["exam"]["ensemble"] == pytest.approx(max(b["ensemble"] for b in result["breasts"].values()))
    assert result["notes"] == [] and 0 < result["probability"] < 1
    picture = matplotlib.image.imread(tmp_path / f"{name}_preview.png")[..., :3]
    assert picture.std() > 0.05
    assert pydicom.dcmread(tmp_path / f"{name}_preview.dcm").pixel_array.shape == picture.shape


@pytest.mark.slow
def test_missing_and_repeated_views_are_handled_as_stated(work, mammography_cohort, tmp_path) -> None:
    source = next(p for p in sorted((mammography_cohort.folder / "exams").iterdir()) if (p / "L-CC.png").is_file())
    exam = tmp_path / "exam"
    exam.mkdir()
    for name, target in (("L-CC", "L-CC"), ("L-CC", "L-CC-2"), ("L-MLO", "L-MLO"), ("R-CC", "R-CC")):
        shutil.copy(source / f"{name}.png", exam / f"{target}.png")
    models = {"model": work / "holistic.pt", "attention": work / "attention.pt", **SMALL, "region": 32}
    ok(monai("inference", dataset_dir=exam, output_dir=tmp_path / "out", **models))
    result = json.loads((tmp_path / "out" / "exam_result.json").read_text())
    images, breasts = result["images"], result["breasts"]
    assert breasts["R"]["holistic"] == pytest.approx(2 * images["R-CC"]["holistic"], abs=1e-5)
    both = (images["L-CC"]["holistic"] + images["L-CC-2"]["holistic"]) / 2 + images["L-MLO"]["holistic"]
    assert breasts["L"]["holistic"] == pytest.approx(both, abs=1e-5)
    assert result["notes"] == ["no R-MLO: the other view counts twice",
                               "repeats (L-CC-2) are averaged with the first of their view"]


@pytest.mark.slow
def test_what_is_wrong_is_named_in_one_line(work, mammography_cohort, tmp_path) -> None:
    same = {**TRAINED, "dataset_dir": work / "prepared", "output_dir": tmp_path / "out", "ckpt_dir": tmp_path / "out"}
    models = {"model": work / "holistic.pt", "attention": work / "attention.pt", "output_dir": tmp_path / "out",
              **SMALL}
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    source = next((mammography_cohort.folder / "exams").glob("*/L-CC.png"))
    shutil.copy(source, wrong / "R-CC.png")
    (tmp_path / "empty").mkdir()
    for ended, message in [
        (monai("train", "attention", **same, holistic=work / "attention.pt", regions=work / "regions.json", region=32),
         "regions.json: centres of another holistic model"),
        (monai("train", "evaluate", **same, attention=work / "attention.pt", regions=tmp_path / "no.json", region=32),
         "no.json: no such file of regions; run regions.yaml"),
        (monai("train", "regions", **same, holistic=tmp_path / "no.pt"), "no.pt: no such checkpoint"),
        (monai("inference", dataset_dir=wrong, **models), "R-CC.png: side R but the breast touches the left edge"),
        (monai("inference", dataset_dir=tmp_path / "empty", **models), "empty: holds no mammogram"),
    ]:
        assert ended.returncode != 0
        assert message in ended.stderr and "Traceback" not in ended.stderr, ended.stderr[-1500:]
