"""One way to read tables: a user's, saved as CSV by a spreadsheet, as strictly as a person would; and our own.

Nothing is guessed from a cell: ids stay texts (`001` is not 1), a label is 0, 1 or empty. Errors name the
file, the row as the spreadsheet counts it (the header is row 1) and the column. They never quote a cell:
where columns have slipped, any cell may hold a patient's name.
"""

from __future__ import annotations

import csv
import difflib
import math
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = ",;\t"
_BOOKS = (".xlsx", ".xlsm")
_ONE_COLUMN = "{file}: one column only; save it as CSV with commas, semicolons or tabs between its cells"
_T = TypeVar("_T")


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

    def choice(self, column: str, known: Mapping[str, _T]) -> _T:
        """What a cell stands for, whatever its letters' case; an empty one must be known, too."""
        text = self.text(column).lower()
        if text not in known:
            names = ", ".join(name or "empty" for name in known)
            raise self.error(f"`{column}` is none of {names}; correct it, or see whether columns have slipped")
        return known[text]

    def label(self, column: str) -> int | None:
        """0, 1, or None for an empty cell (`1.0` is what pandas makes of a 1 in a column with gaps)."""
        text = self.text(column).replace(",", ".") if self.decimal_comma else self.text(column)
        if text not in ("", "0", "1", "0.0", "1.0"):
            raise self.error(f"`{column}` is neither 0, 1 nor empty; write 1 for yes, nothing if unknown")
        return int(text[0]) if text else None


def read_table(path: Path | str, required: Iterable[str] = (), canonical: Callable[[str], str | None] = str,
               unknown: str = "", known: Iterable[str] = (), *, sheet: str | None = None, header: int = 1,
               legend: int = 0, missing: Collection[str] = ()) -> list[Row]:
    """Read a CSV file, or a sheet of an Excel workbook (`.xlsx`).

    Accepts what spreadsheet programs write: a byte order mark, semicolons or tabs between cells (with decimal
    commas, then), empty rows, empty columns at the right.

    Args:
        path: the file; CSV in UTF-8.
        required: columns that must be there.
        canonical: gives a header's own name (`Exam_ID` to `exam_id`), None for a column nobody knows, an empty text
            for one to pass over; default: all stay as they are.
        unknown: what to do about such a column, for the error.
        known: columns that may be there, to suggest one for a column nobody knows.
        sheet: of a workbook; default: the first.
        header: row with the columns' names, counted from 1.
        legend: rows below it that are no data.
        missing: cells that say that nothing is known, `-1` for example; they become empty.

    Raises:
        InputError: the file cannot be read as such a table.
    """
    path = Path(path)
    columns, records, decimal_comma = _open(path, list(required), canonical, unknown, list(known), sheet, header,
                                            legend)
    wanted = [(k, column) for k, column in enumerate(columns) if column]
    rows = []
    for number, cells in records:
        named = {column: cells[k].strip() for k, column in wanted}
        if missing:
            named = {column: "" if cell in missing else cell for column, cell in named.items()}
        rows.append(Row(path.name, number, named, decimal_comma))
    return rows


def read_head(path: Path | str, count: int = 200) -> list[tuple[str, list[str]]]:
    """A table's titles as they stand in it, each with the first cells below it, stripped of spaces.

    Args:
        path: as of `read_table`.
        count: how many rows to look at.

    Raises:
        InputError: as `read_table`.
    """
    path, titles = Path(path), list[str]()

    def numbered(title: str) -> str:
        titles.append(title)
        return str(len(titles))

    columns, records, _ = _open(path, [], numbered, check=False)
    if len(columns) == 1:
        raise InputError(_ONE_COLUMN.format(file=path.name))
    rows = [cells + [""] * len(columns) for _, cells in islice(records, count)]
    return [(title, [cells[columns.index(str(k))].strip() for cells in rows])
            for k, title in enumerate(titles, start=1)]


def read_columns(path: Path | str, columns: Sequence[str]) -> pd.DataFrame:
    """Read some columns of a CSV file that is too long for a `Row` each, with the errors of `read_table`.

    Args:
        path: the file.
        columns: lower-case names; others are passed over.

    Returns:
        texts, without spaces at both ends; its index is the row as a spreadsheet counts it.

    Raises:
        InputError: as `read_table`.
    """
    import pandas as pd

    path = Path(path)
    found, records, _ = _open(path, columns, lambda title: title.lower() if title.lower() in columns else "")
    at = [found.index(column) for column in columns]
    numbers, cells = [], []
    seen: dict[str, str] = {}  # most cells of a long table are the same few texts
    for number, record in records:
        numbers.append(number)
        cells.append([seen.setdefault(cell, cell) for cell in [record[k].strip() for k in at]])
    return pd.DataFrame(cells, pd.Index(numbers), list(columns), dtype=object)


