"""One tiny training of every bundle and stage, in the process that calls it: alone, or as one of torchrun's.

Of torchrun: `trainings.py FOLDER TRAINING ...` trains each in turn and leaves `FOLDER/TRAINING.RANK.json`. With
`KILLED=RANK:STEP` in the environment that process kills itself in that step, as the kernel does without memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from torch import nn

ROOT = Path(__file__).parents[2]
TINY_VIEWS = {"layers": 18, "widen": 0.125, "padding": 4}
# name -> bundle, its overlays, the prepared dataset, settings. Batch norm stands still: each process has its own batch.
TRAININGS: dict[str, tuple[str, list[str], str, dict[str, Any]]] = {
    "patches": ("breast_mri_curriculum", ["train_patches"], "breasts", {"patch_size": [64, 64, 4]}),
    "breasts": ("breast_mri_curriculum", ["naive"], "breasts", {"lr": 1e-4}),
    "transfer": ("breast_mri_transfer", [], "lesions", {"image_size": 32, "weights": "$None"}),
    "doubly_deep": ("breast_mri_doubly_deep", ["demo_train"], "exams", {}),
    "ultrasound": ("breast_ultrasound_center_point", [], "crops",
                   {"shape": [8, 32, 32], "widths": [4, 4, 4, 4]}),
    "holistic": ("mammography_attention", [], "views", {**TINY_VIEWS, "width": 48, "size": 48}),
    "attention": ("mammography_attention", ["attention"], "views",
                  {**TINY_VIEWS, "region": 32, "fold": 0, "train#dataset#data": "$regions.with_centers(cases.images("
                   "@dataset_dir, @fold, 'train'), @regions, @fold)"}),
    "adapted": ("mammography_attention", ["adapted"], "views", {"known": None}),
}
# Negatives are drawn from a whole step's boxes: two processes agree with each other, not with one of twice the batch.
SMALL = {"stage_widths": [4, 4, 4, 8, 8], "pyramid_width": 8, "head_width": 8, "score_from": 0.01, "best_epochs": 2}
DETECTORS: dict[str, tuple[str, list[str], str, dict[str, Any]]] = {
    "retina_unet": ("breast_mri_curriculum", ["retina_unet"], "breasts", SMALL),
    "mask_rcnn": ("breast_mri_curriculum", ["retina_unet", "mask_rcnn"], "breasts",
                  {**SMALL, "best_by": "precision", "train_patch": [64, 64, 8]}),
}
STEPS = 3  # an epoch


def files(name: str, processes: int) -> list[str]:
    """Its configs, in their order."""
    bundle, overlays, _, _ = (TRAININGS | DETECTORS)[name]
    configs = [ROOT / "bundles" / bundle / "configs" / f"{each}.yaml" for each in ("train", *overlays)]
    return [str(path) for path in configs + [ROOT / "bundles" / "common" / "multi_gpu.yaml"] * (processes > 1)]


def train(name: str, data: Path, output: Path, processes: int, accumulate: int = 1, **more: Any) -> dict[str, Any]:
    """Train two epochs of three steps of four cases, shared between the processes, and validate on five.

    The doubly deep network takes steps of two exams, and validates on three.

    Args:
        name: of `TRAININGS` or `DETECTORS`.
        data: folder of the prepared datasets by name.
        output: where it writes.
        processes: how many share a step.
        accumulate: batches whose gradients are averaged for a step of one process.
        more: settings, over those of `TRAININGS`.

    Returns:
        `losses` of every step; `metrics` of every epoch; `best`, the epoch and its metric; `validated`, how many cases
        this process saw an epoch; `weights`, a digest.
    """
    bundle, _, dataset, settings = (TRAININGS | DETECTORS)[name]
    total = 2 if name == "doubly_deep" else 4  # cases a step
    parser = ConfigParser(ConfigParser.load_config_files(files(name, processes)))
    given = {"bundle_root": str(ROOT / "bundles" / bundle), "dataset_dir": str(data / dataset), "fold": 1,
             "output_dir": str(output), "ckpt_dir": str(output), "workers": 0, "max_epochs": 2, "patience": None,
             "cases_per_epoch": total * STEPS, "batch_size": total, **settings, **more}
    if name == "attention":
        given |= {"holistic": str(data / dataset / "holistic.pt"), "regions": str(data / dataset / "regions.json")}
    if name == "adapted":
        given["known"] = features()
    for key, value in given.items():
        if key in parser or "#" in key:
            parser[key] = value
    some = {"views": "[::3][:5]", "exams": "[:3]"}.get(dataset, "[:5]")  # one process has a batch more; both classes
    parser["validate#dataset#data"] = f"{parser['validate#dataset#data']}{some}"
    parser["device"] = "$torch.device('cpu')"
    parser.parse()
    parser.get_parsed_content("initialize")
    trainer, evaluator = (parser.get_parsed_content(key) for key in ("train#trainer", "validate#evaluator"))
    network = parser.get_parsed_content("network_def")
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.train = lambda mode=True, layer=layer: layer  # type: ignore[method-assign]
            layer.training = False
    if accumulate > 1:
        _accumulate(trainer, accumulate)
    found: dict[str, Any] = {"losses": [], "metrics": [], "validated": []}
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: found["losses"].append(
        engine.state.output["loss"].item()))
    rank, _, step = os.environ.get("KILLED", "").partition(":")
    if rank == os.environ.get("RANK"):
        trainer.add_event_handler(Events.ITERATION_STARTED(once=int(step)), lambda engine: (
            (output / "killed").touch(), os.kill(os.getpid(), signal.SIGKILL)))
    seen: list[int] = []
    evaluator.add_event_handler(Events.ITERATION_COMPLETED,
                                lambda engine: seen.append(len(engine.state.batch["label"])))

    @evaluator.on(Events.COMPLETED)
    def note(engine: Engine) -> None:
        found["metrics"].append({key: float(value) for key, value in engine.state.metrics.items()})
        found["validated"].append(sum(seen))
        seen.clear()

    trainer.run()
    state = evaluator.state
    found["best"] = [int(state.best_metric_epoch), float(state.best_metric)]
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return {**found, "weights": digest.hexdigest()}


def features() -> list[dict[str, Any]]:
    """What a frozen network made of 40 exams; larger with cancer."""
    drawn = torch.rand(40, 1024, generator=torch.Generator().manual_seed(0))
    return [{"exam_id": f"E{i}", "patient_id": f"P{i}", "label": int(i % 4 == 0), "image": drawn[i] + (i % 4 == 0) / 2,
             "split": "validation" if i < 15 else "train", "groups": {}, "readers": {}} for i in range(40)]


def _accumulate(trainer: Any, batches: int) -> None:
    """Let every optimiser step take the mean gradient of several batches."""
    optimizer, count = trainer.optimizer, 0
    zero, step = optimizer.zero_grad, optimizer.step

    def zero_first(set_to_none: bool = True) -> None:
        if count % batches == 0:
            zero(set_to_none=set_to_none)

    def step_last() -> None:
        nonlocal count
        count += 1
        if count % batches == 0:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad /= batches
            step()

    optimizer.zero_grad, optimizer.step = zero_first, step_last


def main(folder: Path, names: list[str]) -> None:
    from pipeline.errors import install_excepthook
    from pipeline.training import distributed

    install_excepthook(distributed.last_word)
    distributed.start()
    for name in names:
        found = train(name, folder / "data", folder / name, distributed.count())
        (folder / f"{name}.{distributed.own_number()}.json").write_text(json.dumps(found))
    distributed.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
