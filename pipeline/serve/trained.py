"""What a study's run tells of one trained model: its weights, the settings it was trained with, how good it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

from pipeline.errors import InputError
from pipeline.files.receipts import SUFFIX
from pipeline.files.tables import read_results
from pipeline.metrics import youden_threshold
from pipeline.prediction_rows import UNKNOWN
from pipeline.study.generators import trained_variants
from pipeline.study.plan import read_config
from pipeline.training.settings import PATH, SETTINGS

# Settings of an answer, not of a training.
_OWN = {"threshold", "heatmap", "load_pretrain", "dicom", "sides", "shown", "candidates", "device", "shard",
        "scheduler"}
_WEIGHTS = re.compile(r"\$@bundle_root \+ '/models/([\w.-]+\.pt)'")
_RATES = ("auroc", "accuracy", "sensitivity", "specificity")


@dataclass
class Trained:
    """One model.

    Attributes:
        weights: file of each setting of `inference.yaml` that names weights.
        settings: plain settings it was prepared and trained with, by name; no paths.
        configs: of `inference`, `train`, `evaluate`, `prepare` and `metadata` the files to merge, base first, and the
            settings they ran with.
        threshold: probability from which a decision is positive, and how it was chosen.
        metrics: the report's figures of this model's variant: AUROC, accuracy, sensitivity, specificity.
        about: what it is, for the model card.
        report: `metrics.json`, where the study has one.
    """

    weights: dict[str, Path]
    settings: dict[str, Any] = field(default_factory=dict)
    configs: dict[str, tuple[list[Path], dict[str, Any]]] = field(default_factory=dict)
    threshold: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    report: Path | None = None


def weight_names(inference: Mapping[str, Any]) -> dict[str, str]:
    """Settings of an `inference.yaml` that name weights, the network's first, and their files' names."""
    found = {key: _WEIGHTS.fullmatch(value) for key, value in inference.items() if isinstance(value, str)}
    return {key: match[1] for key, match in found.items() if match}


def merged(paths: Sequence[Path]) -> dict[str, Any]:
    """Configs merged as `monai.bundle run` does; one alone as it is, as it may be an overlay itself."""
    from monai.bundle import ConfigParser  # slow to import

    return ConfigParser.load_config_files([str(path) for path in paths]) if len(paths) > 1 else (
        dict(read_config(paths[0])))


def read_trained(bundle: Path, run: Path, variant: str | None, fold: int | None) -> Trained:
    """Read what a study left of one variant in one fold.

    What `study.yaml` says under `serve` of a variant goes into its export: `overlays` of inference.yaml and of
    metadata.json where another network answers, the `row` of the report that it is, `weights` where they are not what
    its evaluation takes.

    Args:
        bundle: its folder.
        run: the study's.
        variant: default: the one that the study is about.
        fold: default: the final one, trained on all that the others cross-validate.

    Raises:
        InputError: no such study, variant or fold, one of another bundle, or a training that has not ended.
    """
    study = _study(bundle, run)
    entry, variant = _variant(bundle, run, study, variant)
    final = study.get("final_fold")
    folds = [*study["folds"], *([final] if final is not None else [])]
    if fold is None and final is None:
        raise InputError(f"{run.name}: has no final fold; add --fold, one of {', '.join(map(str, folds))}")
    fold = int(final if fold is None else fold)  # type: ignore[arg-type]  # one of them is there
    if fold not in folds:
        raise InputError(f"--fold {fold}: not in {run.name}; it has {', '.join(map(str, folds))}")
    place, configs = run / variant / f"fold{fold}", bundle / "configs"
    named = {**entry["evaluate"].get("settings", {}), **entry["serve"].get("weights", {})}
    answers = [configs / name for name in ("inference.yaml", *entry["serve"].get("overlays", ()))]
    names = weight_names(merged(answers))
    weights = {key: Path(str(named[key]).format(run=place, study=run)) for key in names if key in named}
    if missing := [key for key in names if key not in weights]:
        raise InputError(f"{variant}: has no {missing[0]} to serve; choose another --variant")
    for path in weights.values():
        if not path.is_file():
            raise InputError(f"{path.relative_to(run)}: no such weights; the study has not come that far: run the same "
                             "`python -m pipeline study ...` command again")
    main = next(iter(weights.values())).parent.name
    stages = [stage["name"] for stage in entry["stages"]]
    stage = next(each for each in entry["stages"] if each["name"] == main)
    plan = read_config(configs / "study.yaml")
    prepared, evaluated = _settings(run / "prepared" / "config.yaml"), _settings(place / "config.evaluate.yaml")
    used: dict[str, tuple[list[Path], dict[str, Any]]] = {
        "inference": (answers, {}),
        "metadata": ([configs / name for name in ("metadata.json", *entry["serve"].get("metadata", ()))], {}),
        "train": ([configs / name for name in stage["configs"]],
                  {**prepared, **_settings(place / main / "config.yaml")}),
        "evaluate": ([configs / name for name in entry["evaluate"]["configs"][-1:]], evaluated),
        "prepare": ([configs / name for name in plan["prepare"]["configs"]], prepared)}
    chosen = entry["evaluate"].get("settings", {})  # how this variant is evaluated, not what it is
    settings = {**{k: v for k, v in evaluated.items() if k not in chosen}, **prepared,
                **_settings(*(place / name / "config.yaml" for name in stages))}
    row = entry["serve"].get("row") or next(iter(entry.get("rows") or {variant: {}}))
    threshold, rule = _threshold(run, variant, fold, row, study)
    metrics = run / "metrics.json"
    about = {"variant": variant, "label": entry.get("label", variant), "row": row, "fold": fold, "final": fold == final,
             "preset": study["preset"], "unit": study.get("unit"), "dataset": study["dataset"], "rule": rule}
    found = _metrics(metrics, row, final=fold == final)
    return Trained(weights, settings, used, threshold, found, about, metrics if metrics.is_file() else None)


def _study(bundle: Path, run: Path) -> dict[str, Any]:
    try:
        study = json.loads((run / "study.json").read_text(encoding="utf-8"))
        name = study["bundle"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{run.name}: no study (study.json); name the --out of a `python -m pipeline study`") from None
    if name != bundle.resolve().name:
        raise InputError(f"{run.name}: a study of {name}; name that bundle, or another --run")
    return dict(study)


def _variant(bundle: Path, run: Path, study: Mapping[str, Any], variant: str | None) -> tuple[dict[str, Any], str]:
    """A variant's entry of `study.yaml`, and its name."""
    plan = read_config(bundle / "configs" / "study.yaml")
    entries = trained_variants(plan)
    there = list(study["variants"])
    if variant is None and len(there) > 1 and "subsets" in plan:
        raise InputError(f"{run.name}: add --variant, one of {', '.join(there)}")
    variant = there[0] if variant is None else variant
    if variant not in there or variant not in entries:
        raise InputError(f"--variant {variant}: not in {run.name}; it has {', '.join(there)}")
    return {**entries[variant], "serve": plan.get("serve", {}).get(variant, {})}, variant


