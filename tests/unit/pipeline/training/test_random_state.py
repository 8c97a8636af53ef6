"""The global random states, put away and taken up again."""

from __future__ import annotations

import io
import random

import numpy as np
import torch

from pipeline.training import random_state


def draw() -> list[float]:
    return [torch.rand(()).item(), float(np.random.random()), random.random()]


def test_what_was_put_away_draws_the_same_again() -> None:
    draw()
    kept = random_state.get_random()
    first = draw()
    assert draw() != first
    random_state.set_random(kept)
    assert draw() == first


def test_it_can_be_kept_in_a_file_that_holds_no_code() -> None:
    file = io.BytesIO()
    torch.save(random_state.get_random(), file)
    file.seek(0)
    first = draw()
    random_state.set_random(torch.load(file, weights_only=True))
    assert draw() == first


def test_what_is_drawn_inside_leaves_no_trace() -> None:
    with random_state.kept_random():
        first = draw()
    assert draw() == first
