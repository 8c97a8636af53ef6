"""Fixtures of the bundles' tests: one export a bundle, and an exam as hosts have it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_exports import BUNDLES, Tiny, study

from pipeline.__main__ import main


@pytest.fixture(scope="module")
def tiny(tiny_prepared, tiny_lesions, tiny_exams, tiny_crops, tiny_views) -> dict[str, tuple[Path, Tiny]]:
    """Of each bundle a prepared dataset, and settings for one epoch of seconds."""
    mammography = {"layers": 18, "widen": 0.125, "width": 48, "size": 48, "padding": 4}
    return {
        "breast_mri_curriculum": (tiny_prepared, Tiny(
            "naive_1e-4", {"breasts": (["train", "naive"], {})}, {"matrix": [128, 128, 8], "rows": 64},
            {"spread": 2.0, "map": "without"})),
        "breast_mri_transfer": (tiny_lesions, Tiny(
            "pre+post4+sub", {"train": (["train"], {"channels": ["pre", "post4", "sub"], "image_size": 64,
                                                            "weights": None})},
            {"patch_size": 12, "iterations": [2], "shrink_factor": [1, 1, 1], "channels": ["pre", "post1", "t2"]})),
        "breast_mri_doubly_deep": (tiny_exams, Tiny(
            "t2-t0", {"train": (["train"], {"input": "t2-t0", "trunk": [4, 8], "blocks": [1, 1], "depth_channels": 4,
                                            "recompute": 1})})),
        "breast_ultrasound_center_point": (tiny_crops, Tiny(
            "center_point", {"train": (["train"], {"shape": [8, 32, 32], "widths": [4, 4, 4, 4], "max_pool": False})},
            {"crop": [10, 40, 40], "healthy": 2},
            {"step": [8, 16, 16]}, "center")),
        "mammography_attention": (tiny_views, Tiny(
            "image_labels", {"holistic": (["train"], mammography),
                             "attention": (["train", "attention"], {**mammography, "region": 64})}, row="ensemble")),
    }


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module", params=BUNDLES)
def exported(request, tiny, work) -> Path:
    """A bundle's export, moved to where it was not made."""
    if request.param not in tiny:
        pytest.fail(f"{request.param}: say in `tiny` how it is trained for one epoch")
    run = study(request.param, work / request.param, *tiny[request.param])
    made = work / "made" / request.param
    assert main(["export", f"bundles/{request.param}", "--run", str(run), "--fold", "0", "--variant",
                 tiny[request.param][1].variant, "-o", str(made)]) == 0
    return Path(shutil.move(made / request.param, work / "moved" / request.param))


@pytest.fixture
def exam(exported, request, tmp_path) -> Path:
    """An exam as hosts have it: the image that viewers show, what belongs to it beside it; and an empty folder."""
    shown = tmp_path / "studies" / "p1"
    shown.parent.mkdir()
    modality = json.loads((exported / "configs/metadata.json").read_text())["network_data_format"]["inputs"]["image"]
    if modality["modality"] == "US":
        cohort = request.getfixturevalue("ultrasound_cohort")
        return Path(shutil.copy(cohort.path(0), shown.with_suffix(".nrrd")))
    cohort = request.getfixturevalue({"MR": "phantom_cohort", "MG": "mammography_cohort"}[modality["modality"]])
    first = next(e for e in cohort.load().exams if e.lesions or modality["modality"] == "MG")
    files = {name: cohort.load().path(first, name) for name in first.images}
    for name, path in files.items():
        target = shown.with_suffix(".exam") / f"{name}{''.join(path.suffixes)}"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    if first.lesions:
        lines = ["x_mm,y_mm,z_mm", *(",".join(map(str, point)) for _, point in first.points())]
        shown.with_suffix(".lesions.csv").write_text("\n".join(lines) + "\n")
    one = files["post1" if "post1" in files else "R-MLO"]
    return Path(shutil.copy(one, shown.with_suffix("".join(one.suffixes))))
