"""`python -m pipeline VERB`: the commands that run around the bundles, one verb a command."""

from __future__ import annotations

import argparse
import getpass
import importlib
import os
import sys
import tempfile
from pathlib import Path

from pipeline import __version__
from pipeline.errors import run_main
from pipeline.help_format import HelpFormatter

# verb -> (module with `add_arguments(parser)` and `main(args) -> int`, what it does). A module is imported only
# when its verb is called, so that `--help` answers at once.
VERBS = {
    "doctor": ("pipeline.doctor", "show versions, devices and where things are imported from"),
    "phantom": ("pipeline.phantoms.command", "write a synthetic cohort, to try everything without patients"),
    "verify": ("pipeline.verify", "read every file of a datalist to its end and list what is wrong"),
    "convert": ("pipeline.prepare.convert", "write a list's images, DICOM too, as NIfTI once"),
    "study": ("pipeline.study", "run a paper's table: prepare, train and evaluate its variants over the folds"),
    "combine": ("pipeline.study.combine", "make a variant of others' predictions: mean, or ensemble selection"),
    "report": ("pipeline.report.command", "turn a study's predictions into metrics.json and report.html"),
    "settings": ("pipeline.bundle_settings", "list what a bundle's config can be told, with meaning and unit"),
    "export": ("pipeline.serve.export", "write a trained bundle as one folder or zip to share or to serve"),
    "predict": ("pipeline.serve.predict", "answer exams with an exported bundle: result, heat map and picture"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    argv = _joined(sys.argv[1:] if argv is None else argv)
    name_the_nameless()
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="Weakly supervised breast imaging with MONAI bundles: the commands around the bundles.",
        epilog="`python -m pipeline VERB --help` explains one. "
        "A first look at everything: make demo. Datalists are written by `python -m data_lists`.",
    )
    parser.add_argument("--version", action="version", version=f"breast-bundles {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, (module, text) in VERBS.items():
        sub = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".",
                               formatter_class=HelpFormatter)
        if argv[:1] == [verb]:
            importlib.import_module(module).add_arguments(sub)
    if not argv:
        parser.print_help()
        return 0
    args = parser.parse_args(argv)
    return run_main(lambda: importlib.import_module(VERBS[args.verb][0]).main(args))


def _joined(words: list[str], option: str = "--slurm") -> list[str]:
    """`--slurm --partition=gpu` as `--slurm=--partition=gpu`: argparse takes no value that looks like an option."""
    told = iter(words)
    return [f"{word}={following}" if word == option and (following := next(told, None)) is not None else word
            for word in told]


def name_the_nameless() -> None:
    """Give a user without a name or a home both: MONAI asks for the name when it is imported, others for the home.

    Containers run as any number (`docker run -u`). What this process starts inherits both.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ["LOGNAME"] = f"user{os.getuid()}"
    if not _has_home():
        home = Path(tempfile.gettempdir()) / f"breast-bundles-{getpass.getuser()}"
        home.mkdir(mode=0o700, exist_ok=True)
        os.environ["HOME"] = str(home)


def _has_home() -> bool:
    try:
        return Path.home().is_absolute()
    except RuntimeError:
        return False


if __name__ == "__main__":
    sys.exit(main())
