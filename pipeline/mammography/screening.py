"""What screening mammography is about: labels of images (§4.1), and scores of breasts and examinations (§3.3, §3.4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.datalist import INTERVAL, SCREEN
from pipeline.prediction_rows import prediction_row

MOST_VIEWS = 4  # §4.1: examinations with more images are left out
ALL_READERS = "all"  # their scores of a breast added up


def found_by_screening(case: Mapping[str, Any]) -> bool:
    """Whether an image shows a malignant breast that is to be found: not one of an interval cancer (§4.1).

    A `prior` examination has a malignant breast only where its list was made so.
    """
    return bool(case["malignant"]) and case["detection"] != INTERVAL


def is_known(images: Iterable[Mapping[str, Any]]) -> bool:
    """Whether it is known of an examination's images if there was a cancer to find."""
    images = list(images)
    if any(map(found_by_screening, images)):
        return True
    detection = images[0]["detection"]
    return detection != SCREEN if detection else all(image["malignant"] == 0 for image in images)


def image_label(case: Mapping[str, Any], other_breast: str = "leave_out") -> int | None:
    """The training label of an image (§4.1).

    Both views of the affected breast of a screen-detected cancer are positive. All views of any other examination are
    negative: what turns up in the interval after it was not found there. The breast without cancer of a positive
    examination is left out.

    Args:
        case: `malignant` of the breast (None: unknown), `detection` of the examination, and its `label`: 1 where any of
            its breasts is positive.
        other_breast: `negative` labels the breast without cancer of a positive examination 0.

    Returns:
        1, 0, or None: not trained on.
    """
    if found_by_screening(case):
        return 1
    if case["label"]:
        return 0 if other_breast == "negative" and case["malignant"] == 0 else None
    return 0 if case["detection"] else case["malignant"]


def breast_score(images: Iterable[tuple[str, float]]) -> float:
    """A breast's risk: the sum of its two views' scores (§3.4).

    Ours: repeats of a view are averaged, and a view that is missing counts as much as the one that is there, so that
    breasts with one view stay comparable.

    Args:
        images: view (`CC` or `MLO`) and score of each image, at least one.
    """
    views: dict[str, list[float]] = {}
    for view, score in images:
        views.setdefault(view, []).append(score)
    return 2 * sum(sum(scores) / len(scores) for scores in views.values()) / len(views)


def exam_score(images: Iterable[tuple[str, str, float]]) -> tuple[float, dict[str, float]]:
    """An examination's risk: the larger of its breasts' (§3.4).

    Args:
        images: side, view and score of each image, at least one.

    Returns:
        the score, and each breast's by side.
    """
    breasts: dict[str, list[tuple[str, float]]] = {}
    for side, view, score in images:
        breasts.setdefault(side, []).append((view, score))
    scores = {side: breast_score(found) for side, found in sorted(breasts.items())}
    return max(scores.values()), scores


def ensemble(holistic: float, attention: float) -> float:
    """An image's ensemble score: the mean of the two models' (§3.3)."""
    return (holistic + attention) / 2


def probability(score: float) -> float:
    """The logistic of an image's score: 0–1, in the same order."""
    return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))


def exam_probability(score: float) -> float:
    """An examination's score as 0–1, in the same order: the logistic of the mean over the breast's two views."""
    return probability(score / 2)


def reader_scores(readers: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Readers' scores of an examination (§4.3): one reader, the maximum over breasts; all readers, their sum a breast.

    Sums are taken only where all readers scored the same breasts, and there are several. A reader who left out a breast
    that another scored has not read the examination.

    Args:
        readers: reader to scores by side, or `{"exam": score}`.

    Returns:
        reader to score, and `ALL_READERS` to that of all.
    """
    seen = {side for given in readers.values() for side in given if side != "exam"}
    readers = {name: given for name, given in readers.items() if given and ("exam" in given or set(given) == seen)}
    found = {name: max(given.values()) for name, given in readers.items()}
    sides = [frozenset(given) for given in readers.values() if given]
    if len(sides) > 1 and len(set(sides)) == 1 and "exam" not in sides[0]:
        found[ALL_READERS] = max(sum(given[side] for given in readers.values() if given) for side in sides[0])
    return found


def exam_row(case: Mapping[str, Any], fold: int) -> dict[str, Any]:
    """What a row of predictions says of an examination beside its score; `reading_…` is a reader's of a breast.

    Args:
        case: an examination, or any image of it, with `label`.
        fold: which fold.
    """
    row = prediction_row({**case, "side": "", "readers": reader_scores(case["readers"])}, fold)
    return row | {f"reading_{side}_{name}": value for name, given in case["readers"].items()
                  for side, value in given.items() if side != "exam"}
