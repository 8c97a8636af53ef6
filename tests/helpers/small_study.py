"""A study of two variants, one of which needs a setting, that runs nothing."""

from __future__ import annotations

from pathlib import Path

from pipeline.study.plan import Study

EVALUATE = {"configs": ["a.yaml"], "settings": {"cache": "{study}/cache"}}
VARIANTS = {"own": {"label": "Own", "stages": [], "evaluate": EVALUATE},
            "others": {"label": "Others'", "paper": {"auroc": [0.8]}, "needs": ["weights"], "takes": ["augment"],
                       "stages": [], "evaluate": EVALUATE}}


def study(folder: Path, variants: list[str], **given: str) -> Study:
    (folder / "configs").mkdir(exist_ok=True)
    (folder / "configs" / "a.yaml").write_text("lr: 0.1  # a rate")
    return Study(folder, {"variants": VARIANTS, "prepare": {}}, Path("out"), "paper", [0], variants, given=given)
