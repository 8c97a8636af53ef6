"""Commands in processes of their own, without the seconds of importing PyTorch and MONAI that each takes.

A server has imported what others wrote, and nothing of ours; for each command it forks. The fork has the command's own
arguments, folder, environment and streams, imports our code afresh, and ends as `python -m` does: the same excepthook,
atexit functions and exit status. Commands that it starts itself with `sys.executable` start in the same way. What is
about a program's very start, its signals or its memory, or about a variable that libraries read when they are imported,
is tested with `sys.executable` itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


def run(words: list[str], cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`python -m` these words."""
    process = start(words, cwd, environment)
    out, err = process.communicate()
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def start(words: list[str], cwd: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """`python -m` these words, without waiting for its end."""
    folder, _ = _server()
    return subprocess.Popen([f"{folder.name}/python", "-m", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, cwd=cwd, env={**environment, "WARM_SERVER": f"{folder.name}/socket"})


@cache
def _server() -> tuple[tempfile.TemporaryDirectory[str], subprocess.Popen[bytes]]:
    """The server, which ends with this process, and the folder of its socket and of the `python` that hands over."""
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    python = Path(folder.name, "python")
    python.write_text(f"""#!/bin/sh
case "$1 $2" in
"-m monai.bundle" | "-m pipeline" | "-m data_lists" | "-m tests."*)
  exec "{sys.executable}" -I -S "{HERE}/warm_python.py" "$@" ;;
*)  # as joblib's workers, which take open files over
  exec "{sys.executable}" "$@" ;;
esac
""")
    python.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder.name}/socket")
        listening.listen()
        server = subprocess.Popen([sys.executable, str(HERE / "warm_server.py"), str(listening.fileno()), str(python)],
                                  stdin=subprocess.PIPE, pass_fds=[listening.fileno()],
                                  env={**os.environ, "OMP_NUM_THREADS": "1"})
    return folder, server
