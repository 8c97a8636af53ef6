"""Tissue: interpolation, lesions that are local, shadows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.phantoms.breast_ultrasound import exams as ultrasound
from pipeline.phantoms.breast_ultrasound.echo import Beam
from pipeline.phantoms.breast_ultrasound.specs import draw_cohort
from pipeline.phantoms.breast_ultrasound.tissue import lerp

TINY = ultrasound.Preset((48, 64, 24), (2.4, 0.7, 4.5), Beam(0.5, (1.2, 2.0), 2.2))


DEMO = ultrasound.PRESETS["demo"]


def render(spec, preset=TINY):
    return ultrasound.make_exam(spec, preset, np.random.default_rng([spec.seed, spec.index]))


def one_lesion(**changes):
    """A specimen with one round lesion, and the index of its centre."""
    spec = next(s for s in draw_cohort(60, DEMO.field) if len(s.lesions) == 1)
    lesion = replace(spec.lesions[0], diameter_mm=12.0, margin="smooth", stretch=1.0, **changes)
    index = np.rint(DEMO.frame.grid().index(np.array(lesion.place))).astype(int)
    return replace(spec, lesions=(lesion,)), index


@pytest.mark.parametrize("margin", ["smooth", "irregular"])
def test_masks_have_the_volume_of_their_diameter(margin):
    spec, index = one_lesion()
    spec = replace(spec, lesions=(replace(spec.lesions[0], margin=margin, stretch=1.15),))
    mask = render(spec, DEMO)["lesions_mask"]
    assert mask[tuple(index)] == 1
    assert mask.sum() * np.prod(DEMO.spacing) == pytest.approx(np.pi / 6 * 12**3, rel=0.15)
    if margin == "smooth":  # wider than tall
        sizes = [np.ptp(axis) * step for axis, step in zip(np.nonzero(mask), DEMO.spacing, strict=True)]
        assert sizes[0] > 1.2 * sizes[1]


def test_lerp_equals_numpy_along_every_axis():
    array = np.random.default_rng(0).random((5, 6, 7)).astype(np.float32)
    at = np.array([-1.0, 0.25, 3.5, 9.0])
    first, last = lerp(array, [at, np.arange(6), np.arange(7)]), lerp(array, [np.arange(5), np.arange(6), at])
    assert first[:, 2, 3] == pytest.approx(np.interp(at, range(5), array[:, 2, 3]))
    assert last[1, 2] == pytest.approx(np.interp(at, range(7), array[1, 2]))


def test_a_lesion_changes_its_place_and_what_lies_behind_it_and_nothing_else():
    change = {}
    for posterior, loss in (("shadow", 15.0), ("none", 0.0), ("enhancement", -6.0)):
        spec, (i, j, k) = one_lesion(posterior=posterior, behind_db=loss)
        with_it, without = (render(s, DEMO)["image"].astype(float) for s in (spec, replace(spec, lesions=())))
        difference = with_it - without
        assert difference[i - 2 : i + 3, j - 5 : j + 6, k - 1 : k + 2].mean() < -25
        far = np.ones(difference.shape, bool)
        far[i - 15 : i + 16, j - 30 :, max(k - 8, 0) : k + 9] = False
        assert not difference[far].any()
        change[posterior] = difference[i - 2 : i + 3, j + 22 : j + 34, k - 1 : k + 2].mean()
    assert change["shadow"] < -30 and abs(change["none"]) < 12 and change["enhancement"] > 12


def test_nipple_and_ribs_throw_shadows():
    nipple, shaded = [], []
    for spec in draw_cohort(6, DEMO.field):
        image = render(replace(spec, lesions=()), DEMO)["image"].astype(float)
        i, _, k = np.rint(DEMO.frame.grid().index(np.array([spec.nipple[0], 0, spec.nipple[1]]))).astype(int)
        column = image[i - 2 : i + 3, 30:90, k - 1 : k + 2].mean()
        nipple.append(column - image[:, 30:90].mean())
        # Behind the chest wall the brightness along the sweep comes and goes with the ribs.
        deep = image[40:90, -8:].mean(axis=(0, 1))
        shaded.append(np.ptp(deep))
    assert np.mean(nipple) < -15 and np.median(shaded) > 30
