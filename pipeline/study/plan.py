"""What a study runs: `study.yaml`, the datalist and the command line, made into chains of steps."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from pipeline import datalist
from pipeline.errors import InputError
from pipeline.files.receipts import digest, digest_of
from pipeline.prepare.cases import LIST, SCHEMA, VERSION, inputs_digest
from pipeline.study import stage
from pipeline.study.generators import combined_variants, trained_variants
from pipeline.study.offers import OFFERS, missing, offered, settings_needed, will_do
from pipeline.study.step import Step

# Of an overlay for training, what preparation has as well and does not take from it.
_NOT_PREPARED = ("imports", "initialize", "run", "workers", "bundle_root", "dataset_dir", "output_dir", "datalist",
                 "scheduler")
_NOT_ASKED = ("datalist", "scheduler")  # what may be another without the step being another


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
    combined: list[str] = field(default_factory=list)
    offered: set[str] = field(default_factory=set)  # what the exams have of what variants can need
    processes: int = 1  # that share a training

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """The rows that are asked for: variants, then what is combined of them."""
        return {**{name: self.plan["variants"][name] for name in self.variants},
                **{name: self.plan["combined"][name] for name in self.combined}}

    def steps(self, name: str, fold: int) -> list[Step]:
        """The steps of one row in one fold, in order."""
        return [self.combine_step(name, fold)] if name in self.combined else self.chain(name, fold)

    def step(self, name: str, folder: Path, entry: dict[str, Any], processes: int = 1, /, **settings: Any) -> Step:
        """One stage: its `monai.bundle run` line, and the digest of its merged configs and settings.

        How many processes train is no part of it: what they learn is the same to rounding.
        """
        files = [self.bundle / "configs" / config for config in entry["configs"]]
        if self.preset in entry:
            files.append(self.bundle / "configs" / entry[self.preset])
        files += [path for path in self.overlays if entry is not self.plan["prepare"]]
        contents = [read_config(path) for path in files]
        processes = stage.processes_of(name, self.bundle, contents, processes)
        asked = {key: self._anywhere(str(value)) for key, value in settings.items() if key not in _NOT_ASKED}
        merged = json.dumps([contents, asked], default=str)  # YAML knows dates
        return Step(name, folder, stage.command(self.bundle, files, settings, processes),
                    digest_of(json.loads(merged)), processes=processes)

    def _anywhere(self, value: str) -> str:
        """A setting as it is on every machine: places in the study relative to it, other files by their content."""
        if value == str(self.out) or value.startswith(f"{self.out}/"):
            return "{study}" + value.removeprefix(str(self.out))
        if value in self.given.values() and Path(value).is_file():
            return digest(value)
        return value

    def prepare_step(self, source: Path, scheduler: str | None = None) -> Step:
        """The step that prepares a datalist's exams, on a dask cluster where one is named."""
        folder = self.out / "prepared"
        spread = {"scheduler": scheduler} if scheduler else {}
        step = self.step("prepare", folder, self.plan["prepare"], datalist=source, output_dir=folder,
                         **self._prepared_so(), **spread)
        wanted = {need for entry in self.plan["variants"].values() for need in entry.get("needs", [])}
        step.key = digest_of([step.key, VERSION, SCHEMA, *sorted(wanted & self.offered)])  # another is another step
        step.whole = lambda: all(map(os.path.isfile, (folder / name for name in arrays_of(folder) or [""])))
        step.listed = lambda: arrays_of(folder)
        return step

    def _prepared_so(self) -> dict[str, Any]:
        """What overlays say of preparation: settings of prepare.yaml, such as other channels; not how it is run."""
        known = read_config(self.bundle / "configs" / self.plan["prepare"]["configs"][0])
        return {key: value for path in self.overlays for key, value in read_config(path).items()
                if key in known and key not in _NOT_PREPARED and isinstance(value, (bool, int, float, str, list))}

    def chain(self, variant: str, fold: int) -> list[Step]:
        """The steps of one variant in one fold, in order."""
        run = self.out / variant / f"fold{fold}"
        entry = self.plan["variants"][variant]
        shared = {"dataset_dir": self.out / "prepared", "fold": fold,
                  **self._taken([*settings_needed(entry), *entry.get("takes", [])])}
        steps = []
        for each in entry["stages"]:
            folder = run / each["name"]
            own = {k: str(v).format(run=run, study=self.out) for k, v in each.get("settings", {}).items()}
            own |= self._taken(each.get("takes", []))
            steps.append(self.step(f"{variant} fold {fold} {each['name']}", folder, each, self.processes,
                                   **{**shared, "output_dir": folder, "ckpt_dir": folder, **own}))
        own = {k: str(v).format(run=run, study=self.out) for k, v in entry["evaluate"].get("settings", {}).items()}
        steps.append(self.step(f"{variant} fold {fold} evaluate", run, entry["evaluate"],
                               **{**shared, "output_dir": run, **own}))
        if set(entry.get("needs", [])) & OFFERS.keys():
            for each in steps:
                each.besides = partial(inputs_digest, self.out / "prepared", outlines=True)
        return steps

    def combine_step(self, name: str, fold: int) -> Step:
        """The step that makes a combined variant of other variants' predictions."""
        entry, task = self.plan["combined"][name], self.plan.get("tasks", [None])[0]
        command = [sys.executable, "-m", "pipeline", "combine", str(self.out), name, "--fold", str(fold), "--kind",
                   entry["kind"], "--of", ",".join(entry["of"]), *([] if task is None else ["--task", task])]
        return Step(f"{name} fold {fold} combine", self.out / name / f"fold{fold}", command,
                    digest_of([entry["kind"], entry["of"], task]))

    def taken(self, name: str, fold: int) -> dict[str, str]:
        """Digests of the predictions that a combined variant rests on.

        Raises:
            InputError: there are none of a variant; names it and the fold.
        """
        return {member: digest(predictions_of(self.out, member, fold, name)) for member in
                self.plan["combined"][name]["of"]}

    def _taken(self, names: Sequence[str]) -> dict[str, str]:
        """Of these settings those that `--set` gives; null leaves the config's own."""
        return {name: self.given[name] for name in names if self.given.get(name, "null") != "null"}


