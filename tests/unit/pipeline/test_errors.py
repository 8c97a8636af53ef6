"""Which errors become one line, and with which status a command ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.errors import InputError, one_line, run_main


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(("error", "line"), [
    (InputError("E1: no t2; add it"), "E1: no t2; add it"),
    (raised(RuntimeError("applying transform"), InputError("E1: no t2; add it")), "E1: no t2; add it"),
    (RuntimeError("Caught InputError in DataLoader worker process 0.\nTraceback …\n"
                  "transforms.errors.InputError: E2: damaged; copy it again"), "E2: damaged; copy it again"),
    (ValueError("a bug"), None),
    (None, None),
], ids=["itself", "cause", "worker", "bug", "nothing"])
def test_the_line_of_the_first_input_error(error, line) -> None:
    assert one_line(error) == line


def test_a_ring_of_causes_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert one_line(first) is None


def test_status_of_a_command(capsys) -> None:
    def failing(error: BaseException):
        def main() -> int:
            raise error
        return main

    assert run_main(lambda: None) == 0 and run_main(lambda: 1) == 1
    assert run_main(failing(InputError("x.csv: empty; write it again"))) == 2
    assert capsys.readouterr().err == "error: x.csv: empty; write it again\n"
    assert run_main(failing(KeyboardInterrupt())) == 130 and run_main(failing(BrokenPipeError())) == 0
    with pytest.raises(ZeroDivisionError):  # a bug keeps its traceback
        run_main(failing(ZeroDivisionError()))


def test_the_hook_prints_one_line_for_input_and_a_traceback_for_bugs() -> None:
    script = "from pipeline.errors import InputError, install_excepthook; install_excepthook(); raise {}('x: y; z')"
    for kind, lines in (("InputError", ["error: x: y; z"]), ("KeyError", None)):
        ended = subprocess.run([sys.executable, "-c", script.format(kind)], capture_output=True, text=True)
        assert ended.returncode == 1
        assert ended.stderr.splitlines() == lines if lines else "Traceback" in ended.stderr
