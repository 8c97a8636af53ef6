"""Checks of an exam's images: each alone, the phases against each other, lesion centres against them."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from pipeline.datalist import MASK, Datalist, Exam
from pipeline.verify.codes import Issue, issue
from transforms.breast_mri.exam_files import T2
from transforms.facts import Facts
from transforms.grid import Grid, triple

SPACING = (0.05, 20.0)  # mm; voxels beyond these come from a wrong unit or a lost header
ROTATION = 1e-3  # largest difference of a voxel's step between phases, relative to its length
TRANSLATION = 0.01  # mm, largest difference of the first voxel's place between phases
OVERLAP = (0.2, 0.4)  # share of the first phase inside another contrast: below, an error, a warning
OUTLIER = (100.0, 20.0)  # largest value over the 99.9th percentile: above, an error, a warning
CLIPPED = (0.1, 0.01)  # share of voxels at the largest value: above, an error, a warning
MIDLINE = 10.0  # mm around the image's middle in which a centre on the wrong side may still be right

_PHASE = re.compile(r"pre|post(\d+)")


def image_issues(modality: str, exam: Exam, facts: dict[str, Facts]) -> Iterable[Issue]:
    """Check the images of one exam.

    Args:
        modality: MR, US or MG.
        exam: the exam.
        facts: what was read, a contrast; files that could not be read are reported, and left out of the rest.
    """
    usable = {}
    for name, fact in facts.items():
        found = list(_single(modality, exam, name, fact))
        yield from found
        if not {"not_3d", fact.fault} & {item.code for item in found}:
            usable[name] = fact
    phases = [name for name in usable if modality == "MR" and _PHASE.fullmatch(name)]  # 3D, all that are left
    phases.sort(key=_phase_number)
    for name in [*phases[1:], *([MASK] if phases and MASK in usable else [])]:
        yield from _same_grid(exam, name, usable[name], phases[0], usable[phases[0]])
    for name in T2:
        if modality == "MR" and phases and name in usable:
            yield from _overlap(exam, name, usable[name], phases[0], usable[phases[0]])
    if modality == "MG":
        yield from _origins(exam, usable)
    order = [*phases, *(name for name in usable if name not in phases)]
    if modality == "MG":
        yield from _findings(exam, usable)
    if order and modality != "MG":  # a mammogram has no place in millimetres
        first = usable[order[0]]
        # A 4D file's phases share its first three axes.
        grid = Grid((first.shape[0], first.shape[1], first.shape[2]), first.affine)
        yield from _centers(modality, exam, order[0], grid)


def _single(modality: str, exam: Exam, name: str, fact: Facts) -> Iterable[Issue]:
    """One image by itself."""
    if fact.fault:
        yield issue(fact.fault, exam.exam_id, name, detail=fact.detail)
        return
    if modality == "MG" and not fact.shape:  # not read
        return
    shape = " x ".join(map(str, fact.shape))
    flat = len(fact.shape) == 2 or (len(fact.shape) == 3 and fact.shape[2] == 1)
    solid = len(fact.shape) == 3 and min(fact.shape) > 1
    if modality == "MG" and not flat:
        yield issue("not_3d", exam.exam_id, name, shape=shape, expected="a picture (2D)")
    elif modality == "MR" and name == "image" and len(fact.shape) == 4 and min(fact.shape) > 1:
        pass  # all phases in one file
    elif modality != "MG" and not solid:
        yield issue("not_3d", exam.exam_id, name, shape=shape, expected="one volume (3D)")
    if modality == "MR" and not fact.placed:
        yield issue("no_orientation", exam.exam_id, name)
    yield from _spacing(modality, exam, name, fact)
    for note in fact.notes:
        yield issue("converted", exam.exam_id, name, what=note)
    if modality != "US" and name != MASK and fact.spread > OUTLIER[1]:
        yield issue("outlier", exam.exam_id, name, "" if fact.spread > OUTLIER[0] else "warning", ratio=fact.spread)
    if modality == "MR" and name != MASK and fact.clipped > CLIPPED[1]:
        yield issue("clipped", exam.exam_id, name, "" if fact.clipped > CLIPPED[0] else "warning", share=fact.clipped)
    if fact.non_finite:
        yield issue("non_finite", exam.exam_id, name, count=fact.non_finite)
    if fact.constant is not None and name != MASK:
        yield issue("constant_image", exam.exam_id, name, value=f"{fact.constant:g}")


def _spacing(modality: str, exam: Exam, name: str, fact: Facts) -> Iterable[Issue]:
    axes = 2 if modality == "MG" else 3
    spacing = np.linalg.norm(fact.affine[:3, :3], axis=0)[:axes]
    # Conversions that lose the header leave voxels of 1 mm that begin at the origin, at most mirrored.
    lost = modality != "MG" and np.array_equal(np.abs(fact.affine), np.eye(4))
    if lost or spacing.min() < SPACING[0] or spacing.max() > SPACING[1]:
        text = " x ".join(f"{step:.3g}" for step in spacing)
        yield issue("odd_spacing", exam.exam_id, name, spacing=text,
                    detail=" and the origin at 0: the header seems lost" if lost else "")


def _phase_number(name: str) -> int:
    match = _PHASE.fullmatch(name)
    return int(match[1]) if match and match[1] else -1


def _same_grid(exam: Exam, name: str, fact: Facts, other: str, reference: Facts) -> Iterable[Issue]:
    """One phase against the first: later ones are stacked onto it voxel by voxel."""
    if fact.shape != reference.shape:
        shapes = [" x ".join(map(str, each.shape)) for each in (fact, reference)]
        yield issue("shape_mismatch", exam.exam_id, name, shape=shapes[0], other=other, reference=shapes[1])
        return
    change = fact.affine - reference.affine
    steps = np.linalg.norm(change[:3, :3], axis=0)
    shift = np.linalg.norm(change[:3, 3])
    if shift > TRANSLATION or (steps > ROTATION * np.linalg.norm(reference.affine[:3, :3], axis=0)).any():
        corners = np.array([*itertools.product(*((0, n - 1) for n in fact.shape), (1,))]).T
        distance = np.linalg.norm((change @ corners)[:3], axis=0).max()
        yield issue("affine_mismatch", exam.exam_id, name, other=other, distance=distance)


def _overlap(exam: Exam, name: str, fact: Facts, other: str, reference: Facts) -> Iterable[Issue]:
    """A contrast with a grid of its own against the first phase: how much of the phase it covers."""
    grid, first = (Grid(triple(each.shape[:3]), each.affine) for each in (fact, reference))
    places = np.stack(np.meshgrid(*(np.linspace(0, n - 1, 9) for n in first.shape), indexing="ij"), -1).reshape(-1, 3)
    index = grid.to_index(first.to_world(places))
    share = float(((index >= -0.5) & (index < np.asarray(grid.shape) - 0.5)).all(axis=1).mean())
    if share < OVERLAP[1]:
        yield issue("no_overlap", exam.exam_id, name, "" if share < OVERLAP[0] else "warning", share=share, other=other)


def _origins(exam: Exam, facts: dict[str, Facts]) -> Iterable[Issue]:
    """Views that their headers give to another patient, study or processing than most of the exam's."""
    for what, code in (("patient", "other_patient"), ("study", "other_study"), ("intent", "mixed_intent")):
        said = {name: fact.origin[what] for name, fact in facts.items() if fact.origin.get(what)}
        counts = Counter(said.values()).most_common()
        if len(counts) < 2 or (what == "study" and len({f.origin.get("patient") for f in facts.values()}) > 1):
            continue
        tied = counts[0][1] == counts[1][1]
        for name, value in said.items():
            if tied or value != counts[0][0]:
                yield issue(code, exam.exam_id, name, what=value)


