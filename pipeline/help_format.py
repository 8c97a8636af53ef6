"""How `--help` tells defaults: those that say something."""

from __future__ import annotations

import argparse


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Adds `(default: X)` to an option's help; not where there is none, where it is off, or where the help says it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        nothing = action.default is None or action.default is False or action.default == []
        said = action.required or "(default" in (action.help or "")
        return action.help if nothing or said else super()._get_help_string(action)
