"""The page: numbers into words and tables, everything else into the template."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from pipeline import __version__
from pipeline.report.figures import calibration_figure, colour, drawn, ranking_figure, roc_figure
from pipeline.report.gallery import box_galleries, colour_bar, gallery
from pipeline.report.parts.boxes import MARKS, asked_of_the_annotator
from pipeline.report.parts.curves import learning_figure
from pipeline.report.parts.lesions import contrast_pictures, curve_figure, load_curves
from pipeline.report.parts.points import crop_pictures, history_figure, points_figure, split_counts
from pipeline.report.parts.settings import setting_figure
from pipeline.report.predictions import BEST, Run
from pipeline.report.redact import redact_all, redactor
from pipeline.report.tasks import by_task

DASH = "–"  # nothing to show
MOST_COMMANDS = 40
_TRUTH = {"birads": "labels by BI-RADS of readers, not by pathology", "follow-up": "labels by follow-up",
          "pathology": "labels by pathology"}
PAPER = {"auroc": None, "accuracy": None, "parameters": None}
OPTIONAL: dict[str, Any] = {"bundle": "", "preset": "", "unit": "breast",
                            "positive": "malignant", "dataset": {}, "fold_count": None,
                            "paper_rows": [], "environment": {}, "seconds": {}, "commands": []}


def render(run: Run, metrics: dict[str, Any]) -> str:
    """The report as one HTML text without external resources.

    Args:
        run: the study; of its predictions only heat maps are used here.
        metrics: what `analyse` returned.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True,
                                     undefined=jinja2.StrictUndefined)
    filters: dict[str, Callable[..., str]] = {"number": number, "pm": plus_minus, "ci": confidence,
                                              "p": p_text, "count": count_text, "duration": duration}
    environment.filters.update(filters)
    template = environment.from_string((files("pipeline.report") / "report.html").read_text(encoding="utf-8"))
    run, *others = by_task(run)
    study = complete(redact_all(run.study, redactor(run.folder)))
    variant, pictures = gallery(run, metrics)
    curves = load_curves(run)
    places = {name: i for i, name in enumerate(drawn(metrics))}
    return template.render(
        m=metrics,
        study=study,
        unit=study["unit"],
        labels={**{name: entry.get("label", name) for name, entry in run.study["runs"].items()},
                **{name: entry["label"] for name, entry in metrics["variants"].items()}},
        positive=study["positive"],
        lead=_task(run, study, metrics),
        others=[_task(other, complete(redact_all(other.study, redactor(run.folder))),
                      {**{key: metrics[key] for key in ("bootstrap", "curves") if key in metrics},
                       **metrics["tasks"][other.task]}) for other in others],
        over_settings=[(curve, setting_figure(curve, f"over-{i}"))
                       for i, curve in enumerate(metrics.get("curves", {}).values())],
        colours={name: colour(places.get(name)) for name in metrics["variants"]},
        comparable=study["preset"] != "demo" and not study["dataset"].get("synthetic"),
        summary=summary_text(study, metrics),
        contrasts=contrast_pictures(run),
        curves="" if curves is None else curve_figure(curves),
        points=points_figure(metrics["points"]) if metrics["points"] else "",
        learning=learning_figure(metrics["learning"], {name: entry.get("label", name)
                                                       for name, entry in run.study["runs"].items()},
                                 {run.homes[name]: place for name, place in reversed(places.items())}),
        history=history_figure(run),
        counts=split_counts(run),
        crops=crop_pictures(run),
        gallery_of=variant,
        pictures=pictures,
        marked=asked_of_the_annotator(study),
        mark_kinds=MARKS,
        box_galleries=box_galleries(run, metrics),
        colour_bar=colour_bar() if pictures else "",
        times=stage_times(study),
        configs=configs(run),
        commands=study["commands"][:MOST_COMMANDS],
        commands_left=max(len(study["commands"]) - MOST_COMMANDS, 0),
        verify=_verify(run.folder / "verify.json"),
        version=__version__,
    )


