"""The exception for input that a user can mend."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

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


def test_within_a_web_server_it_is_an_http_error_with_the_line() -> None:
    script = """
import sys, types
server = types.ModuleType("starlette.exceptions")
class HTTPException(Exception):
    def __init__(self, status_code, detail=None): super().__init__(status_code, detail)
server.HTTPException = HTTPException
sys.modules["starlette.exceptions"] = server
from transforms.errors import InputError
error = InputError("E1: damaged; copy it again", code="x")
print(isinstance(error, HTTPException), isinstance(error, ValueError), error.status_code, error.detail, "|", error)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                           cwd=Path(__file__).parents[3])
    assert ended.stdout == "True True 422 E1: damaged; copy it again | E1: damaged; copy it again\n", ended.stderr
