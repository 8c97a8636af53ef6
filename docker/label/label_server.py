"""MONAI Label's stock app on exports: `python label_server.py EXPORTED… --studies DIR`; needs its environment alone.

What the container `label` runs. The app writes into its own folder, so it is laid out anew in a temporary one at each
start. Exports are linked, not copied: they lie on a read-only volume, and nothing trains them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

APP = Path(sys.prefix) / "monailabel" / "sample-apps" / "monaibundle"
# Nothing is downloaded at the start, and nothing is trained.
SETTINGS = {"zoo_source": "local", "sam2": "false", "skip_trainers": "true"}
IMAGES = '["*.dcm", "*.nii.gz", "*.nii", "*.nrrd", "*.png"]'


def exports(folders: Sequence[Path]) -> list[Path]:
    """Folders of exports among these, and right in them."""
    places = [each for folder in folders for each in (folder, *sorted(folder.glob("*")))]
    return [each for each in places if (each / "export.json").is_file()]


def lay_out(exported: Sequence[Path], app: Path) -> None:
    """Write the app with links to the exports as its models."""
    shutil.copytree(APP, app, ignore=shutil.ignore_patterns("model", "logs", "__pycache__"))
    (app / "model").mkdir()
    for each in exported:
        (app / "model" / each.name).symlink_to(each.resolve(), target_is_directory=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="label_server", description=__doc__.partition("\n")[0])
    parser.add_argument("exported", type=Path, nargs="+", help="export of a bundle, or a folder that holds some")
    parser.add_argument("--studies", type=Path, required=True, help="folder of images; the server writes into it")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", default="8000", help="port to listen on (default: %(default)s)")
    args = parser.parse_args(argv)
    if not APP.is_dir():
        print(f"error: {sys.prefix} is no environment with MONAI Label", file=sys.stderr)
        return 2
    if not (found := exports(args.exported)):
        print(f"error: {args.exported[0]}: holds no export; `python -m pipeline export` writes one", file=sys.stderr)
        return 2
    app = Path(tempfile.mkdtemp(prefix="breast-bundles-")) / "app"
    lay_out(found, app)
    words = ["-m", "monailabel.main", "start_server", "--app", str(app), "--studies", str(args.studies), "--host",
             args.host, "--port", args.port]
    for name, value in {"models": ",".join(each.name for each in found), **SETTINGS}.items():
        words += ["--conf", name, value]
    os.environ.setdefault("MONAI_LABEL_DATASTORE_FILE_EXT", IMAGES)
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    os.execv(sys.executable, [sys.executable, *words])


if __name__ == "__main__":
    sys.exit(main())
