"""One way to find a dataset's files: one walk, and counts of what the tables list and what is there."""

from __future__ import annotations

import argparse
import fnmatch
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import TypeVar

from data_lists.datasets import DATASETS
from pipeline.datalist import InputError

LEAST = 0.95
_T = TypeVar("_T")


def add_arguments(parser: argparse.ArgumentParser, root: str) -> None:
    """The options that all converters of a folder share; `root` says which folder."""
    parser.add_argument("root", metavar="ROOT", help=root)
    parser.add_argument("--least", type=float, default=LEAST, metavar="SHARE",
                        help="share of the listed images that must be there; what is missing is left out and counted")


class Tree:
    """The files under a folder, found in one walk; paths are relative to it and written with `/`.

    Nothing is written, and nothing outside is named: links to folders are not followed.

    Args:
        root: the folder.
        option: how the user named it, for errors.

    Raises:
        InputError: no such folder.
    """

    def __init__(self, root: Path | str, option: str = "") -> None:
        self.root = Path(root).absolute()
        if not self.root.is_dir():
            raise InputError(f"{option}{self.root.name}: no such folder; give the one that was downloaded")
        self.folders: dict[str, list[str]] = {}  # folder -> names of the files in it
        self._named: dict[str, list[str]] = defaultdict(list)
        for folder, below, names in os.walk(self.root):
            below[:] = sorted(name for name in below if not name.startswith("."))
            relative = Path(folder).relative_to(self.root).as_posix()
            kept = sorted(name for name in names if not name.startswith("."))
            self.folders[relative] = kept
            for name in kept:
                self._named[name.lower()].append(name if relative == "." else f"{relative}/{name}")

    def named(self, name: str) -> str | None:
        """The first file of that name, in alphabetical order of folders; None where there is none."""
        return next(iter(self._named.get(name.lower(), ())), None)

    def all_named(self, pattern: str) -> list[str]:
        """Files whose names fit a pattern, whatever their letters' case."""
        fitting = fnmatch.filter(self._named, pattern.lower())
        return sorted(path for name in fitting for path in self._named[name])

    def table(self, dataset: str, *patterns: str) -> Path:
        """A dataset's table: the one file that fits the first pattern that any fits.

        Raises:
            InputError: there is none (where the folder is of another dataset, that is said), or there are several.
        """
        for pattern in patterns:
            found = self.all_named(pattern)
            if len(found) > 1:
                raise InputError(f"{self.root.name}: {len(found)} files are called {pattern}; leave one of them")
            if found:
                return self.root / found[0]
        raise self.stranger(dataset, f"no {patterns[0]} in it")

    def stranger(self, dataset: str, text: str) -> InputError:
        """The error for a folder that is not what it should be."""
        for name, other in DATASETS.items():
            if name != dataset and any(self._fits(mark) for mark in other.marks):
                return InputError(f"{self.root.name}: {text}; this looks like {name}: `python -m data_lists {name}`")
        return InputError(f"{self.root.name}: {text}; give the folder that holds the whole download of {dataset}")

    def _fits(self, mark: str) -> bool:
        if "/" in mark:
            return any(f"/{path}".endswith(f"/{mark}") for path in self.all_named(mark.rsplit("/", 1)[-1]))
        return bool(self.all_named(mark)) or any(folder.rsplit("/", 1)[-1] == mark for folder in self.folders)


class Matched:
    """Counts of the images that a table lists: those that are there, and the first that is not."""

    def __init__(self) -> None:
        self.listed = 0
        self.missing: list[str] = []

    def add(self, found: _T | None, name: str) -> _T | None:
        """Count one; gives back what was found."""
        self.listed += 1
        if found is None:
            self.missing.append(name)
        return found

    def check(self, least: float, left_out: Counter[str], remedy: str = "") -> None:
        """Refuse half a download; count what is missing of a whole one.

        Raises:
            InputError: fewer than `least` of the listed images are there.
        """
        if not 0 <= least <= 1:
            raise InputError(f"--least {least}: give a share from 0 to 1")
        if not self.missing:
            return
        if len(self.missing) > (1 - least) * self.listed or len(self.missing) == self.listed:
            raise InputError(f"{len(self.missing)} of {self.listed} listed images are not there, the first is "
                             f"{self.missing[0]}; complete the download{remedy or ', or accept fewer with --least'}")
        left_out["listed images that are not there"] += len(self.missing)


def told(left_out: Counter[str]) -> dict[str, int]:
    """What was left out, for the list's `source`; without zeros."""
    return {what: count for what, count in left_out.items() if count}
