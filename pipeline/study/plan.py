"""What a study runs: `study.yaml`, the datalist and the command line, made into chains of steps."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline import datalist
from pipeline.errors import InputError
from pipeline.study.engines.local import Step


@dataclass
class Study:
    """What `study.yaml`, the datalist and the command line come to."""

    bundle: Path
    plan: dict[str, Any]
    out: Path
    preset: str
    folds: list[int]
    variants: list[str]
    overlays: list[Path] = field(default_factory=list)
    given: dict[str, str] = field(default_factory=dict)

    def command(self, entry: dict[str, Any], **settings: Any) -> list[str]:
        """The `monai.bundle run` line of one stage."""
        files = [str(self.bundle / "configs" / name) for name in entry["configs"]]
        if self.preset in entry:
            files.append(str(self.bundle / "configs" / entry[self.preset]))
        files += [str(path) for path in self.overlays if entry is not self.plan["prepare"]]
        command = [sys.executable, "-m", "monai.bundle", "run", "--bundle_root", str(self.bundle), "--config_file",
                   repr(files) if len(files) > 1 else files[0]]
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        return command

    def prepare_step(self, source: Path) -> Step:
        folder = self.out / "prepared"
        return Step("prepare", folder, self.command(self.plan["prepare"], datalist=source, output_dir=folder))

    def chain(self, variant: str, fold: int) -> list[Step]:
        """The steps of one variant in one fold, in order."""
        run = self.out / variant / f"fold{fold}"
        entry = self.plan["variants"][variant]
        taken = {name: self.given[name] for name in settings_of(entry) if name in self.given}
        shared = {"dataset_dir": self.out / "prepared", "fold": fold, **taken}
        steps = []
        for stage in entry["stages"]:
            folder = run / stage["name"]
            own = {k: str(v).format(run=run, study=self.out) for k, v in stage.get("settings", {}).items()}
            steps.append(Step(f"{variant} fold {fold} {stage['name']}", folder,
                              self.command(stage, **shared, output_dir=folder, ckpt_dir=folder, **own)))
        own = {k: str(v).format(run=run, study=self.out) for k, v in entry["evaluate"].get("settings", {}).items()}
        steps.append(Step(f"{variant} fold {fold} evaluate", run,
                          self.command(entry["evaluate"], **shared, output_dir=run, **own)))
        return steps


def settings_of(entry: dict[str, Any]) -> list[str]:
    """Names of `--set` that concern a variant: what it `needs`, and what it `takes` where it is given."""
    return [*entry.get("needs", []), *entry.get("takes", [])]


def read_study(args: argparse.Namespace) -> tuple[Study, datalist.Datalist]:
    path = args.bundle / "configs" / "study.yaml"
    try:
        plan = yaml.safe_load(path.read_text())
    except OSError:
        raise InputError(f"{path}: no such study; name a bundle's folder, e.g. bundles/breast_mri_curriculum") from None
    if "subsets" in plan:
        plan["variants"] = subset_variants(plan["subsets"])
    source = datalist.load(args.datalist)
    count = source.folds.get("count", 0)
    text = args.folds
    try:
        folds = list(range(count)) if text == "all" else (
            [int(f) for f in text.split(",")] if "," in text else list(range(int(text))))
    except ValueError:
        raise InputError(f"--folds {text}: give how many, which (0,3), or all") from None
    folds = sorted(set(folds))
    if not folds or not set(folds) <= set(range(count)):
        raise InputError(f"--folds {text}: the datalist has {count} folds")
    given = given_settings(args.given, plan["variants"])
    variants = [name for name, entry in plan["variants"].items() if given.keys() >= set(entry.get("needs", []))]
    if args.variants != "all":
        variants = args.variants.split(",")
    unknown = [v for v in variants if v not in plan["variants"]]
    if unknown:
        raise InputError(f"--variants {','.join(unknown)}: not in study.yaml; it has {', '.join(plan['variants'])}")
    for name in variants:
        if lacking := [need for need in plan["variants"][name].get("needs", []) if need not in given]:
            raise InputError(f"--variants {name}: needs --set {lacking[0]}=VALUE; see the bundle's docs/README.md")
    if args.preset not in plan["presets"]:
        raise InputError(f"--preset {args.preset}: not in study.yaml; it has {', '.join(plan['presets'])}")
    return Study(args.bundle, plan, args.out, args.preset, folds, variants, args.overlay, given), source


def given_settings(words: Sequence[str], variants: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What `--set` says, by name."""
    known = sorted({name for entry in variants.values() for name in settings_of(entry)})
    given = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not value:
            raise InputError(f"--set {name}: give NAME=VALUE")
        if name not in known:
            raise InputError(f"--set {name}: no variant of study.yaml takes it; it has {', '.join(known) or 'none'}")
        given[name] = value
    return given


def subset_variants(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A variant for every subset of contrasts; names keep the order of `of`, joined by +."""
    variants = {}
    for chosen in itertools.combinations(plan["of"], plan["size"]):
        name, channels = "+".join(chosen), f"[{','.join(chosen)}]"

        def filled(entry: dict[str, Any], channels: str = channels) -> dict[str, Any]:
            settings = {k: str(v).replace("{channels}", channels) for k, v in entry.get("settings", {}).items()}
            return {**entry, "settings": settings}

        variants[name] = {"label": ", ".join(chosen), "parameters": plan["parameters"],
                          "paper": plan["paper"].get(name, {}), "stages": [filled(s) for s in plan["stages"]],
                          "evaluate": filled(plan["evaluate"])}
    return variants