def _settings(*records: Path) -> dict[str, Any]:
    """Plain settings that are declared and no paths; of several records the later ones count."""
    found: dict[str, Any] = {}
    for path in records:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except (OSError, ValueError, yaml.YAMLError):
            raise InputError(f"{path.parent.name}/{path.name}: damaged; run the study again") from None
        found |= {key: value for key, value in content.items()
                  if key in SETTINGS and SETTINGS[key] is not PATH and key not in _OWN and not _is_code(value)}
    return found


def _is_code(value: Any) -> bool:
    return isinstance(value, dict) or any(str(each).startswith(("$", "@")) for each in _leaves(value))


def _leaves(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]


def _threshold(run: Path, variant: str, fold: int, row: str, study: Mapping[str, Any]) -> tuple[float | None, str]:
    """Youden's of the fold's validation rows; of a final fold, which has none, the median of the others'."""
    found = {}
    for each in [fold, *study["folds"]]:
        path = run / variant / f"fold{each}" / "predictions.csv"
        if not path.is_file():
            continue
        table = read_results(path, ("split", "label", "score"), "run the study again", dtype=str)
        tasks = study.get("tasks") or (list(table["task"]) if "task" in table else [""])
        wanted = {"split": "validation", "variant": row, "task": tasks[0]}
        chosen = table[np.logical_and.reduce([table[key] == value for key, value in wanted.items() if key in table])]
        chosen = chosen[~chosen["label"].isin(UNKNOWN)]
        label, score = chosen["label"].astype(float).astype(int), chosen["score"].astype(float)
        value = float(youden_threshold(label, score)) if label.nunique() == 2 else np.nan
        if np.isfinite(value):
            found[each] = value
    if fold in found:
        return round(found[fold], 6), f"Youden's index on the validation rows of fold {fold}"
    if found:
        return round(median(found.values()), 6), "the median of the folds' own, each Youden's index on its validation"
    return None, "none: no validation has both classes"


def _metrics(path: Path, row: str, final: bool) -> dict[str, float]:
    """The report's figures; empty where there is no report yet."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entry = content["final"][row] if final else content["variants"][row]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    values = {name: entry[name].get("value" if final else "mean") for name in _RATES}
    return {name: value for name, value in values.items() if value is not None}


def receipt_of(weights: Path) -> Path | None:
    """The receipt beside weights, where there is one."""
    path = weights.with_name(weights.name + SUFFIX)
    return path if path.is_file() else None