def _open(path: Path, required: Sequence[str], canonical: Callable[[str], str | None], unknown: str = "",
          known: Sequence[str] = (), sheet: str | None = None, header: int = 1, legend: int = 0, check: bool = True
          ) -> tuple[list[str], Iterator[tuple[int, list[str]]], bool]:
    """A table's columns (empty: passed over), its rows with their numbers as they are read, and decimal commas."""
    separator = ","
    if path.suffix.lower() in _BOOKS:
        records = _sheet(path, sheet)
    elif path.suffix.lower() == ".xls":
        raise InputError(f"{path.name}: an old Excel workbook; save it as .xlsx or as CSV")
    else:
        separator = _separator(path)
        records = _lines(path, separator)
    filled = ((number, cells) for number, cells in records if any(map(str.strip, cells)))
    number, titles = next(((n, c) for n, c in filled if n >= header), (0, []))
    if not titles:
        which = "first row" if header == 1 else f"row {header}"
        raise InputError(f"{path.name}: empty; its {which} must name the columns")
    titles = [title.strip() for title in titles]
    columns = _columns(path.name, titles, list(required), canonical, unknown, list(known))
    first = number + legend + 1
    data = ((n, c) for n, c in filled if n >= first)
    if path.suffix.lower() in _BOOKS or not check:  # what stands beside a sheet's columns is a person's notes
        return columns, data, separator != ","
    return columns, _checked(path.name, titles, data), separator != ","


def _checked(file: str, titles: list[str], records: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Rows as long as the header, with nothing in columns that have no name."""
    unnamed = [k for k, title in enumerate(titles) if not title]
    for number, cells in records:
        # An empty surplus cell is a spreadsheet's padding; anything else means that cells have slipped.
        if len(cells) < len(titles) or (len(cells) > len(titles) and any(map(str.strip, cells[len(titles) :]))):
            raise InputError(f"{file}, row {number}: {len(cells)} cells below {len(titles)} columns; "
                             "put texts that contain the separator in quotation marks")
        if any(cells[k].strip() for k in unnamed):
            raise InputError(f"{file}, row {number}: a cell in a column without a name; name it")
        yield number, cells


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


def _text(path: Path) -> Iterator[str]:
    """A text file's lines, read as they are needed: tables of a gigabyte exist."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line in file:
                if "\0" in line:
                    raise ValueError
                yield line
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror}); check its name") from None
    except ValueError:  # UnicodeDecodeError is one
        raise InputError(f"{path.name}: not a text in UTF-8; save it from the spreadsheet as `CSV UTF-8`") from None


def _separator(path: Path) -> str:
    first = next((line for line in _text(path) if line.strip("\r\n")), "")
    return max(_SEPARATORS, key=first.count)


def _lines(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    try:
        yield from enumerate(csv.reader(_text(path), delimiter=separator, strict=True), start=1)
    except csv.Error as error:
        raise InputError(f"{path.name}: not a CSV file ({error}); check its quotation marks") from None


def _sheet(path: Path, sheet: str | None) -> Iterator[tuple[int, list[str]]]:
    """A workbook's rows as texts: whole numbers without a point, dates as 2020-12-31."""
    try:
        import openpyxl
    except ImportError:
        raise InputError(f"{path.name}: a workbook, which pip install openpyxl reads; or save it as CSV") from None
    try:
        with warnings.catch_warnings():  # of styles that it does not know
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror or error}); check its name") from None
    except Exception:  # a broken archive, a missing part, XML that is none
        raise InputError(f"{path.name}: not an Excel workbook, or damaged; copy it again") from None
    try:
        if sheet is not None and sheet not in book.sheetnames:
            raise InputError(f"{path.name}: has no sheet `{sheet}`; it is of another release, or edited")
        page = book[sheet] if sheet else book.worksheets[0]
        page.reset_dimensions()  # some programs write wrong ones
        width = 0
        for number, cells in enumerate(page.iter_rows(values_only=True), start=1):
            texts = list(map(_cell, cells))
            width = max(width, len(texts))
            yield number, texts + [""] * (width - len(texts))
    finally:
        book.close()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def _columns(
    file: str, header: list[str], required: list[str], canonical: Callable[[str], str | None], unknown: str,
    known: list[str]
) -> list[str]:
    """The columns' own names; empty for a column without a header."""
    names = [canonical(title) if title else "" for title in header]
    strangers = [title for title, name in zip(header, names, strict=True) if name is None]
    if strangers and len(header) == 1:
        raise InputError(_ONE_COLUMN.format(file=file))
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
