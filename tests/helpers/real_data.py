"""Where the real samples lie that some tests read; they are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commands import ROOT

FOLDER = Path(os.environ.get("BREAST_BUNDLES_DATA") or ROOT.parent / "shared" / "data")


def needs(name: str) -> pytest.MarkDecorator:
    """Skips a test where the file or folder `name` of the real samples is not there."""
    return pytest.mark.skipif(not (FOLDER / name).exists(), reason=f"needs {name} in BREAST_BUNDLES_DATA")
