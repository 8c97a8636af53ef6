"""`exams.html`: every scored case of a study in one table, most surprising first, with all its slices behind a click.

The page opens from disk without a server: what it says is in the page itself, its pictures lie in the folder
`exams` beside it, under names that tell nothing. It is made of predictions and stored slices alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from matplotlib import colormaps
from PIL import Image, ImageDraw

from pipeline import __version__
from pipeline.explain.stacks import FOLDER, Stack, load_stack
from pipeline.files.atomic import replacing, write_text
from pipeline.prediction_rows import ITEM
from pipeline.report.gallery import MAP
from pipeline.report.predictions import Run
from pipeline.report.tasks import by_task

PAGE, PICTURES = "exams.html", "exams"
_THUMB = 96  # pixels of a thumbnail's longer side
_LOOK = "2"  # of the pictures; another one draws all again
_COLOURS = ("#7fd4ff", "#ff9d5c")  # of benign and malignant, as in the report's gallery
_GAIN = (0.8, 0.7)  # how strongly heat covers the image, as in the report's gallery


def write_exams(run: Run, metrics: Mapping[str, Any]) -> Path:
    """Write the page and its pictures; those of an earlier page that are still right are kept.

    Args:
        run: the study; of several tasks the one that leads.
        metrics: what `pipeline.report.analyse` returned, for the thresholds that validation chose.

    Raises:
        InputError: stored slices that cannot be read.
    """
    run = by_task(run)[0]
    folder = run.folder / PICTURES
    rows = cases(run, metrics)
    pictures: list[dict[str, Any]] = []
    fresh: set[str] = set()
    for row in rows:
        row["pictures"] = []
        for path, label in row.pop("stacks").items():
            shown = _draw(path, folder, label)
            fresh.add(shown["file"])
            row["pictures"].append(len(pictures))
            pictures.append(shown)
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.suffix in (".png", ".jpg") and path.name.split("_")[0] not in fresh:
            path.unlink()
    study = run.study
    data = {
        "cases": rows, "pictures": pictures, "folder": PICTURES, "unit": study.get("unit", "breast"),
        "positive": study.get("positive", "malignant"),
        "variants": [study["variants"][name].get("label", name) for name in run.variants],
    }
    # `<` as an escape: no text of a study ends the script that holds it
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e")
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        (files("pipeline.report") / "exams.html").read_text(encoding="utf-8"))
    page = run.folder / PAGE
    write_text(page, template.render(title=study["title"], data=text, version=__version__,
                                     synthetic=bool((study.get("dataset") or {}).get("synthetic"))))
    return page


def cases(run: Run, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every scored case: of those that a fold tests that row, of the others the first fold's that validates them.

    Returns:
        by case: names, `label`, `fold`, `split`, `scores` of the variants, their `calls` (1, 0, or None without a
        threshold), their `surprise` (0 to 1: the share of the same fold's cases of the other class that a malignant
        case ranks below, or a negative one above), `readers`, `groups`, and paths of its `stacks`, with their variants'
        labels.
    """
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    stacks = list(_stacks(run))
    parts = [(fold, "test") for fold in run.folds] + [(fold, "validation") for fold in run.folds]
    if run.final:
        parts.insert(0, (run.tested[0], "test"))
    for fold, split in parts:
        last = bool(run.final) and fold == run.tested[0]
        tables = [run.final[name] if last else run.part(name, fold, split) for name in run.variants]
        of = [item for item in ITEM if item in tables[0]]
        scores = [_aligned(table, tables[0], of) for table in tables]
        surprise = [_surprise(tables[0]["label"].to_numpy(), score) for score in scores]
        cuts = [_cut(run, metrics, name, fold, last) for name in run.variants]
        for i, values in enumerate(tables[0].to_dict("records")):
            row = {str(name): value for name, value in values.items()}
            key = tuple(str(row[item]) for item in of)
            if key in found:
                continue
            found[key] = {
                **{item: str(row[item]) for item in of}, "label": int(row["label"]), "fold": int(fold), "split": split,
                "scores": [_plain(score[i]) for score in scores],
                "calls": [None if cut is None or np.isnan(score[i]) else int(score[i] >= cut)
                          for score, cut in zip(scores, cuts, strict=True)],
                "surprise": [_plain(each[i]) for each in surprise],
                "readers": {name[7:]: _plain(row[name]) for name in row if name.startswith("reader_")},
                "groups": {name[6:]: str(row[name]) for name in row if name.startswith("group_")},
                "stacks": _of_case(stacks, dict(zip(of, key, strict=True))),
            }
    return list(found.values())


def _aligned(table: pd.DataFrame, first: pd.DataFrame, of: list[str]) -> np.ndarray:
    """A variant's scores in the order of the first one's rows; NaN where it has none."""
    known = table.set_index([table[item].astype(str) for item in of])["score"]
    wanted = [tuple(row) if len(of) > 1 else row[0] for row in first[of].astype(str).to_numpy()]
    return known.reindex(wanted).to_numpy(dtype=float)