def _centers(modality: str, exam: Exam, image: str, grid: Grid) -> Iterable[Issue]:
    """Every lesion's centre against the grid of the exam's first image."""
    size = np.asarray(grid.shape)
    middle = float(grid.to_world((size - 1) / 2)[0])
    for lesion, point in exam.points():
        center = np.asarray(point, float)
        if not np.isfinite(center).all():
            yield issue("center_outside", exam.exam_id, image, lesion=lesion.lesion_id,
                        detail="is not finite")
            continue
        if not grid.contains(center):
            nearest = grid.to_world(np.clip(grid.to_index(center), -0.5, size - 0.5))
            yield issue("center_outside", exam.exam_id, image, lesion=lesion.lesion_id,
                        detail=f"lies {math.dist(center, nearest):.0f} mm outside the image")
            continue
        # The image's middle is the patient's only where both breasts are in it.
        if modality == "MR" and set(exam.breasts) == {"L", "R"} and lesion.side in exam.breasts:
            beyond = (center[0] - middle) * (-1 if lesion.side == "R" else 1)  # R lies at greater x
            if beyond > 0:
                severity = "warning" if beyond <= MIDLINE else "error"
                yield issue("center_other_breast", exam.exam_id, image, severity,
                            lesion=lesion.lesion_id, side=lesion.side, distance=beyond)


def _findings(exam: Exam, facts: dict[str, Facts]) -> Iterable[Issue]:
    """Boxes on mammograms against the images; their sizes are known where the images were read."""
    for finding in exam.findings:
        if finding.view not in exam.images:
            yield issue("box_without_view", exam.exam_id, view=finding.view[:10])
            continue
        top, left, bottom, right = finding.box
        columns, rows = (facts[finding.view].shape if finding.view in facts else ()) or (right, bottom)
        if not (0 <= top < bottom <= rows and 0 <= left < right <= columns):
            yield issue("box_outside", exam.exam_id, finding.view, shape=f"{columns} x {rows}")
        side = finding.view[0]
        if finding.malignant == 1 and exam.breasts.get(side, {}).get("malignant") == 0:
            yield issue("box_label_contradicts", exam.exam_id, finding.view, view=finding.view[:10], side=side)


def contrast_issues(datalist: Datalist, contrasts: list[str] | None) -> Iterable[Issue]:
    """Exams that lack a contrast: one that was asked for (error), or one that most exams have (warning)."""
    counts = Counter(name for exam in datalist.exams for name in exam.images)
    common = [name for name, count in counts.items() if 2 * count > len(datalist.exams)]
    for exam in datalist.exams:
        for name in common if contrasts is None else contrasts:
            if name not in exam.images:
                detail = f", {counts[name]} of {len(datalist.exams)} exams have it"
                yield issue("missing_phase", exam.exam_id, name, "warning" if contrasts is None else "",
                            detail=detail)
        if not exam.images:
            yield issue("missing_phase", exam.exam_id, detail=": it has no image at all")


def duplicate_issues(uses: list[tuple[str, str, str, Facts]]) -> Iterable[Issue]:
    """Images that are there twice.

    Args:
        uses: exam, contrast, normalised path and facts of every image, in the list's order.
    """
    by_path: dict[str, str] = {}
    by_voxels: dict[tuple, str] = {}
    for exam, name, path, fact in uses:
        here = f"{name} of exam {exam}"
        if path in by_path:
            yield issue("duplicate_image", exam, name, what="file", other=by_path[path])
            continue
        by_path[path] = here
        if fact.fault or fact.checksum is None or fact.constant is not None:
            continue
        other = by_voxels.setdefault((fact.shape, fact.checksum), here)
        if other != here:
            yield issue("duplicate_image", exam, name, "warning", what="voxels", other=other)
