"""How a person's spreadsheet says what ours says: its columns' names, and its words for yes, no and unknown.

A name that differs in letters' case, spaces or signs alone is the same name, and `yes` is 1: no guess, only told.
Everything else that looks like a column of ours, by its name and by what its cells hold, is a guess, which a person
accepts (`--yes`) or corrects in a file (`--map`). A column that looks like none is left out and named.

```yaml
exams.csv:
  Pat. Nr.: patient_id
  T1 native: pre
  Age:               # left out
```
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipeline.datalist import InputError

WORDS = {  # of a label's cell, in small letters
    **dict.fromkeys(("1", "1.0", "yes", "y", "true", "t", "ja", "wahr", "vrai", "oui"), "1"),
    **dict.fromkeys(("0", "0.0", "no", "n", "false", "f", "nein", "falsch", "faux", "non"), "0"),
}
UNKNOWN = ("", "na", "n/a", "#n/a", "nan", "null", "unknown", "unk", "missing", "?")
_PATH = re.compile(r"[/\\]|\.(nii|gz|nrrd|nhdr|mha|mhd|dcm|dicom|png|tiff?)$", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[\d.,]+([eE][-+]?\d+)?")
_ID = r"(| id| no| nr| number| code)"
_SIDES = {"left": "left", "l": "left", "links": "left", "right": "right", "r": "right", "rechts": "right"}
_KINDS = {"malignant": "malignant", "malignancy": "malignant", "cancer": "malignant", "carcinoma": "malignant",
          "benign": "benign", "imaged": "imaged", "scanned": "imaged"}
_CLOSE = 0.84  # of difflib's ratio: `left_malignat` is 0.96 of left_malignant, `left_benign` 0.64

# What a name may stand for besides ours, as words with single spaces between; `\1` is a group of the pattern.
EXAMS = {
    "exam_id": rf"id|(exam|examination|study|case|scan|accession){_ID}",
    "patient_id": rf"pid|mrn|(pat|patient|subject|person|participant){_ID}",
}
LESIONS = {
    "exam_id": EXAMS["exam_id"],
    "side": "laterality|breast",
    r"\2_mm": r"(cent(?:er|re) |pos(?:ition)? |coord(?:inate)? )?([xyz])(| coord(?:inate)?| ras| lps)",
    "malignant": "malignancy|cancer|carcinoma",
    "lesion_id": "lesion( no| nr| number)?",
}
IMAGES = {
    "MR": {"pre": r"(t1w? )?(pre|precontrast|pre contrast|native|nativ|unenhanced|plain)( t1w?)?",
           r"post\2": r"(t1w? )?(?:post|post contrast|postcontrast|dyn|dynamic|contrast|ce) ?([1-9])( t1w?)?",
           "t2": "t2w?|t2 (tse|fse|stir|fs|tirm)", "image": "volume|file|path|dce|dynamic",
           "lesions_mask": "mask|lesion mask|segmentation|seg"},
    "US": {"image": "volume|file|path|scan|abus", "lesions_mask": "mask|lesion mask|segmentation|seg"},
    "MG": {f"{side[0].upper()}-{view.upper()}": rf"{side} {view}|{side[0]} ?{view}"
           for side in ("left", "right") for view in ("cc", "mlo")},
}


@dataclass
class Columns:
    """How a sheet's columns are read.

    Attributes:
        names: title -> our column; None: left out.
        guessed: titles whose column is a guess.
    """

    names: dict[str, str | None] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)

    def read(self, title: str) -> str:
        """Our name of a title, empty for one to pass over, as `pipeline.files.tables.read_table` asks."""
        return self.names.get(title) or ""

    def left_out(self) -> list[str]:
        """Titles that nothing is read from, notes aside."""
        return [title for title, name in self.names.items() if name is None]


def words_of(title: str) -> str:
    """A title in small letters, its words parted by single spaces, units in brackets left out."""
    return re.sub(r"[^a-z0-9]+", " ", re.sub(r"\((mm|ras|lps)\)", "", title.casefold())).strip()


def propose(head: Iterable[tuple[str, list[str]]], known: Mapping[str, str], same: Callable[[str], str | None],
            others: Mapping[str, str]) -> Columns:
    """Our column for each of a sheet's.

    Args:
        head: the sheet's titles, each with its first cells.
        known: our columns -> what their cells hold, `word`, `path`, `number` or `text`.
        same: gives the column of ours that a title is, but for case, spaces and signs; None for no such.
        others: our columns -> a pattern of other names, of `words_of`.
    """
    columns, head = Columns(), list(head)
    for title, cells in head:
        name = same(title)
        stranger = name and name != title and known.get(name) == "path" and _holds(cells, "number", "word")
        columns.names[title] = None if stranger else name  # a column `T2` may hold a tumour's stage
    for title, cells in head:
        if columns.names[title] is None:
            near = next((name for name in _near(title, known, others) if name not in columns.names.values()
                         and _holds(cells, known.get(name, "text"))), None)
            if near:
                columns.names[title] = near
                columns.guessed.append(title)
    return columns


def _near(title: str, known: Mapping[str, str], others: Mapping[str, str]) -> Iterable[str]:
    """Columns that a title may stand for, the likeliest first."""
    words = words_of(title)
    for name, pattern in others.items():
        if match := re.fullmatch(pattern, words):
            yield match.expand(name)
    parts = words.split()
    sides, kinds = [{of[p] for p in parts if p in of} for of in (_SIDES, _KINDS)]
    if len(sides) == len(kinds) == 1:
        yield f"{sides.pop()}_{kinds.pop()}"
    yield from difflib.get_close_matches(words.replace(" ", "_"), known, n=1, cutoff=_CLOSE)


def _holds(cells: list[str], *kinds: str) -> bool:
    """Whether every cell of a column is of one of the kinds that ours hold; nothing at all is no path."""
    filled = [cell for cell in cells if cell.lower() not in UNKNOWN]
    fits: dict[str, Callable[[str], object]] = {
        "word": lambda cell: cell.lower().replace(",", ".") in WORDS, "number": _NUMBER.fullmatch,
        "path": _PATH.search, "text": lambda cell: True}
    return (bool(filled) or kinds != ("path",)) and all(any(fits[kind](cell) for kind in kinds) for cell in filled)


def told(sheets: Mapping[str, Columns]) -> str:
    """What was proposed, as a file that `--map` reads."""
    lines = ["# How the sheets' columns are read; an empty one is left out."]
    for sheet, columns in sheets.items():
        lines.append(f"{_quoted(sheet)}:")
        for title, name in columns.names.items():
            why = "  # a guess" if title in columns.guessed else "" if name else "  # left out"
            lines.append(f"  {_quoted(title)}: {name or ''}".rstrip() + why)
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """A key of YAML on one line, whatever is in it."""
    return yaml.safe_dump(text, default_style='"', width=10**6, allow_unicode=True).strip()


def read(path: Path | str, sheet: str) -> Columns:
    """How `--map`'s file reads a sheet; empty where it does not name the sheet.

    Raises:
        InputError: not such a file.
    """
    name = Path(path).name
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--map {name}: cannot be read ({error.strerror}); check its name") from None
    except (ValueError, yaml.YAMLError):
        raise InputError(f"--map {name}: not YAML; write what the command proposes into a file, and edit it") from None
    if not isinstance(content, dict) or not all(isinstance(each, dict) for each in content.values()):
        raise InputError(f"--map {name}: write the sheet's name, and under it a line `title: column` for each column")
    given = {str(title): column for title, column in content.get(sheet, {}).items()}
    if bad := [title for title, column in given.items() if column is not None and not isinstance(column, str)]:
        raise InputError(f"--map {name}: the column of `{bad[0][:40]}` is no name; write a text, or nothing")
    return Columns(given)
