"""The exception for input that a user can mend."""

from __future__ import annotations

import pickle

from transforms.errors import InputError


def test_it_is_its_line_and_a_code() -> None:
    error = InputError("a.nii.gz: empty file; copy it again", code="empty")
    assert isinstance(error, ValueError) and str(error) == "a.nii.gz: empty file; copy it again"
    assert error.code == "empty" and InputError("x").code == ""


def test_it_comes_back_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(InputError("x", code="empty")))
    assert isinstance(error, InputError) and (str(error), error.code) == ("x", "empty")


def test_of_a_worker_s_traceback_the_line_is_kept() -> None:
    sent = ("Caught InputError in worker.\nTraceback:\n  File x\n"
            "transforms.errors.InputError: E1.npy: changed; prepare again")
    assert str(InputError(sent)) == "E1.npy: changed; prepare again"
