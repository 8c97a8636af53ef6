"""Every setting of the bundles' configs, declared once: its type and its range.

`pipeline.training.guard` holds them against whatever starts a bundle. A value that is an expression (`$…`) or a
reference (`@…`) is not looked at: what it will be is not known before it runs.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipeline.errors import InputError

Check = tuple[Callable[[Any], bool], str]  # whether a value will do, and what was expected, for the error


def whole(low: int, high: int = 2**31 - 1, null: bool = False) -> Check:
    """A whole number; `null`: it may be left open."""
    text = f"a whole number from {low}" + (f" to {high}" if high < 2**31 - 1 else "")
    return (lambda v: (v is None and null) or (type(v) is int and low <= v <= high)), text + " or null" * null


def number(low: float, high: float = math.inf, above: bool = False, null: bool = False) -> Check:
    """A finite number; `above`: greater than `low`."""
    text = f"a number {'above' if above else 'from'} {low:g}" + (f" to {high:g}" if high < math.inf else "")

    def will_do(value: Any) -> bool:
        plain = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        return (value is None and null) or (plain and (low < value if above else low <= value) and value <= high)
    return will_do, text + " or null" * null


def choice(*names: str | None) -> Check:
    """One of these texts."""
    return (lambda v: v in names if isinstance(v, (str, type(None))) else False), "one of " + ", ".join(map(str, names))


def several(one: Check, length: int | None = None, null: bool = False) -> Check:
    """A list of such values, of one length or of any above 0."""
    def will_do(value: Any) -> bool:
        listed = isinstance(value, (list, tuple)) and (len(value) == length if length else len(value) > 0)
        return (value is None and null) or (listed and all(map(one[0], value)))
    return will_do, f"a list of {length or 'one or more'} values, each {one[1]}" + " or null" * null


def either(*checks: Check) -> Check:
    return (lambda v: any(check[0](v) for check in checks)), ", or ".join(check[1] for check in checks)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value


TEXT: Check = (_is_text, "a text")
PATH: Check = ((lambda v: v is None or hasattr(v, "__fspath__") or (isinstance(v, str) and "\0" not in v)), "a path")
SWITCH: Check = ((lambda v: isinstance(v, bool)), "True or False")
_COUNT, _VOXELS = whole(1), whole(1, 65536)
SEED = whole(0, 2**32 - 1)

SETTINGS: dict[str, Check] = {
    # paths
    **dict.fromkeys(("bundle_root", "dataset_dir", "output_dir", "ckpt_dir", "datalist", "backbone", "weights", "model",
                     "attention", "lesions", "centers", "boxes", "four_view", "patch_classifier", "holistic",
                     "regions", "maps", "features"), PATH),
    "model_name": TEXT,
    "shard": ((lambda v: v is None or _is_text(v)), "I/N or null"),
    "scheduler": ((lambda v: v is None or _is_text(v)), "an address or null"),
    # the run
    "fold": whole(0, 999),
    "seed": SEED,
    "max_epochs": _COUNT,
    "lr": number(0, above=True),
    "lr_step": _COUNT,
    "lr_gamma": number(0, above=True),
    "momentum": number(0, 1),
    "batch_size": _COUNT,
    "cases_per_epoch": whole(1, null=True),
    "patience": whole(1, null=True),
    "val_interval": _COUNT,
    "best_epochs": _COUNT,
    "workers": whole(0, 1024, null=True),
    "num_workers": whole(0, 1024),
    "precision": choice("fp32", "bf16", "auto"),
    "map_precision": choice("fp32", "bf16", "auto"),
    **dict.fromkeys(("quiet", "resume", "load_pretrain", "align", "max_pool", "check_side", "dicom",
                     "stacks"), SWITCH),
    # what is read, and how
    "channels": several(TEXT),
    "sides": several(choice("L", "R")),
    "matrix": several(_VOXELS, 3),
    "rows": _VOXELS,
    "field_of_view": choice("bilateral", "single"),
    "gains": several(number(0)),
    "patch_size": either(_VOXELS, several(_VOXELS, 3)),
    "patch_mm": number(0, above=True, null=True),
    "acquisition": choice("axial", "sagittal", "coronal"),
    "image_size": _VOXELS,
    "extent": number(0),
    "subtraction": choice("post1-pre", "pre-post1"),
    "shrink_factor": several(_COUNT, 3),
    "iterations": ((lambda v: v == [] or several(whole(0))[0](v)), "a list of whole numbers from 0"),
    "shared": ((lambda v: v is None or _is_text(v)), "a contrast or null"),
    "top": number(0, above=True),
    "sub_range": several(number(-math.inf), 2),
    "axes": several(choice("lateral", "depth", "sweep"), 3),
    "spacing": several(number(0, above=True), 3, null=True),
    "spacing_mm": several(number(0, above=True), 3, null=True),
    "crop": several(_VOXELS, 3),
    "shape": several(_VOXELS, 3),
    "step": several(_VOXELS, 3),
    "healthy": whole(0),
    "healthy_share": number(0, 0.5),
    "input": choice("t0", "t1", "t2", "t3", "t1-t0", "t2-t0", "t3-t0"),
    "phases": several(choice("pre", "post1", "post2", "post3")),
    "share": number(0, 1, above=True),
    "crop_keep": number(0, 1, above=True),
    "trunk": several(_COUNT),
    "blocks": several(_COUNT),
    "depth_channels": _COUNT,
    "micro_batch": _COUNT,
    "recompute": whole(0, 5),
    "head": choice("kept", "fresh"),
    "head_lr": number(0, above=True, null=True),
    "far_mm": number(0, null=True),
    "stored": choice(None, "usual", "mirrored", "left", "right"),
    **dict.fromkeys(("width", "size", "region"), _VOXELS),
    "padding": whole(0, 65536),
    # augmentation, network, answers
    "rotation": number(0, 360),
    "flip_axes": ((lambda v: v == [] or several(whole(0, 2))[0](v)), "a list of axes, each 0, 1 or 2"),
    "jitter": number(0, 1),
    "augment": whole(0),
    "views": several(choice("full", "center", "random")),
    "widths": several(_COUNT, 4),
    "stem_stride": _COUNT,
    "layers": _COUNT,
    "widen": number(0, above=True),
    "scale": number(0, above=True),
    "other_breast": choice("leave_out", "negative"),
    "map": choice("evidence", "activation", "grad_cam", "picked", "without"),
    "heatmap": choice("float", "labels"),
    "spread": number(0),
    "shown": whole(0),
    "gallery": whole(0),
    "radius_mm": number(0),
    "candidates": _COUNT,
    "threshold": number(0, 1, null=True),
    # detectors
    "stage_widths": several(_COUNT, 5),
    "pyramid_width": _COUNT,
    "head_width": _COUNT,
    "score_from": number(0, 1),
    "boxes_a_class": _COUNT,
    **dict.fromkeys(("train_patch", "tiles"), several(_VOXELS, 3, null=True)),
    "foreground": number(0, 1),
    "best_by": choice("loss", "precision"),
    "iou": number(0, 1, above=True),
    "mirrored": ((lambda v: v == [] or several(whole(0, 2))[0](v)), "a list of axes, each 0, 1 or 2"),
    "more_weights": ((lambda v: v == [] or several(TEXT)[0](v)), "a list of paths"),
}
_WITHIN = ("max_epochs", "lr", "batch_size", "num_workers", "momentum", "val_interval")  # of components, by these names


def check_settings(config: Mapping[str, Any]) -> None:
    """Hold every plain value of a merged config against its declaration.

    Raises:
        InputError: the first that will not do, with what was expected.
    """
    for name, value in config.items():
        if name == "device":
            check_device(value)
        elif name in SETTINGS and not _is_code(value):
            check(name, value)
    for name, value in _inner(config):
        check(name, value)


def check(name: str, value: Any) -> None:
    """Raise `InputError` where a value is not what its setting takes; names without a declaration take anything."""
    will_do, expected = SETTINGS.get(name, (lambda v: True, ""))
    if not will_do(value):
        hint = "; YAML takes 1.0e-4 for a number, 1e-4 is a text" if isinstance(value, str) and _numeric(value) else ""
        raise InputError(f"--{name} {str(value)[:60]!r}: {expected} is expected{hint}; give another value")


def check_device(value: Any) -> None:
    """Raise `InputError` for a device that does not exist, by its name or on this machine."""
    if value is None or _is_code(value):
        return
    import torch

    try:
        device = torch.device(value)
        known = device.type in ("cpu", "cuda", "mps", "xpu")
    except (RuntimeError, TypeError, ValueError):
        known = False
    if not known:
        raise InputError(f"--device {str(value)[:60]!r}: no such device; use cpu, cuda or cuda:1")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {value}: this machine has {torch.cuda.device_count()} GPUs; use cpu, or leave it "
                         "out")


def near(name: str, names: Iterable[str]) -> str:
    """What to do about a name that nobody knows."""
    found = difflib.get_close_matches(name, list(names), n=1)
    return f"did you mean --{found[0]}?" if found else "the settings stand at the top of the config file"


def _is_code(value: Any) -> bool:
    if isinstance(value, str):
        return value.startswith(("$", "@", "%"))
    if isinstance(value, Mapping):
        return True  # a component
    return isinstance(value, Sequence) and any(map(_is_code, value))


def _inner(config: Any, depth: int = 0) -> Iterable[tuple[str, Any]]:
    """Plain values below the top that components take under names which are declared."""
    for name, value in config.items() if isinstance(config, Mapping) else enumerate(config):
        if depth and name in _WITHIN and not _is_code(value):
            yield name, value
        if isinstance(value, (Mapping, list)):
            yield from _inner(value, depth + 1)


def _numeric(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