def _task(run: Run, study: dict[str, Any], metrics: dict[str, Any]) -> dict[str, Any]:
    """What the template's macros show of one task: its numbers, the paper's, and its charts."""
    at = "" if run.leads else "-" + re.sub(r"\W+", "-", run.task)  # of ids, which are unique in a page
    return {
        "name": run.task, "at": at, "of": f": {run.task}" if run.task else "", "m": metrics,
        "positive": study["positive"],
        "paper": {name: {**PAPER, **(entry.get("paper") or {})} for name, entry in study["variants"].items()},
        "last_paper": {name: entry.get("paper_test") or {} for name, entry in study["variants"].items()},
        "paper_rows": study["paper_rows"],
        "ranking": ranking_figure(metrics, study["variants"], f"ranking{at}") if study["comparisons"] == BEST else "",
        "roc": roc_figure(metrics, f"roc{at}"),
        "calibration": calibration_figure(metrics, study["positive"], f"calibration{at}"),
    }


def complete(study: dict[str, Any]) -> dict[str, Any]:
    """`study.json` with what it may lack, so that the template can be strict about names."""
    study = {key: study.get(key) or default for key, default in OPTIONAL.items()} | {
        key: value for key, value in study.items() if key not in OPTIONAL}
    truth = study["dataset"].get("truth") or ""
    study["title"] += f", {_TRUTH[truth]}" if truth in _TRUTH else ""
    if truth == "birads" and study["positive"] == "malignant":
        study["positive"] = "suspicious"
    study["source"] = dict(source_rows(study["dataset"].get("source") or {}))
    study["paper_rows"] = [{"label": "", **PAPER, **row} for row in study["paper_rows"]]
    return study


