"""From a dataset as it lies on disk to one training step and a report that says where the list comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import openpyxl
import pytest
import yaml
from commands import ok, run

from pipeline.datalist import load

pytestmark = pytest.mark.slow

MRI, MAMMOGRAPHY = "bundles/breast_mri_curriculum", "bundles/mammography_attention"
PHASES = ("pre", "post1", "post2")
ODELIA = {"pre": "Pre", "post1": "Post_1", "t2": "T2"}
FEW = {"workers": 0, "max_epochs": 1, "cases_per_epoch": 4, "batch_size": 2}


def study(folder: Path, bundle: str, variants: str, settings: dict[str, Any]) -> str:
    """`verify`, then a study of one fold and its report; returns the report's text."""
    overlay = folder / "small.yaml"
    overlay.write_text(yaml.safe_dump({**FEW, **settings}))
    ok(run("pipeline", "verify", folder / "list.json", "--json", folder / "issues.json"))
    assert json.loads((folder / "issues.json").read_text())["errors"] == 0
    ok(run("pipeline", "study", bundle, "--datalist", folder / "list.json", "--out", folder / "run", "--folds", "1",
           "--variants", variants, "--overlay", overlay, "--jobs", "1",
           *(["--set", "weights=null"] if bundle == MAMMOGRAPHY else [])))
    ok(run("pipeline", "report", folder / "run", "--replicates", "100"))
    return (folder / "run" / "report.html").read_text()


def sheet(path: Path, rows: list[list[Any]], title: str = "Sheet1") -> None:
    book = openpyxl.Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def test_duke(tmp_path: Path, phantom_cohort: Any, make_series: Any) -> None:
    """DICOM phases of synthetic exams under Duke's tables; a box around each malignant lesion's centre."""
    root, mapping, boxes, clinical = tmp_path / "duke", [], [], []
    for number, exam in enumerate(phantom_cohort.load().exams, start=1):
        patient, marked = f"Breast_MRI_{number:03d}", [m for m in exam.lesions if m.malignant]
        grid = nib.load(phantom_cohort.path(number - 1, "pre")).affine
        for k, phase in enumerate(PHASES):
            voxels = np.asarray(nib.load(phantom_cohort.path(number - 1, phase)).dataobj).astype(np.int16)
            uid = f"1.2.{number}.{k}"
            folder = f"Duke-Breast-Cancer-MRI/{patient}/1.2.{number}/{uid}"
            make_series(root / folder, voxels, grid, SeriesInstanceUID=uid, shuffle=0)
            name = phase.replace("post", "post_")
            mapping.append([f"DICOM_Images/{patient}/{name}/{patient}_{name}_1.dcm", f"{folder}/1-001.dcm"])
        sides = {m.side for m in marked}
        clinical.append([patient, *[""] * 35, next(iter(sides), "L"), "", int(len(sides) == 2)])
        if marked:
            x, y, z = np.rint(np.linalg.inv(grid) @ [*marked[0].center_mm, 1])[:3].astype(int) + 1
            boxes.append([patient, y - 1, y + 1, x - 1, x + 1, z, z])
    names = ["Patient ID", *[f"c{k}" for k in range(35)], "Tumor Location", "Position", "Bilateral Information"]
    sheet(root / "Clinical_and_Other_Features.xlsx", [["Patient"], names, [""] * 39, *clinical])
    sheet(root / "Annotation_Boxes.xlsx", [["Patient ID", "Start Row", "End Row", "Start Column", "End Column",
                                           "Start Slice", "End Slice"], *[list(map(str, b)) for b in boxes]])
    sheet(root / "Breast-Cancer-MRI-filepath_filename-mapping.xlsx", [
        ["original_path_and_filename", "classic_path"], *mapping])
    ok(run("data_lists", "duke", root, "-o", tmp_path / "list.json", "--folds", "2"))
    assert sum(len(exam.points()) for exam in load(tmp_path / "list.json").exams) == len(boxes)
    page = study(tmp_path, MRI, "naive_1e-4", {"channels": list(PHASES), "matrix": [128, 128, 8], "rows": 64})
    assert "converter duke" in page and "CC BY-NC 4.0" in page and "labels by pathology" in page


