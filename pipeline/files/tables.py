"""One way to read tables: a user's, saved as CSV by a spreadsheet, as strictly as a person would; and our own.

Nothing is guessed from a cell: ids stay texts (`001` is not 1), a label is 0, 1 or empty. Errors name the
file, the row as the spreadsheet counts it (the header is row 1) and the column. They never quote a cell:
where columns have slipped, any cell may hold a patient's name.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = ",;\t"


@dataclass
class Row:
    """One row of a table.

    Attributes:
        file: the table's file name.
        number: the row as a spreadsheet counts it; the header is row 1.
        cells: column to text, stripped of spaces at both ends.
        decimal_comma: whether numbers may be written as `1,5`.
    """

    file: str
    number: int
    cells: dict[str, str]
    decimal_comma: bool = False

    def error(self, text: str) -> InputError:
        """An error that says where it is."""
        return InputError(f"{self.file}, row {self.number}: {text}")

    def text(self, column: str) -> str:
        """A cell; empty where the table has no such column."""
        return self.cells.get(column, "")

    def required(self, column: str) -> str:
        """A cell that must not be empty."""
        if not self.text(column):
            raise self.error(f"`{column}` is empty; fill it in")
        return self.text(column)

    def number_in(self, column: str) -> float | None:
        """A finite number, or None for an empty cell."""
        text = self.text(column)
        if not text:
            return None
        if self.decimal_comma:
            text = text.replace(",", ".")
        try:
            value = float(text) if re.fullmatch(r"[-+.\deE]+", text, re.ASCII) else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"`{column}` is not a number; write it like 12.5, or leave it empty if unknown")
        return value

    def required_number(self, column: str) -> float:
        """A finite number; the cell must not be empty."""
        self.required(column)
        value = self.number_in(column)
        assert value is not None
        return value

    def label(self, column: str) -> int | None:
        """0, 1, or None for an empty cell (`1.0` is what pandas makes of a 1 in a column with gaps)."""
        text = self.text(column).replace(",", ".") if self.decimal_comma else self.text(column)
        if text not in ("", "0", "1", "0.0", "1.0"):
            raise self.error(f"`{column}` is neither 0, 1 nor empty; write 1 for yes, nothing if unknown")
        return int(text[0]) if text else None


def read_table(path: Path | str, required: Iterable[str] = (), canonical: Callable[[str], str | None] = str,
               unknown: str = "", known: Iterable[str] = ()) -> list[Row]:
    """Read a CSV file.

    Accepts what spreadsheet programs write: a byte order mark, semicolons or tabs between cells (with decimal
    commas, then), empty rows, empty columns at the right.

    Args:
        path: the file, in UTF-8.
        required: columns that must be there.
        canonical: gives a header's own name (`Exam_ID` to `exam_id`), None for a column nobody knows;
            default: all stay as they are.
        unknown: what to do about such a column, for the error.
        known: columns that may be there, to suggest one for a column nobody knows.

    Raises:
        InputError: the file cannot be read as such a table.
    """
    path = Path(path)
    content = _decode(path)
    first_line = content.lstrip("\r\n").split("\n", 1)[0]
    separator = max(_SEPARATORS, key=first_line.count)
    try:
        records = list(csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(f"{path.name}: not a CSV file ({error}); check its quotation marks") from None
    stripped = [[cell.strip() for cell in cells] for cells in records]
    numbered = [(number, cells) for number, cells in enumerate(stripped, start=1) if any(cells)]
    if not numbered:
        raise InputError(f"{path.name}: empty; its first row must name the columns")
    header = numbered[0][1]
    columns = _columns(path.name, header, list(required), canonical, unknown, list(known))
    rows = []
    for number, cells in numbered[1:]:
        # An empty surplus cell is a spreadsheet's padding; anything else means that cells have slipped.
        if len(cells) < len(header) or any(cells[len(header) :]):
            raise InputError(f"{path.name}, row {number}: {len(cells)} cells below {len(header)} columns; "
                             "put texts that contain the separator in quotation marks")
        pairs = list(zip(columns, cells, strict=False))
        if any(cell for column, cell in pairs if not column):
            raise InputError(f"{path.name}, row {number}: a cell in a column without a name; name it")
        named = {column: cell for column, cell in pairs if column}
        rows.append(Row(path.name, number, named, decimal_comma=separator != ","))
    return rows


def read_results(path: Path | str, columns: Sequence[str], remedy: str, **options: Any) -> pd.DataFrame:
    """Read a table that we wrote ourselves: texts stay texts, an empty cell is no missing number.

    Args:
        path: the CSV file.
        columns: that must be there.
        remedy: what to do where it cannot be used, for the error.
        options: of `pandas.read_csv`.

    Raises:
        InputError: no such table, or a column is missing.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, **{"keep_default_na": False, **options})
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a table ({str(error).strip()}); {remedy}") from None
    if absent := [name for name in columns if name not in table.columns]:
        raise InputError(f"{path}: column {', '.join(absent)} is missing; {remedy}")
    return table


def _decode(path: Path) -> str:
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror}); check its name") from None
    except UnicodeDecodeError:
        content = "\0"
    if "\0" in content:
        raise InputError(f"{path.name}: not a text in UTF-8; save it from the spreadsheet as `CSV UTF-8`")
    return content


def _columns(
    file: str, header: list[str], required: list[str], canonical: Callable[[str], str | None], unknown: str,
    known: list[str]
) -> list[str]:
    """The columns' own names; empty for a column without a header."""
    names = [canonical(title) if title else "" for title in header]
    strangers = [title for title, name in zip(header, names, strict=True) if name is None]
    if strangers and len(header) == 1:
        raise InputError(f"{file}: one column only; save it as CSV with commas, semicolons or tabs between its cells")
    if strangers:
        near = difflib.get_close_matches(strangers[0].lower(), [*required, *known], n=1)
        hint = f"rename it to `{near[0]}`, or " if near else ""
        raise InputError(f"{file}: unknown column {_quoted(strangers)}; {hint}{unknown}")
    columns = [name or "" for name in names]
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise InputError(f"{file}: column {_quoted(twice)} is there twice; remove one")
    missing = [name for name in required if name not in columns]
    if missing:
        raise InputError(f"{file}: column {_quoted(missing)} is missing; add it to the first row")
    return columns


def _quoted(names: list[str]) -> str:
    """At most three names, printable and short: a cell of another table may stand where names are expected."""
    told = ["".join(c if c.isprintable() else "?" for c in name[:40]) for name in names[:3]]
    return ", ".join(f"`{name}`" for name in told) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