def source_rows(source: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where the datalist comes from, in words: a table's rows."""
    if "converter" in source:
        yield "Datalist", f"converter {source['converter']}, version {source.get('version', '?')}"
    for key, name in (("label_rule", "Label rule"), ("split", "Split"), ("licence", "Licence of the data")):
        if source.get(key):
            yield name, str(source[key])
    for key, name in (("options", "Options"), ("counts", "In the list"), ("left_out", "Left out")):
        if source.get(key):
            yield name, ", ".join(f"{what} {value}" for what, value in source[key].items())


def summary_text(study: dict[str, Any], metrics: dict[str, Any]) -> str:
    """One paragraph: on what, how much of it, and what came out."""
    data, unit = study["dataset"], study["unit"]
    first = next(iter(metrics["variants"].values()))
    program = f"a program ({data['drawn_by']})" if data.get("drawn_by") else "a program"
    kind = f"synthetic images, drawn by {program} and not taken of patients" if data.get("synthetic") else None
    words = [f"Data: {data['name']}" + (f", {kind}." if kind else ".") if "name" in data
             else f"Data: {kind}." if kind else ""]
    known = {key: count_text(data[key]) for key in ("exams", "patients", "breasts", "malignant")
             if data.get(key) is not None}
    malignant = f", {known.pop('malignant')} of them malignant" if "malignant" in known else ""
    if known:
        words.append(f"It has {_listed([f'{number} {key}' for key, number in known.items()])}{malignant}.")
    total = study["fold_count"]
    run = len(metrics["folds"])
    some = f"{run} fold" if run == 1 else f"{run} folds"
    folds = f"All {some}" if 1 < run == total else f"{run} of {total} folds" if total and total > 1 else some
    preset = f" with the preset “{study['preset']}”" if study["preset"] else ""
    ran, test = ("was run", "it tests") if run == 1 else ("were run", "together they test")
    words.append(f"{folds} {ran}{preset}; {test} {count_text(first['n'])} {unit}s, "
                 f"{count_text(first['malignant'])} {study['positive']}.")
    area = first["auroc"]
    if area["mean"] is None:
        words.append(f"The AUROC of {first['label']} is undefined: no fold tests both classes.")
    else:
        range_ = f" (95\u00a0% interval {confidence(area)})" if area["ci95"][0] is not None else ""
        words.append(f"{first['label']} reaches a mean AUROC of {number(area['mean'])}{range_}.")
    for task, found in metrics.get("tasks", {}).items():
        area = next(iter(found["variants"].values()))["auroc"]
        range_ = f" ({confidence(area)})" if area["ci95"][0] is not None else ""
        words.append(f"The task that leads is {metrics['task']}; of {task} it is {number(area['mean'])}{range_}.")
    return " ".join(word for word in words if word)


def stage_times(study: dict[str, Any]) -> list[dict[str, Any]]:
    """Optimiser steps and seconds of each stage of each variant: mean over folds, and their sum."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for variant, entry in study["runs"].items():
        for stage, steps in (entry.get("steps") or {}).items():
            rows[variant, stage] = {"steps": steps, "seconds": []}
    for key, seconds in study["seconds"].items():
        variant, _, rest = key.partition("/")
        row = rows.setdefault((variant, rest.partition("/")[2]), {"steps": None, "seconds": []})
        row["seconds"].append(seconds)
    order = [*study["runs"], *dict.fromkeys(variant for variant, _ in rows)]
    return [{"variant": variant, "stage": stage or DASH, "steps": row["steps"], "folds": len(row["seconds"]),
             "mean": sum(row["seconds"]) / len(row["seconds"]) if row["seconds"] else None,
             "sum": sum(row["seconds"]) if row["seconds"] else None}
            for (variant, stage), row in sorted(rows.items(), key=lambda item: order.index(item[0][0]))]


def configs(run: Run) -> list[tuple[str, str, str]]:
    """Variant, stage and text of the merged configs of the first fold, without anyone's paths."""
    redact = redactor(run.folder)
    found = []
    for variant, entry in run.study["runs"].items():
        folder = run.folder / variant / f"fold{run.folds[0]}"
        stages = list(entry.get("steps") or {})
        paths = sorted(folder.glob("*/config.yaml"), key=lambda p: (
            stages.index(p.parent.name) if p.parent.name in stages else len(stages), p.parent.name))
        paths += sorted(folder.glob("config*.yaml"))  # of the evaluation
        for path in paths:
            stage = path.parent.name if path.parent != folder else path.stem.rpartition(".")[2]
            found.append((variant, stage, redact(path.read_text(encoding="utf-8", errors="replace"))))
    return found


def _verify(path: Path) -> dict[str, int] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: int(content[key]) for key in ("errors", "warnings")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def number(value: float | None, digits: int = 3) -> str:
    """A number to that many decimals, with a true minus sign."""
    return DASH if value is None else f"{value:.{digits}f}".replace("-", "−")


def plus_minus(value: Any, digits: int = 3) -> str:
    """Mean ± standard deviation, from a fold summary or from a paper's pair [mean, sd]."""
    if not value:
        return DASH
    mean, sd = (value["mean"], value["sd"]) if isinstance(value, dict) else [*value, None][:2]
    if mean is None:
        return DASH
    return number(mean, digits) if sd is None else f"{number(mean, digits)} ± {number(sd, digits)}"


def confidence(value: dict[str, Any] | None, digits: int = 3) -> str:
    """The 95 % interval of anything with `ci95`."""
    if not value or value["ci95"][0] is None:
        return DASH
    return f"{number(value['ci95'][0], digits)} to {number(value['ci95'][1], digits)}"


def p_text(value: float | None) -> str:
    """A p value; below 0.001 only that."""
    return DASH if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def count_text(value: float | None) -> str:
    """A whole number with narrow spaces between thousands."""
    return DASH if value is None else f"{value:,.0f}".replace(",", "\u202f")


def duration(seconds: float | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return DASH
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
