"""What the study over all contrast subsets costs: a training step, reading and augmenting its patches."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import measure
import numpy as np
import torch
from monai.transforms import Compose, RandFlipd, RandRotated

from pipeline.networks.imagenet_resnet import transfer_resnet34
from pipeline.training.batches import collate
from transforms.breast_mri.imagenet import ImageNetInputd
from transforms.breast_mri.lesion_slices import CONTRASTS
from transforms.breast_mri.read_patches import LoadSliced

BATCH, EPOCHS, PATCHES = 32, 15, 1881  # §2.2: patches of all ten folds; eight parts of ten train
SUBSETS, FOLDS = 35, 10
_CHOSEN = ("pre", "post3", "sub")


def _loading(folder: Path) -> Callable[[], Any]:
    path = folder / "lesion.npy"
    np.save(path, np.random.default_rng(0).uniform(0, 2, (BATCH, 7, 50, 50)).astype(np.float16))
    change = Compose([
        LoadSliced("image", CONTRASTS, _CHOSEN), ImageNetInputd("image", _CHOSEN), RandFlipd("image", 0.5, 0),
        RandFlipd("image", 0.5, 1), RandRotated("image", range_x=np.pi, prob=1.0, padding_mode="border")])
    cases = [{"image": path, "slice": k, "label": k % 2} for k in range(BATCH)]
    return lambda: _forget(collate([change(dict(case)) for case in cases]))


def _training() -> Callable[[], Any]:
    network = transfer_resnet34().train()
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, 0.9)
    images, labels = torch.randn(BATCH, 3, 224, 224), torch.arange(BATCH) % 2

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    step()
    return step


def _forget(value: Any) -> None:
    del value


def report(repeats: int) -> list[str]:
    """Measure both and say what 350 trainings come to; returns Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        works = {"training step": measure.Work(_training),
                 "reading and augmenting": measure.Work(partial(_loading, Path(folder)), 3)}
        runs = measure.take_turns(works, repeats)
    steps = round(PATCHES * 0.8 / BATCH) * EPOCHS
    rows = [[name, str(n), runs[name, n].time(1000), f"{runs[name, n].peak:,.0f}"]
            for n in measure.THREADS for name in works]
    one = runs["training step", 1].seconds + runs["reading and augmenting", 1].seconds
    hours = one * steps * SUBSETS * FOLDS / 3600
    return [
        "## A study over contrast subsets",
        "",
        f"ResNet34, batch of {BATCH} patches of three contrasts, 224×224, fp32, from arrays that hold all seven.",
        "",
        *measure.table(["work", "threads", "ms a batch", "peak MB"], rows),
        measure.told(runs),
        "",
        f"At the paper's size one training is about {steps:,} steps ({PATCHES:,} patches, {EPOCHS} epochs), so that",
        f"all {SUBSETS * FOLDS} come to about {hours:,.0f} hours of one core by these figures: work for a GPU, or for",
        "`--subsets`. The patches are prepared once and are shared by all trainings through memory maps. Starting a",
        "process costs about five seconds a command, two commands a training.",
        "",
    ]
