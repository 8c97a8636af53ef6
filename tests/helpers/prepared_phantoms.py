"""Synthetic ultrasound and mammograms, prepared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cohorts import Cohort, made_once


@pytest.fixture(scope="session")
def tiny_crops(ultrasound_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crops of `ultrasound_cohort`, prepared. Shared: read it only."""
    from pipeline.breast_ultrasound.crops import CENTER_CROPS
    from pipeline.prepare import run as prepare
    from transforms import LoadCenterCrops

    return made_once(tmp_path_factory, "crops", lambda folder: prepare.run(
        ultrasound_cohort.list, folder, CENTER_CROPS, LoadCenterCrops((16, 40, 40), healthy=2), 1))


@pytest.fixture(scope="session")
def tiny_views(mammography_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The views of `mammography_cohort`, prepared, with a holistic model and its regions. Shared: read it only."""
    import torch

    from pipeline.mammography import regions
    from pipeline.mammography.views import VIEWS
    from pipeline.networks.mammogram_resnet import mammogram_resnet
    from pipeline.prepare import cases as prepared
    from pipeline.prepare import run as prepare
    from transforms import LoadViews

    def write(folder: Path) -> None:
        prepare.run(mammography_cohort.list, folder, VIEWS, LoadViews(), 1)
        sizes = {"layers": 18, "widen": 0.125}
        torch.save(mammogram_resnet(**sizes).state_dict(), folder / "holistic.pt")
        (folder / "settings.json").write_text(json.dumps(sizes))  # what a config must be told to load it
        middle = {regions.image_key(case): {"center": [64.0, 40.0], "score": 0.0}
                  for case in prepared.load(folder)["images"]}
        regions.save(folder / "regions.json", regions.identity(folder / "holistic.pt", 976, 976, 0), middle)

    return made_once(tmp_path_factory, "views", write)
