"""The server of `warm_start`: imports what others wrote, then forks for each command."""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

import numpy as np

OTHERS = ("monai.bundle", "torch._dynamo")  # the first brings all that a run has; optimizers ask for the second


def serve(listening: socket.socket) -> dict[str, Any]:
    """Fork for one command after another until standard input ends; returns in the forks, with what was asked."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for a command
    while listening in select.select([listening, sys.stdin], [], [])[0]:
        connection, _ = listening.accept()
        if not os.fork():
            return attend(connection)
        connection.close()
    os._exit(0)


def attend(connection: socket.socket) -> dict[str, Any]:
    """Fork for a command, and say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    streams = socket.recv_fds(connection, 1, 3)[1]
    asked = json.loads(connection.makefile().readline())
    if not (command := os.fork()):
        connection.close()
        return {**asked, "streams": streams}
    for stream in streams:
        os.close(stream)
    if connection in select.select([connection, os.pidfd_open(command)], [], [])[0]:
        os.kill(command, signal.SIGTERM)  # whoever asked has ended
    status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    with suppress(BrokenPipeError):
        connection.sendall(str(status).encode())
    os._exit(0)


def become(words: list[str], cwd: str, environment: dict[str, str], streams: list[int]) -> str:
    """Give this process what the command was given; returns its module."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = cwd
    module, *sys.argv[1:] = words
    np.random.seed()  # forks share the server's
    return module


if __name__ == "__main__":
    gc.disable()
    for name in OTHERS:
        importlib.import_module(name)
    gc.freeze()  # or every fork walks through all of it when it ends
    gc.enable()
    sys.executable = sys.argv[2]
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        asked = serve(listening)
    runpy._run_module_as_main(become(**asked))  # what `python -m` itself calls
