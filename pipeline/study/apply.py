"""`python -m pipeline study RUN --apply LIST`: score another cohort with what a study trained.

What is run is what the study recorded: the configs of its preparation and of each evaluation, with their sizes and
overlays, so that neither the bundle nor the command's options are needed again. Every fold tests all exams of the
cohort; nothing is trained, and nothing chosen on them.

```
RUN/applied/NAME/applied.json                   what the report needs beside the predictions
RUN/applied/NAME/cohort.json                    the list, as one that every fold tests
RUN/applied/NAME/verify/  prepared/             its check, and the arrays: once for all networks
RUN/applied/NAME/VARIANT/foldK/predictions.csv  test rows alone
```

NAME is the list's file name without its ending. The same command goes on where it was interrupted, and does again what
rests on other exams or other weights than before.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import datalist
from pipeline.datalist import Datalist
from pipeline.errors import InputError
from pipeline.files.atomic import write_json
from pipeline.files.receipts import digest_of
from pipeline.names import is_name
from pipeline.prepare.cases import inputs_digest, load
from pipeline.processes import cores
from pipeline.study.cohort import demand_fit, for_every_fold, unit_of
from pipeline.study.engines.local import Runner
from pipeline.study.plan import read_config
from pipeline.study.record import SCHEMA as STUDY
from pipeline.study.record import dataset, listed_inputs
from pipeline.study.stage import trains
from pipeline.study.step import Step

SCHEMA = "breast-bundles/applied/1"
FOLDER, RECORD = "applied", "applied.json"
_AGAIN = "run the same `python -m pipeline study ...` command that made it again"


@dataclass
class Applied:
    """A study, and the cohort that it is applied to.

    Attributes:
        run: the study's folder.
        study: content of its `study.json`.
        place: the cohort's folder.
        source: the cohort.
        left_out: variant to why it is not applied.
    """

    run: Path
    study: dict[str, Any]
    place: Path
    source: Datalist
    left_out: dict[str, str] = field(default_factory=dict)

    def trained(self) -> Iterator[tuple[str, int]]:
        """Variants and folds whose evaluation has ended: those that can be applied."""
        final = self.study.get("final_fold")
        for variant in self.study["variants"]:
            for fold in [*self.study["folds"], *([] if final is None else [final])]:
                if Step("evaluate", self.run / variant / f"fold{fold}", []).receipt() is not None:
                    yield variant, fold

    def preparation(self) -> list[Step]:
        """The cohort's check and its arrays."""
        listed, verified, prepared = self.place / "cohort.json", self.place / "verify", self.place / "prepared"
        check = Step(f"{self.place.name} verify", verified, [
            sys.executable, "-m", "pipeline", "verify", str(listed), "--json", str(verified / "verify.json")])
        step = self._step("prepare", prepared, self.run / "prepared", datalist=listed)
        step.whole = lambda: (prepared / "prepared.json").is_file()
        return [check, step]

    def chain(self, variant: str, fold: int) -> list[Step]:
        """The steps that score the cohort by a variant in a fold; none where it is left out or a combination."""
        home, own = self.run / variant / f"fold{fold}", self.place / variant / f"fold{fold}"
        if (home / "weights.json").is_file():
            return []
        if trains(_content(home)):
            self.left_out[variant] = "is trained while it is evaluated, on the exams that it scores"
            return []
        settings: dict[str, Any] = {"dataset_dir": self.place / "prepared"}
        steps = []
        for stage in self._computed(home):  # on the way from images to scores: done for these images, too
            steps.append(self._step(f"{variant} fold {fold} {stage}", own / stage, home / stage, home, **settings))
        return [*steps, self._step(f"{variant} fold {fold} evaluate", own, home, home, **settings)]

    def combination(self, variant: str, fold: int) -> Step:
        """The step that combines the members' scores with the weights that the study chose."""
        told = self.run / variant / f"fold{fold}" / "weights.json"
        try:
            content = json.loads(told.read_text(encoding="utf-8"))
            kind, members = content["kind"], list(content["weights"])
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{variant}/fold{fold}/{told.name}: damaged; {_AGAIN}") from None
        command = [sys.executable, "-m", "pipeline", "combine", str(self.place), variant, "--fold", str(fold), "--kind",
                   kind, "--of", ",".join(members), "--weights", str(told)]
        rests = [Step("evaluate", self.place / member / f"fold{fold}", []) for member in members]
        done = [step.result() for step in rests if step.receipt() is not None]
        if len(done) < len(rests):
            raise InputError(f"{variant} fold {fold}: not all that it combines has been applied")
        return Step(f"{self.place.name} {variant} fold {fold} combine", self.place / variant / f"fold{fold}", command,
                    digest_of([content, done]))

    def _step(self, name: str, folder: Path, home: Path, place: Path | None = None, **settings: Any) -> Step:
        """A recorded step again, into another folder: other exams in, all else as it was.

        Args:
            name: as people read it.
            folder: where it works.
            home: where the study did it.
            place: of the variant in the fold, whose receipt says which weights these are.
            settings: that are others.
        """
        content = _content(home)
        paths = dict(self._places(content, home))
        again = {key: self._anew(rest) for key, rest in paths.items()}
        given = {**again, **settings, "output_dir": folder}
        if "train" in content:  # nothing is trained, but a config makes its loader, and no exam of a cohort trains
            given["train#dataset#data"] = "@validate#dataset#data"
        command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(_record(home))]
        for key, value in given.items():
            command += [f"--{key}", str(value)]
        rests = (Step("evaluate", place, []).receipt() or {}) if place is not None else {}
        plain = {key: value for key, value in content.items() if key not in {"bundle_root", *given}}
        return Step(f"{self.place.name} {name}", folder, command,
                    digest_of(json.loads(json.dumps([plain, paths, rests.get("key"), rests.get("inputs")],
                                                    default=str))))

    def _places(self, content: Mapping[str, Any], home: Path) -> Iterator[tuple[str, Path]]:
        """Settings that name something in the study, wherever that was when it ran, relative to the study's folder."""
        inner = home.relative_to(self.run)
        if not str(content.get("output_dir", "")).endswith(f"/{inner.as_posix()}"):
            return
        root = str(content["output_dir"]).removesuffix(f"/{inner.as_posix()}")
        for key, value in content.items():
            if isinstance(value, str) and value.startswith(f"{root}/"):
                yield key, Path(value.removeprefix(f"{root}/"))

    def _anew(self, rest: Path) -> Path:
        """A place in the study; what was computed of its images is computed of the cohort's instead."""
        stage = self.run.joinpath(*rest.parts[:3])
        computed = len(rest.parts) > 3 and stage.is_dir() and not trains(_content(stage))
        return (self.place if computed else self.run) / rest

    def _computed(self, home: Path) -> list[str]:
        """Stages that train nothing, and whose results the evaluation takes."""
        inner = home.relative_to(self.run).parts
        stages = dict.fromkeys(rest.parts[2] for _, rest in self._places(_content(home), home)
                               if rest.parts[:2] == inner and len(rest.parts) > 3)
        return [stage for stage in stages if not trains(_content(home / stage))]


