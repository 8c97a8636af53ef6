"""What the bundles import, and what runs around them: datalists, networks, handlers, studies, reports."""

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    __version__ = version("breast-bundles")
except PackageNotFoundError:  # run from a checkout that was not installed
    __version__ = "0+unknown"


def _demand_own(name: str) -> None:
    """End with one line where a package of ours is another one: its name is taken on PyPI, too, and a file of that name
    in the working directory goes before it.
    """
    spec = importlib.util.find_spec(name)
    found = Path(spec.origin).resolve() if spec and spec.origin else None
    if found != Path(__file__).resolve().parents[1] / name / "__init__.py":
        raise SystemExit(f"error: {found or name}: is not this project's `{name}`, which lies beside {__name__}; "
                         "rename the file, run from another folder, or uninstall the package of that name")


_demand_own("transforms")