def test_odelia(tmp_path: Path, phantom_cohort: Any) -> None:
    """Breasts of synthetic exams as unilateral volumes, with official folds."""
    site = tmp_path / "odelia" / "UKA"
    (site / "metadata_unilateral").mkdir(parents=True)
    annotation, split = ["UID,PatientID,Lesion"], ["UID,Split,Fold"]
    for number, exam in enumerate(phantom_cohort.load().exams):
        for side, name in (("L", "left"), ("R", "right")):
            uid = f"s{number}_{name}"
            for phase in ("pre", "post1", "t2"):
                image = nib.load(phantom_cohort.path(number, phase))
                half = image.shape[0] // 2
                left = (image.affine @ [0, 0, 0, 1])[0] < 0
                begin = 0 if left == (side == "L") else half
                affine = image.affine.copy()
                affine[:3, 3] += affine[:3, 0] * begin
                target = site / "data_unilateral" / uid / f"{ODELIA[phase]}.nii.gz"
                target.parent.mkdir(parents=True, exist_ok=True)
                nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[begin:begin + half], affine), target)
            labels = exam.breasts.get(side, {})
            lesion = 2 if labels.get("malignant") else 1 if labels.get("benign") else 0
            annotation.append(f"{uid},00{number},{lesion}")
            split += [f"{uid},{'test' if number % 3 == f else 'val' if number % 3 == (f + 1) % 3 else 'train'},{f}"
                      for f in range(3)]
    (site / "metadata_unilateral" / "annotation.csv").write_text("\n".join(annotation) + "\n")
    (site / "metadata_unilateral" / "split.csv").write_text("\n".join(split) + "\n")
    ok(run("data_lists", "odelia", tmp_path / "odelia", "-o", tmp_path / "list.json"))
    page = study(tmp_path, MRI, "naive_1e-4", {"channels": ["pre", "post1", "t2"], "matrix": [64, 128, 8], "rows": 64,
                                               "field_of_view": "single"})
    assert "converter odelia" in page and "the 3 official folds" in page


SMALL = {"layers": 18, "widen": 0.125, "width": 48, "size": 48, "padding": 4, "region": 32}


def test_vindr_mammo(tmp_path: Path, make_mammogram: Any) -> None:
    root = tmp_path / "vindr"
    lines = ["study_id,series_id,laterality,image_id,view_position,height,width,breast_birads,breast_density,split"]
    boxes = ["study_id,image_id,laterality,view_position,height,width,finding_birads,xmin,ymin,xmax,ymax"]
    for i in range(16):
        for k, (side, view) in enumerate([(s, v) for s in "LR" for v in ("CC", "MLO")]):
            birads, study_id = 4 if side == "L" and i % 2 else 1, f"{i:032x}"
            make_mammogram(root / "images" / study_id / f"{i:031x}{k}.dicom", side, (96, 64), ImageLaterality=side,
                           ViewPosition=view, PatientID=str(i))
            lines.append(f"{study_id},s,{side},{i:031x}{k},{view},96,64,BI-RADS {birads},DENSITY B,"
                         f"{'test' if i >= 12 else 'training'}")
            if birads == 4:
                boxes.append(f"{study_id},{i:031x}{k},{side},{view},96,64,BI-RADS 4,10,40,20,52")
    (root / "breast-level_annotations.csv").write_text("\n".join(lines) + "\n")
    (root / "finding_annotations.csv").write_text("\n".join(boxes) + "\n")
    ok(run("data_lists", "vindr-mammo", root, "-o", tmp_path / "list.json", "--folds", "2"))
    page = study(tmp_path, MAMMOGRAPHY, "image_labels", SMALL)
    assert "labels by BI-RADS of readers, not by pathology" in page and "official test part held out" in page


def test_cbis_ddsm(tmp_path: Path, make_mammogram: Any) -> None:
    root = tmp_path / "cbis"
    header = ("patient_id,breast_density,left or right breast,image view,abnormality id,pathology,image file path,"
              "ROI mask file path")
    tables: dict[str, list[str]] = {"train": [header], "test": [header]}
    for i in range(16):
        part, side = ("test", "Test") if i >= 12 else ("train", "Training"), "LEFT" if i % 2 else "RIGHT"
        for view in ("CC", "MLO"):
            name = f"Mass-{part[1]}_P_000{i:02d}_{side}_{view}"
            make_mammogram(root / name / "1" / "2" / "1-1.dcm", side[0], (96, 64), PatientID=name)
            mask = np.zeros((96, 64))
            mask[40:52, 20:30] = 255
            make_mammogram(root / f"{name}_1" / "1" / "2" / "1-1.dcm", pixels=mask, bits=8)
            pathology = "MALIGNANT" if i // 2 % 2 else "BENIGN"
            tables[part[0]].append(f"P_000{i:02d},2,{side},{view},1,{pathology},{name}/1/2/000000.dcm,"
                                   f"\"{name}_1/1/2/000001.dcm\n\"")
    for part_name, rows in tables.items():
        (root / f"mass_case_description_{part_name}_set.csv").write_text("\n".join(rows) + "\n")
    ok(run("data_lists", "cbis-ddsm", root, "-o", tmp_path / "list.json", "--folds", "2"))
    page = study(tmp_path, MAMMOGRAPHY, "image_labels", SMALL)
    assert "converter cbis-ddsm" in page and "CC BY 3.0" in page
