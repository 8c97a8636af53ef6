"""Prepared exams are done again where `parameters` of what loads them change: they must hold all that matters."""

from __future__ import annotations

import inspect
import json

import pytest

from transforms import (
    LoadBreasts,
    LoadBreastsd,
    LoadCenterCrops,
    LoadLesionSlices,
    LoadLesionSlicesd,
    LoadSliceStack,
    LoadSliceStackd,
    LoadViews,
)

# Loader -> what `parameters` must be as it is built here, and another value for each argument of the constructor.
CHANNELS = ["pre", "post1", "t2"]
LOADERS = {
    LoadBreasts: (
        {"channels": CHANNELS},
        {"channels": CHANNELS, "matrix": [512, 512, 32], "rows": 256, "field_of_view": "bilateral", "align": True},
        {"channels": CHANNELS[:2], "matrix": (256, 256, 16), "rows": 128, "field_of_view": "single", "align": False}),
    LoadLesionSlices: (
        {"channels": CHANNELS},
        {"channels": CHANNELS, "patch_size": 50, "patch_mm": None, "acquisition": "axial", "extent": 10.0,
         "subtraction": "post1-pre", "shrink_factor": [4, 4, 1], "iterations": [50, 50, 50, 50], "shared": "post2"},
        {"channels": CHANNELS[:2], "size": 24, "size_mm": 30.0, "acquisition": "sagittal", "extent": 5,
         "subtraction": "pre-post1", "shrink_factor": (2, 2, 1), "iterations": (), "shared": "pre"}),
    LoadCenterCrops: (
        {"places": {"0": [(0.1, 0.2, 0.3)]}},
        {"channels": ["image"], "crop": [28, 280, 280], "healthy": 2, "axes": ["lateral", "depth", "sweep"],
         "spacing": None, "far_mm": None, "places": {"0": [[0.1, 0.2, 0.3]]}, "seed": 0},
        {"shape": (8, 40, 40), "healthy": 3, "axes": ("depth", "lateral", "sweep"), "spacing": (1, 0.5, 0.5),
         "far_mm": 40, "places": {}, "seed": 1}),
    LoadSliceStack: ({}, {"channels": ["pre", "post1", "post2", "post3"]}, {"channels": ["pre", "post2"]}),
    LoadViews: (
        {}, {"channels": ["image"], "stored": None, "check_side": True}, {"stored": "left", "check_side": False}),
}
EACH_EXAM_BRINGS = {"sides"}

each_loader = pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)


@each_loader
def test_names_and_values_are_those_of_folders_already_prepared(loader) -> None:
    """The key of a prepared exam is a digest of this text: another one would prepare every exam again."""
    built, wanted, _ = LOADERS[loader]
    assert json.dumps(loader(**built).parameters, sort_keys=True) == json.dumps(wanted, sort_keys=True)


@each_loader
def test_every_argument_counts(loader) -> None:
    built, _, other = LOADERS[loader]
    assert set(other) == set(inspect.signature(loader).parameters) - EACH_EXAM_BRINGS
    first = json.dumps(loader(**built).parameters)
    seen = {json.dumps(loader(**{**built, name: value}).parameters) for name, value in other.items()}
    assert first not in seen and len(seen) == len(other)


@pytest.mark.parametrize("given", [[(1, 2, 3), (1.0, 2.0, 3.0)], [[1, 2, 3], (1, 2, 3)]], ids=["numbers", "sequences"])
def test_the_same_setting_written_otherwise_is_the_same(given) -> None:
    first, second = (LoadCenterCrops(spacing=each, far_mm=each[0]).parameters for each in given)
    assert json.dumps(first) == json.dumps(second)


def test_dictionary_versions_say_the_same() -> None:
    assert LoadBreastsd("image", CHANNELS).parameters == LoadBreasts(CHANNELS).parameters
    assert LoadLesionSlicesd(channels=CHANNELS).parameters == LoadLesionSlices(CHANNELS).parameters
    assert LoadSliceStackd("image", ["pre", "post3"]).parameters == LoadSliceStack(["pre", "post3"]).parameters