def read_config(path: Path) -> Any:
    """A config's content, without comments.

    Raises:
        InputError: no such file, or no YAML.
    """
    try:
        content = _parsed(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror}); check its name") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(f"{path.name}: is no YAML; correct it") from None
    if not isinstance(content, dict):
        raise InputError(f"{path.name}: holds no settings; write them as NAME: VALUE")
    return content


@cache
def _parsed(path: Path, modified: int) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def arrays_of(prepared: Path) -> dict[str, str]:
    """Every array that a prepared list names, with its digest; empty without a list."""
    try:
        content = json.loads((prepared / LIST).read_text(encoding="utf-8"))
        cases = [case for value in content.values() if isinstance(value, list) for case in value]
        masks = [known for case in cases if "mask" in (known := case.get("outlines", {}))]
        return {case["image"]: case["sha256"] for case in cases} | {mask["mask"]: mask["sha256"] for mask in masks}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def predictions_of(out: Path, variant: str, fold: int, wanted_by: str) -> Path:
    """A variant's predictions in a fold.

    Raises:
        InputError: there are none.
    """
    path = out / variant / f"fold{fold}" / "predictions.csv"
    if not path.is_file():
        raise InputError(f"{wanted_by}: {variant} has no predictions in fold {fold}; run the study with --variants "
                         f"{variant} and that fold first")
    return path


def settings_of(entry: dict[str, Any]) -> list[str]:
    """Names of `--set` that concern a variant: what it `needs`, and what it or a stage `takes` where it is given."""
    return [*settings_needed(entry), *entry.get("takes", []),
            *(name for stage in entry["stages"] for name in stage.get("takes", []))]


def read_study(args: argparse.Namespace) -> tuple[Study, datalist.Datalist]:
    path = args.bundle / "configs" / "study.yaml"
    try:
        plan = yaml.safe_load(path.read_text())
    except OSError:
        raise InputError(f"{path}: no such study; name a bundle's folder, e.g. bundles/breast_mri_curriculum") from None
    if args.preset not in plan["presets"]:
        raise InputError(f"--preset {args.preset}: not in study.yaml; it has {', '.join(plan['presets'])}")
    plan["variants"] = trained_variants(plan)
    plan["combined"] = combined_variants(plan, args.preset)
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
    has = offered(source)
    variants = [name for name, entry in plan["variants"].items() if given.keys() >= set(settings_needed(entry))
                and not missing(entry, has) and args.preset in entry.get("presets", [args.preset])]
    combined = [name for name, entry in plan["combined"].items() if set(entry["of"]) <= set(variants)]
    if args.variants != "all":
        asked = args.variants.split(",")
        if unknown := [name for name in asked if name not in {**plan["variants"], **plan["combined"]}]:
            known = ", ".join([*plan["variants"], *plan["combined"]])
            raise InputError(f"--variants {','.join(unknown)}: not in study.yaml; it has {known}")
        variants, combined = ([name for name in asked if name in plan[kind]] for kind in ("variants", "combined"))
    for name in variants:
        if absent := missing(plan["variants"][name], will_do(source)):
            raise InputError(f"--variants {name}: no exam of {source.name} has {OFFERS[absent[0]]}; add it to the "
                             "datalist, or leave the variant out")
        if lacking := [need for need in settings_needed(plan["variants"][name]) if need not in given]:
            raise InputError(f"--variants {name}: needs --set {lacking[0]}=VALUE; see the bundle's docs/README.md")
    for name in variants:
        for wanted, why in plan["variants"][name].get("asks", {}).get(args.preset, {}).items():
            if wanted not in given:
                raise InputError(f"--preset {args.preset}: {name} asks for --set {wanted}=VALUE: {why}")
    out = args.out if args.out.name else args.out.absolute()  # `.` begins no other path
    return Study(args.bundle, plan, out, args.preset, folds, variants, args.overlay, given, combined, has,
                 args.processes), source


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
