"""Answer studies that arrive in Orthanc, and store the answers beside them: `answer.py EXPORTED`.

A process of its own, which asks Orthanc over REST what has become stable. Each such study is fetched into a folder that
is removed afterwards, answered by `python -m pipeline predict --dicom`, and the objects are stored in it. A study that
holds an answer of the same bundle is passed over, so that the answer itself starts nothing. What is printed names
studies by a number of this process.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAKER = "breast-bundles"  # Manufacturer of the objects, as pipeline.serve.dicom_study writes it
IMAGES = {"MR", "MG", "US"}
SECONDS = 5  # between two questions


class Orthanc:
    """Its REST interface, on this machine or a container's network."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.root = f"http://{host}:{port}"

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.root}{path}", timeout=600) as got:
            return bytes(got.read())

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def store(self, content: bytes) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.root}/instances", content), timeout=600).close()

    def stable(self, since: int) -> Iterator[tuple[int, str]]:
        """Number of the change, and identifier of each study that became stable after one."""
        while True:
            told = self.json(f"/changes?since={since}&limit=100")
            for change in told["Changes"]:
                if change["ChangeType"] == "StableStudy":
                    yield change["Seq"], change["ID"]
            since = told["Last"]
            if told["Done"]:
                return


def answer(orthanc: Orthanc, study: str, exported: Path) -> str:
    """Answer one study; returns what became of it."""
    series = [orthanc.json(f"/series/{each}") for each in orthanc.json(f"/studies/{study}")["Series"]]
    tags = [each["MainDicomTags"] for each in series]
    if any(own.get("Manufacturer") == MAKER and exported.name[:30] in own.get("SeriesDescription", "") for own in tags):
        return "has its answer"
    with tempfile.TemporaryDirectory(prefix="breast-bundles-") as work:
        exam, out = Path(work, "exam"), Path(work, "out")
        for number, each in enumerate(series):
            if each["MainDicomTags"].get("Modality") in IMAGES:
                folder = exam / f"{number}"
                folder.mkdir(parents=True)
                for k, instance in enumerate(each["Instances"]):
                    (folder / f"{k:05d}.dcm").write_bytes(orthanc.get(f"/instances/{instance}/file"))
        if not exam.is_dir():
            return "holds no image of these bundles"
        command = [sys.executable, "-m", "pipeline", "predict", str(exported), str(exam), "-o", str(out), "--dicom"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            lines = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
            return lines[-1] if lines else f"no answer (exit status {ended.returncode}); answer it by hand to see more"
        objects = sorted(out.glob("*.dcm"))
        for path in objects:
            orthanc.store(path.read_bytes())
    return f"answered, {len(objects)} objects stored"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exported", type=Path, help="folder that `python -m pipeline export` wrote")
    parser.add_argument("--host", default="127.0.0.1", help="Orthanc's (default: %(default)s, this machine)")
    parser.add_argument("--port", type=int, default=8042, help="Orthanc's (default: %(default)s)")
    parser.add_argument("--once", action="store_true", help="answer what is stable now, and end")
    args = parser.parse_args()
    if not (args.exported / "export.json").is_file():
        parser.error(f"{args.exported.name}: no exported bundle; write one with `python -m pipeline export`")
    orthanc, since, number = Orthanc(args.port, args.host), 0, 0
    while True:
        try:
            for last, study in orthanc.stable(since):
                number += 1
                try:
                    said = answer(orthanc, study, args.exported)
                except urllib.error.HTTPError as error:  # one that was removed meanwhile, for example
                    said = f"passed over: Orthanc refuses a request (HTTP status {error.code})"
                except (ConnectionError, TimeoutError, urllib.error.URLError, http.client.HTTPException):
                    raise
                except OSError as error:  # of this machine, such as a full disk
                    said = f"passed over: {error.strerror or error}"
                print(f"study {number}: {said}", flush=True)
                since = last  # not before: a study that Orthanc's restart interrupted comes again
        except (OSError, http.client.HTTPException) as error:
            print(f"Orthanc does not answer on port {args.port} ({error}); start it first", flush=True)
        if args.once:
            return
        time.sleep(SECONDS)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