def main(run: Path, path: Path, jobs: int | None) -> int:
    """Score a cohort with every network of a study; returns 0 when all of it is done.

    Args:
        run: the study's folder.
        path: the cohort's datalist.
        jobs: runs at a time; None: one a GPU, or one a core.

    Raises:
        InputError: no study or nothing trained in it; exams of another modality, without its contrasts, or its own;
            or a step failed.
    """
    if not is_name(path.stem):
        raise InputError("the list's file name becomes a folder's: rename it to letters, digits and . _ - only")
    applied = Applied(run, _study(run), run / FOLDER / path.stem, datalist.load(path))
    trained = list(applied.trained())
    if not trained:
        raise InputError(f"{run.name}: no fold of this study has been trained and evaluated; {_AGAIN}")
    own, count = load(run / "prepared"), len(trained)
    demand_fit(applied.source, run, own, applied.study["bundle"])
    chains = [chain for which in trained if (chain := applied.chain(*which))]
    applied.place.mkdir(parents=True, exist_ok=True)
    datalist.save(for_every_fold(applied.source, own), applied.place / "cohort.json")
    runner = Runner(jobs)
    before = applied.preparation()
    combined = [which for which in trained if which[0] not in applied.left_out and not applied.chain(*which)]
    runner.total = len(before) + sum(map(len, chains)) + len(combined)
    with runner.stopping_children():
        listed = listed_inputs(applied.place / "cohort.json", applied.source)
        runner.run_chain(before, cores(), listed)
        inputs = inputs_digest(applied.place / "prepared", outlines=True)
        runner.run_all(chains, inputs)
        for which in combined:
            runner.run_chain([applied.combination(*which)], cores(), inputs)
    _write_record(applied, [which for which in trained if which[0] not in applied.left_out])
    for variant, why in applied.left_out.items():
        print(f"left out: {variant} {why}")
    print(f"applied: {count} networks to {len(applied.source.exams)} exams; next: python -m pipeline report {run}")
    return 0


def _study(run: Path) -> dict[str, Any]:
    try:
        study = json.loads((run / "study.json").read_text(encoding="utf-8"))
        if study["schema"] == STUDY and study["variants"] and study["folds"]:
            return dict(study)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{run.name}: no study (study.json); with --apply, name the --out of a `python -m pipeline study`")


def _write_record(applied: Applied, which: list[tuple[str, int]]) -> None:
    own = load(applied.run / "prepared")
    patients = {case["patient_id"] for case in own[unit_of(own)]}
    folds: dict[str, list[int]] = {}
    for variant, fold in which:
        folds.setdefault(variant, []).append(fold)
    write_json(applied.place / RECORD, {
        "schema": SCHEMA, "dataset": dataset(applied.source), "folds": folds, "left_out": applied.left_out,
        "patients_of_the_same_name": len(patients & {exam.patient_id for exam in applied.source.exams})})


def _record(folder: Path) -> Path:
    """The config that a step ran with.

    Raises:
        InputError: it left none.
    """
    found = sorted(folder.glob("config*.yaml"))
    if len(found) != 1:
        raise InputError(f"{folder.parent.name}/{folder.name}: has no record of its config; {_AGAIN}")
    return found[0]


def _content(folder: Path) -> dict[str, Any]:
    return dict(read_config(_record(folder)))