def _surprise(label: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Of each case the share of the other class on the wrong side of it, ties half; 0.5 where there is none."""
    share = np.full(len(label), 0.5)
    for one in (0, 1):
        others = np.sort(score[(label != one) & np.isfinite(score)])
        mine = (label == one) & np.isfinite(score)
        if len(others):
            below = (np.searchsorted(others, score[mine], "left") + np.searchsorted(others, score[mine], "right")) / 2
            share[mine] = 1 - below / len(others) if one else below / len(others)
    return share


def _cut(run: Run, metrics: Mapping[str, Any], name: str, fold: int, last: bool) -> float | None:
    if last:
        return 0.5  # no validation part: as the report's table of the last test has it
    known: float | None = dict(zip(metrics["folds"], metrics["variants"][name]["threshold"], strict=True)).get(fold)
    return known


def _plain(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def _stacks(run: Run) -> Iterator[tuple[Path, dict[str, str], str]]:
    """Stored slices of the variants, each with the names of its case and the variant's label.

    Of several variants' maps those of the first, and beside them every detector's boxes.
    """
    seen: set[Any] = set()
    for name in run.variants:
        label = run.study["variants"][name].get("label", name)
        for fold in run.tested:
            place = run.place(name, fold)
            for path in sorted([*place.glob(f"{FOLDER}/*.npz"), *place.glob(f"*/{FOLDER}/*.npz")]):
                stack = load_stack(path)
                key = (tuple(sorted(stack.names.items())), None if stack.boxes is None else name)
                if key not in seen:
                    seen.add(key)
                    yield path, stack.names, label


def _of_case(stacks: Iterable[tuple[Path, Mapping[str, str], str]], names: Mapping[str, str]) -> dict[Path, str]:
    """The slices whose names agree with a case's as far as the case has them: an exam's four views, say."""
    return {path: label for path, own, label in stacks
            if all(own.get(key) == value for key, value in names.items() if value and key in own)}


def _draw(path: Path, folder: Path, label: str) -> dict[str, Any]:
    """The pictures of one file of slices of a variant; strips hold them one below the other."""
    stack = load_stack(path)
    state = path.stat()
    name = hashlib.sha256(f"{_LOOK} {path} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:16]
    shown, (count, rows, columns) = stack.shown(), stack.image.shape
    if not (folder / f"{name}_thumb.jpg").is_file():  # written last
        _save(Image.fromarray(stack.image.reshape(-1, columns)), folder / f"{name}_image.png")
        if stack.heat is not None:
            _save(_coloured(stack.heat.reshape(-1, columns)), folder / f"{name}_heat.png", transparency=_alpha())
        _save(_thumbnail(stack, shown), folder / f"{name}_thumb.jpg", quality=80)
    return {
        "file": name, "name": stack.names.get("image_id", ""), "variant": label, "slices": count, "rows": rows,
        "columns": columns,
        "aspect": round(stack.aspect, 4), "numbers": stack.numbers.tolist(), "total": stack.total,
        "heat": stack.heat is not None, "hot": bool(stack.heat is not None and stack.heat.any()), "shown": shown,
        "points": [[round(float(x), 1), round(float(y), 1), int(z), int(kind)]
                   for (x, y, z), kind in zip(stack.points, stack.malignant, strict=True)],
        **({} if stack.boxes is None else {"boxes": [
            [*(round(v, 1) for v in box[:4]), *map(int, box[4:7]), round(box[7], 3)] for box in stack.boxes.tolist()]}),
    }


def _coloured(heat: np.ndarray) -> Image.Image:
    image = Image.fromarray(heat).convert("P")
    image.putdata(heat.ravel())
    image.putpalette((colormaps[MAP](np.arange(256))[:, :3] * 255).round().astype(np.uint8).tobytes())
    return image


def _alpha() -> bytes:
    """How far each heat covers the image: weak heat lets it through."""
    return (_GAIN[0] * (np.arange(256) / 255) ** _GAIN[1] * 255).round().astype(np.uint8).tobytes()


def _thumbnail(stack: Stack, shown: int) -> Image.Image:
    grey = np.repeat(stack.image[shown][:, :, None], 3, axis=2) / 255
    if stack.heat is not None:
        heat = stack.heat[shown] / 255
        strength = _GAIN[0] * heat[:, :, None] ** _GAIN[1]
        grey = (1 - strength) * grey + strength * colormaps[MAP](heat)[:, :, :3]
    rows, columns = grey.shape[0] * stack.aspect, grey.shape[1]
    zoom = _THUMB / max(rows, columns)
    small = Image.fromarray((grey * 255).round().astype(np.uint8)).resize(
        (max(round(columns * zoom), 1), max(round(rows * zoom), 1)), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(small)
    for x, y, width, height, first, last, malignant, _ in () if stack.boxes is None else stack.boxes.tolist():
        if first <= shown <= last:
            left, top = round(x * zoom), round(y * stack.aspect * zoom)
            right, bottom = round((x + width - 1) * zoom), round(((y + height) * stack.aspect - 1) * zoom)
            pen.rectangle([left, top, max(right, left), max(bottom, top)], outline=_COLOURS[int(malignant)])
    return small


def _save(image: Image.Image, path: Path, **options: Any) -> None:
    with replacing(path, path.suffix) as temporary:
        image.save(temporary, **options)
