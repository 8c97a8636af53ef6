"""A study whose steps are all done: by its own steps' receipts, of small files in the place of weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.datalist import Datalist, Exam, save
from pipeline.files.atomic import write_json
from pipeline.files.receipts import digest, digest_of
from pipeline.prepare import cases
from pipeline.study.command import add_arguments
from pipeline.study.plan import read_study
from pipeline.study.record import listed_inputs, prepared_inputs


def words_of(folder: Path, bundle: str, folds: int, *more: str) -> list[str]:
    """The study's arguments, behind the verb."""
    return [bundle, "--datalist", str(folder / "list.json"), "--out", str(folder / "run"), "--folds", str(folds), *more]


def write_done(folder: Path, bundle: str, folds: int, modality: str = "MR", *more: str) -> int:
    """Write a list of exams without images, and a study of it; returns how many steps that has."""
    folder.mkdir(parents=True, exist_ok=True)
    exams = [Exam(f"E{i}", f"P{i}", {}, {"L": {"malignant": i % 2}, "R": {"malignant": 0}}) for i in range(10)]
    save(Datalist("done", modality, folder, exams, {"count": folds, "seed": 0}), folder / "list.json")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(words_of(folder, bundle, folds, *more))
    study, source = read_study(args)
    listed = listed_inputs(args.datalist, source)
    prepare = study.prepare_step(args.datalist)
    prepare.start(listed)
    (prepare.folder / "E0.npy").write_bytes(b"array")
    cases.save(prepare.folder, {"schema": cases.SCHEMA, "breasts": [
        {"image": "E0.npy", "sha256": digest(prepare.folder / "E0.npy")}]}, args.datalist)
    prepare.finish(listed, 240.0)
    write_json(study.out / "verified.json", {"inputs": listed})
    steps = 1
    for variant in study.variants:
        for fold in study.folds:
            inputs = prepared_inputs(prepare.folder)
            for step in study.chain(variant, fold):
                step.start(inputs)
                for name in ("model.pt", "history.csv", "predictions.csv"):
                    (step.folder / name).write_text(f"{step.name} {name}")
                step.finish(inputs, 60.0)
                inputs = digest_of([inputs, step.result()])
                steps += 1
    return steps
