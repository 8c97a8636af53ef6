"""Serve OHIF's files and Orthanc's DICOMweb under one address of this machine alone: `viewer.py FOLDER`.

FOLDER is `dist` of the npm package `@ohif/app`. Python's own server does; nothing is logged.
"""

from __future__ import annotations

import argparse
import http.client
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HOST, ROOT = "127.0.0.1", "/dicom-web"
CONFIG = Path(__file__).with_name("app-config.js")


class Viewer(SimpleHTTPRequestHandler):
    """Files of a folder; what begins with /dicom-web goes to Orthanc; every other address is the application's."""

    def __init__(self, *args: Any, archive: int, **options: Any) -> None:
        self.archive = archive
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        if self.path.startswith(f"{ROOT}/"):
            return self.pass_on()
        path = self.path.partition("?")[0]
        if path == "/app-config.js":
            return self.answer(CONFIG.read_bytes(), "text/javascript")
        if not Path(self.translate_path(path)).is_file():
            self.path = "/index.html"
        super().do_GET()

    def do_POST(self) -> None:
        self.pass_on()

    def pass_on(self) -> None:
        """Ask Orthanc the same, and answer what it does."""
        if not self.path.startswith(f"{ROOT}/"):
            return self.send_error(404)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        sent = {name: self.headers[name] for name in ("Accept", "Content-Type") if name in self.headers}
        ask = http.client.HTTPConnection(HOST, self.archive)
        try:
            # Orthanc makes the addresses of pixels of the host that it was asked by.
            ask.request(self.command, self.path, body, {**sent, "Host": self.headers["Host"]})
            got = ask.getresponse()
            self.send_response(got.status)
            self.send_header("Content-Type", got.getheader("Content-Type") or "application/octet-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            shutil.copyfileobj(got, self.wfile)
            self.close_connection = True
        finally:
            ask.close()

    def answer(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")  # OHIF shares memory between its workers
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: addresses hold what was searched for, patients' names too."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="`package/dist` of `npm pack @ohif/app`, unpacked")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--archive", type=int, default=8042, help="Orthanc's port on this machine")
    args = parser.parse_args()
    if not (args.folder / "index.html").is_file():
        parser.error(f"{args.folder}: holds no index.html; unpack `npm pack @ohif/app` and name its package/dist")
    viewer = partial(Viewer, directory=str(args.folder), archive=args.archive)
    print(f"OHIF: http://{HOST}:{args.port}/", flush=True)
    ThreadingHTTPServer((HOST, args.port), viewer).serve_forever()


if __name__ == "__main__":
    main()
