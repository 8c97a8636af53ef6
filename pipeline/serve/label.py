"""Exports in the stock `monaibundle` app of MONAI Label, on loopback: `python -m pipeline.serve.label EXPORTED…`.

What `make label-demo` and the end-to-end tests run: the server of another environment is started as a process of ours
and ended by its id.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline import datalist
from pipeline.errors import InputError, run_main
from pipeline.serve.label_app import lay_out_app, start

_STARTS = 180.0  # seconds that a server may take to start


def lay_out(source: datalist.Datalist, folder: Path) -> str:
    """Copy the first exam with a lesion (else the first) as the server's local datastore wants exams.

    One image that viewers show, and beside it the folder `.exam` with all files, and the lesions' centres.

    Returns:
        the image's id.
    """
    exam = next((each for each in source.exams if each.lesions), source.exams[0])
    paths = {name: source.path(exam, name) for name in exam.images if name != datalist.MASK}
    ending = {name: "".join(path.suffixes[-2 if path.name.endswith(".nii.gz") else -1 :])
              for name, path in paths.items()}
    shown = "post1" if "post1" in paths else next(iter(paths))
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(paths[shown], folder / f"{exam.exam_id}{ending[shown]}")
    if len(paths) > 1:
        (folder / f"{exam.exam_id}.exam").mkdir()
        for name, path in paths.items():
            shutil.copyfile(path, folder / f"{exam.exam_id}.exam" / f"{name}{ending[name]}")
    return exam.exam_id


@contextmanager
def server(python: Path, exported: Sequence[Path], studies: Path, log: Path) -> Iterator[str]:
    """Serve exported bundles for as long as the block runs; yields the address.

    Args:
        python: interpreter of an environment as `docker/label-constraints.txt` describes.
        exported: folders of exports.
        studies: of images; the server writes into it.
        log: what the server says.

    Raises:
        InputError: no such environment, or a server that does not start.
    """
    with tempfile.TemporaryDirectory(prefix="breast-bundles-") as work, socket.socket() as free:
        app = Path(work) / "app"
        lay_out_app(python.parent.parent, exported, app, train=True)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        words, variables = start(app, studies, "127.0.0.1", port, train=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        process = subprocess.Popen([str(python), *words], stdout=descriptor, stderr=descriptor, cwd=work,
                                   env={**os.environ, **variables})
        os.close(descriptor)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(process, address, log)
            yield address
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + _STARTS
    while time.monotonic() < end and process.poll() is None:
        try:
            if call(f"{address}/info/")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise InputError(f"the server did not start; see {log}")


def call(url: str, **fields: str) -> tuple[int, bytes]:
    """One request: GET, or POST with form fields; returns the status and the body."""
    return _ask(urllib.request.Request(url, urllib.parse.urlencode(fields).encode() if fields else None))


def upload(url: str, method: str, name: str, paths: Sequence[Path]) -> tuple[int, bytes]:
    """Send files as one field of a form: an exam to a session, or a label to the datastore."""
    edge = uuid.uuid4().hex
    parts = [b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n'
             % (edge.encode(), name.encode(), path.name.encode(), path.read_bytes()) for path in paths]
    return _ask(urllib.request.Request(url, b"".join(parts) + b"--%s--\r\n" % edge.encode(), {
        "Content-Type": f"multipart/form-data; boundary={edge}"}, method=method))


def train(address: str, model: str, **params: Any) -> dict[str, Any]:
    """Train a model on the datastore's final labels; returns the server's task when it has ended.

    Its `status` is DONE or ERROR; `details` are its last lines.
    """
    status, body = _ask(urllib.request.Request(f"{address}/train/{model}", json.dumps(params).encode(), {
        "Content-Type": "application/json"}))
    task: dict[str, Any] = json.loads(body) if status == 200 else {"status": "ERROR", "details": [body.decode()]}
    while task["status"] in ("SUBMITTED", "RUNNING"):
        time.sleep(1)
        task = json.loads(call(f"{address}/train/")[1])
    return task


def _ask(request: urllib.request.Request) -> tuple[int, bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=600) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        return int(error.code), error.read()


def infer(address: str, model: str, image: str, output: str = "json", **params: Any) -> tuple[int, bytes]:
    """Ask a model for an image of the studies; returns the status and the body."""
    query = urllib.parse.urlencode({"image": image, "output": output})
    return call(f"{address}/infer/{model}?{query}", params=json.dumps(params))


def main(argv: Sequence[str] | None = None) -> int:
    """Serve exports, ask each for one exam, show the answers, stop."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.serve.label", description=main.__doc__)
    parser.add_argument("pairs", nargs="+", metavar="EXPORTED=LIST", help="an export, and a datalist with exams for it")
    parser.add_argument("--python", type=Path, required=True, help="interpreter of the environment with MONAI Label")
    parser.add_argument("--log", type=Path, default=Path("label.log"), help="what the server says")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="breast-bundles-") as work:
        asked, studies = [], Path(work)
        for pair in args.pairs:
            exported, _, listed = pair.partition("=")
            source = datalist.load(listed)
            name = lay_out(source, studies / Path(exported).name)
            for path in (studies / Path(exported).name).iterdir():
                path.rename(studies / f"{Path(exported).name}-{path.name}")
            exam = next(each for each in source.exams if each.exam_id == name)
            params = {"lesions": [list(point) for _, point in exam.points()]} if exam.lesions else {}
            asked.append((Path(exported), f"{Path(exported).name}-{name}", params))
        with server(args.python, [bundle for bundle, _, _ in asked], studies, args.log) as address:
            failed = 0
            for bundle, image, params in asked:
                for output in ("json", "image"):
                    status, body = infer(address, bundle.name, image, output, **params)
                    failed += status != 200
                    told = body.decode()[:1000] if output == "json" else f"{len(body)} bytes"
                    print(f"{bundle.name}, {output}: HTTP {status}: {told}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_main(main))
