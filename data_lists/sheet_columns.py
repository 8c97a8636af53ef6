"""What each column of a person's sheets is: by its title, by `--map`, or proposed; and its cells in our words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from data_lists import mapping
from data_lists.mapping import UNKNOWN, WORDS, Columns
from pipeline.datalist import MASK, InputError
from pipeline.files.tables import Row, read_head

LABELS = [f"{side}_{what}" for side in ("left", "right") for what in ("malignant", "benign", "imaged")]
_EXAM_COLUMNS = {"exam_id": "text", "patient_id": "text", "fold": "number", **dict.fromkeys(LABELS, "word")}
LESIONS_NEED = ("exam_id", "side", "x_mm", "y_mm", "z_mm", "malignant")
SIZES = ("size_x_mm", "size_y_mm", "size_z_mm")
DIAMETER = "diameter_mm"
_LESION_COLUMNS = {"exam_id": "text", "side": "text", "x_mm": "number", "y_mm": "number", "z_mm": "number",
                   "malignant": "word", "lesion_id": "text", **dict.fromkeys((*SIZES, DIAMETER), "number")}
_PHANTOM_S = ("kinetics", "margin")  # of our own synthetic cohorts: known, and not used
READER = re.compile(r"(reader[^_]*)_(left|right|exam)")
IMAGES = {  # the image columns, by modality
    "MR": re.compile(rf"pre|post\d+|t2|image|{MASK}", re.IGNORECASE),
    "US": re.compile(rf"image|{MASK}", re.IGNORECASE),
    "MG": re.compile(r"[LR]-(CC|MLO)(-[2-9])?", re.IGNORECASE),
}


def exam_columns(path: str, asked: list[str], modality: str, given: str | None) -> Columns:
    """What each column of the exams' sheet is.

    Args:
        path: the sheet.
        asked: image columns that `--images` names.
        modality: MR, US or MG.
        given: `--map`'s file, or None.
    """

    def same(title: str) -> str | None:
        words = mapping.words_of(title)
        name, packed = words.replace(" ", "_"), words.replace(" ", "")
        if title in asked:
            return title
        for image in (title, packed, re.sub("^([lr])(cc|mlo)(|[2-9])$", r"\1-\2-\3", packed).rstrip("-")):
            if not asked and IMAGES[modality].fullmatch(image):
                return image.upper() if modality == "MG" else image.lower()
        if name == MASK and not asked and modality != "MG":
            return MASK
        if title.lower().startswith(("group_", "group ", "note_", "note ")):
            kind, rest = re.split("[ _]", title, maxsplit=1)
            return f"{kind.lower()}_{rest}"
        reader = re.fullmatch(r"(reader ?[^ ]*) (left|right|exam)", words)
        if reader:
            return f"{reader[1].replace(' ', '')}_{reader[2]}"
        return next((column for column in _EXAM_COLUMNS if column in (name, packed) or
                     column.replace("_", "") == packed), None)

    images = {} if asked else mapping.IMAGES[modality]
    kinds = {**_EXAM_COLUMNS, **dict.fromkeys((*images, *(f"post{i}" for i in range(1, 10))), "path")}
    allowed = [*_EXAM_COLUMNS, *asked]

    def is_ours(name: str) -> bool:
        return (name in allowed or (not asked and bool(IMAGES[modality].fullmatch(name)))
                or name.startswith(("group_", "note_")) or bool(READER.fullmatch(name)))

    return _columns(path, given, kinds, same, {**mapping.EXAMS, **images}, is_ours)


def lesion_columns(path: str, given: str | None) -> Columns:
    """What each column of the lesions' sheet is; `given` is `--map`'s file."""

    def same(title: str) -> str | None:
        words = mapping.words_of(title)
        if title.lower().startswith(("note_", "note ")):
            return title.lower()
        if title in _PHANTOM_S:
            return f"note_{title}"
        if words in ("x", "y", "z"):
            return f"{words}_mm"
        packed = words.replace(" ", "")
        return next((c for c in _LESION_COLUMNS if c.replace("_", "") in (packed, f"{packed}mm")), None)

    return _columns(path, given, _LESION_COLUMNS, same, mapping.LESIONS,
                    lambda name: name in _LESION_COLUMNS or name.startswith("note_"))


def _columns(path: str, given: str | None, kinds: Mapping[str, str], same: Callable[[str], str | None],
             others: Mapping[str, str], is_ours: Callable[[str], bool]) -> Columns:
    """What each column of a sheet is: as `--map` says, else as its title says, else as it may be guessed."""
    head, file = read_head(path), Path(path).name
    said = mapping.read(given, file) if given else Columns()
    titles = [title for title, _ in head]
    for title, name in said.names.items():
        if title not in titles:
            raise InputError(f"--map {Path(str(given)).name}: {file} has no column `{title[:40]}`; correct its name")
        if name and not is_ours(name):
            raise InputError(f"--map {Path(str(given)).name}: `{name[:40]}` is no column of ours; see --help, or leave "
                             "the line empty")
    if said.names:
        return Columns({**{title: same(title) for title in titles}, **said.names})
    return mapping.propose(head, kinds, same, others)


def ask(sheets: Mapping[str, Columns], yes: bool) -> None:
    """Refuse what is guessed and not accepted, with the proposal on standard output."""
    guessed = [(Path(path).name, title, columns.names[title]) for path, columns in sheets.items()
               for title in columns.guessed]
    if guessed and not yes:
        print(mapping.told({Path(path).name: columns for path, columns in sheets.items()}))
        file, title, name = guessed[0]
        more = f" and {len(guessed) - 1} more" if len(guessed) > 1 else ""
        raise InputError(f"{file}: is `{_short(title)}` the column `{name}`{more}? Accept what is proposed with --yes, "
                         "or save it as a file, correct it and give it with --map")


def _short(title: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in title[:40])


def tell_columns(file: str, columns: Columns, notes: list[str]) -> None:
    """Note what was read under another name, and what was left out."""
    read = [f"`{_short(title)}` as {name}" for title, name in columns.names.items()
            if name and title.lower() != name.lower() and not name.startswith(("group_", "note_"))]
    if read:
        notes.append(f"{file}: columns read: {', '.join(read)}")
    if left := columns.left_out():
        notes.append(f"{file}: columns left out: {', '.join(f'`{_short(title)}`' for title in left)}; name one group_… "
                     "to have it in the report")


def plain_words(row: Row, labels: list[str], others: list[str], notes: list[str]) -> None:
    """Write words for yes and no as 1 and 0, in place, and words for unknown as nothing."""
    for column in (*labels, *others):
        text = row.text(column)
        word = text.lower()
        if text and word in UNKNOWN:
            row.cells[column] = ""
            notes.append(f"{row.file}: NA and the like are read as unknown")
        elif column in labels and word in WORDS and word[:1] not in "01":
            row.cells[column] = WORDS[word]
            notes.append(f"{row.file}: yes, TRUE and the like are read as 1, no and FALSE as 0")
