"""Verification: every file of a datalist read to its end, every contradiction of its labels and folds listed.

`verify(datalist)` gives the issues, `codes.RULES` says what each code means and what to do about it.
"""

from pipeline.verify.codes import RULES, Issue
from pipeline.verify.command import add_arguments, main, verify

__all__ = ["RULES", "Issue", "add_arguments", "main", "verify"]
