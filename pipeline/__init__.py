"""What the bundles import, and what runs around them: datalists, networks, handlers, studies, reports."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("breast-bundles")
except PackageNotFoundError:  # run from a checkout that was not installed
    __version__ = "0+unknown"
