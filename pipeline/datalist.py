"""The datalist: one JSON for a dataset, whatever the modality.

```
{"schema": "breast-bundles/datalist/2",
 "name": "demo", "modality": "MR", "root": ".", "truth": "pathology",
 "source": {"converter": "csv", "version": "0.1.0"},
 "folds": {"count": 5, "seed": 0},
 "exams": [{
   "exam_id": "E0001", "patient_id": "P0001",
   "images": {"pre": "E0001/pre.nii.gz", "post1": "E0001/post1.nii.gz", "t2": "E0001/t2.nii.gz"},
   "breasts": {"L": {"malignant": 0, "benign": 1}, "R": {"malignant": 1, "benign": null}},
   "lesions": [{"lesion_id": "1", "side": "R", "center_mm": [61.2, 40.0, -7.5], "malignant": 1,
                "size_mm": [12.0, 9.5, 11.0]}],
   "findings": [],
   "readers": {"reader1": {"L": 2, "R": 5}},
   "groups": {"density": "c"},
   "fold": 0, "validation_folds": [2, 4]}]}
```

* `exam_id`, `lesion_id` and the names of images become parts of files' names: letters, digits and . _ - only, a letter
  or digit first, at most 100 characters; exams' are told apart regardless of case. `patient_id` and the values of
  `groups` become cells of tables: printable, and not begun like a spreadsheet's formula.
* Image paths are relative to `root`, and `root` is relative to the folder of the list.
* `modality` is MR, US or MG. The keys of `images` name contrasts (MR), volumes (US) or views (MG).
* An exam has one space, in which its lesions' centres lie. Ultrasound volumes do not share one: each is an exam, with
  the one breast that it shows in `breasts`. A volume is healthy where both labels are 0 and no lesion is marked.
* An image named `lesions_mask` is no contrast: 0, or the `lesion_id` (then a number) of the lesion in each voxel.
* Labels are 0, 1 or null (unknown). A breast that was not imaged is left out of `breasts`.
* `center_mm` is (x, y, z) in RAS millimetres: x grows towards the patient's Right, y towards Anterior, z
  towards Superior, as NIfTI stores it (not the LPS of DICOM and ITK). A coordinate that is not known is null: such a
  lesion has its side and label, and nothing that needs a point uses it. `size_mm` is its extent along the same axes.
* `findings` of mammograms: `{"view": "L-CC", "box": [row_min, col_min, row_max, col_max], "malignant": 1}` in pixels of
  the image as stored, the ends not included.
* An image of MR or US may be a DICOM series: a folder, or `folder#UID:volume` (`transforms.dicom_series`).
* `truth` is what the labels rest on: `pathology`, `birads` (readers' suspicion), `follow-up`; empty: not said.
* `source` says where the list comes from: converter, version, options, label rule, licence, counts, what was left out.
* `readers` score a breast (keys `L`, `R`) or an exam (key `exam`).
* `fold` is the fold in which the exam is tested; `validation_folds` are the folds in which it validates.
  In every other fold the exam is trained on.
* With a held-out test set, `folds.count` is one more than the folds of the cross-validation: the last fold trains on
  all of them and tests the exams with `held_out`, which play no part in any other fold.
* `folds.apart`: no exam has a part in these folds, and every one of them tests all. It is the digest of the folds of
  another dataset, whose networks score these exams.
* `spacing_mm` is the distance between voxels along the file's axes, where its header has lost it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import InputError as InputError  # `data_lists` takes these from here
from pipeline.errors import run_main as run_main
from pipeline.files.atomic import write_json
from pipeline.names import check_names as check_names

SCHEMA = "breast-bundles/datalist/2"
READABLE = ("breast-bundles/datalist/1", SCHEMA)  # the first had neither source, truth, sizes nor findings
TRUTHS = ("", "pathology", "birads", "follow-up")  # what labels rest on
MODALITIES = ("MR", "US", "MG")
SIDES = ("L", "R")
MASK = "lesions_mask"  # the image that holds, in each voxel, 0 or the id of a lesion
SPLITS = ("train", "validation", "test")
APART = "apart"  # of `folds`: the exams are another dataset's, see above
# What the group `detection` of an examination can say: no cancer; one that it found; one of the interval after it; or
# one that was found at a later examination. Empty: not known, and a malignant breast counts as found.
NEGATIVE, SCREEN, INTERVAL, PRIOR = DETECTIONS = ("negative", "screen", "interval", "prior")
_MOST_FOLDS = 1000


@dataclass
class Lesion:
    """One marked lesion: the weak label that stage 1 of the curriculum needs."""

    side: str
    center_mm: tuple[float | None, float | None, float | None]  # (x, y, z), RAS; None: not known
    malignant: int | None = None
    lesion_id: str = ""
    size_mm: tuple[float, float, float] | None = None  # extent along x, y, z

    @property
    def point(self) -> tuple[float, float, float] | None:
        """The centre where all of it is known."""
        x, y, z = self.center_mm
        return None if x is None or y is None or z is None else (x, y, z)


@dataclass
class Finding:
    """One finding on a mammogram: a box in pixels of the image as stored, the ends not included."""

    view: str
    box: tuple[int, int, int, int]  # row_min, col_min, row_max, col_max
    malignant: int | None = None


@dataclass
class Exam:
    """One examination of one patient, with its labels a breast."""

    exam_id: str
    patient_id: str
    images: dict[str, str]
    breasts: dict[str, dict[str, int | None]]
    lesions: list[Lesion] = field(default_factory=list)
    readers: dict[str, dict[str, float]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    fold: int | None = None
    validation_folds: list[int] = field(default_factory=list)
    held_out: bool = False
    spacing_mm: list[float] | None = None  # along the file's axes, where its header has lost it
    findings: list[Finding] = field(default_factory=list)

    def points(self) -> list[tuple[Lesion, tuple[float, float, float]]]:
        """Lesions with a known centre, and that centre."""
        return [(lesion, lesion.point) for lesion in self.lesions if lesion.point is not None]

    def split(self, fold: int) -> str:
        """The part that this exam plays in a fold: `train`, `validation`, `test`, or `held_out`, which is none."""
        if self.fold == fold:
            return "test"
        if self.held_out:
            return "held_out"
        return "validation" if fold in self.validation_folds else "train"

    def healthy(self) -> bool:
        """Whether every breast is known to have no lesion."""
        return bool(self.breasts) and all(map(is_healthy, self.breasts.values()))

    def worst_label(self) -> int:
        """2 where a breast is malignant, 1 where one is benign, else 0."""
        labels = self.breasts.values()
        return 2 if any(b.get("malignant") for b in labels) else int(any(b.get("benign") for b in labels))

    def stratum(self) -> int:
        """What folds are stratified by: the worst label, and among cancers 3 for those that screening missed."""
        worst = self.worst_label()
        return 3 if worst == 2 and self.groups.get("detection") == "interval" else worst


def is_healthy(breast: Mapping[str, int | None]) -> bool:
    """Whether a breast's labels say that it has no lesion."""
    return breast.get("malignant") == 0 and breast.get("benign") == 0


@dataclass
class Datalist:
    """A dataset's exams, and the folder that their image paths are relative to."""

    name: str
    modality: str
    root: Path  # absolute in memory; relative to the list's folder in the file
    exams: list[Exam]
    folds: dict[str, Any] = field(default_factory=dict)
    truth: str = ""
    source: dict[str, Any] = field(default_factory=dict)

    def path(self, exam: Exam, image: str) -> Path:
        """Where one image of an exam lies on disk."""
        return self.root / exam.images[image]

    def splits(self, exam: Exam) -> list[str]:
        """The part that an exam plays in each fold."""
        count = self.folds.get("count", 0)
        return ["test"] * count if APART in self.folds else [exam.split(fold) for fold in range(count)]


def image_shape(path: Path | str) -> tuple[int, ...]:
    """Voxels along an image's axes, from its header alone.

    Raises:
        InputError: the header cannot be read.
    """
    from transforms.load import read_header

    return tuple(read_header(path).shape)


def save(datalist: Datalist, path: Path | str) -> None:
    """Write a datalist; its root is stored relative to the list's folder, so that both can move together."""
    path = Path(path)
    content = {
        "schema": SCHEMA,
        "name": datalist.name,
        "modality": datalist.modality,
        "root": os.path.relpath(datalist.root, path.resolve().parent),
        "truth": datalist.truth,
        "source": datalist.source,
        "folds": datalist.folds,
        "exams": [_entry(exam) for exam in datalist.exams],
    }
    write_json(path, content)


def _entry(exam: Exam) -> dict[str, Any]:
    """What `dataclasses.asdict` gives, without its deep copies, which take a minute of 100,000 exams."""
    return {**vars(exam), "lesions": list(map(vars, exam.lesions)), "findings": list(map(vars, exam.findings))}


def load(path: Path | str) -> Datalist:
    """Read a datalist and check its form.

    Args:
        path: the JSON file.

    Raises:
        InputError: the file is missing, is no JSON, has another schema, or an exam lacks what that asks.
            Problems of content (a label of 2, a patient in two folds) are `pipeline.verify`'s to report.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.name}: no such datalist; write one with `python -m data_lists csv`") from None
    except (ValueError, OSError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path.name}: not a datalist (JSON expected: {reason}); write it again") from None
    if not isinstance(content, dict) or content.get("schema") not in READABLE:
        found = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path.name}: schema is {str(found)[:60]!r}, expected {SCHEMA!r}; write the list again")
    try:
        exams = [_exam(entry, number) for number, entry in enumerate(content["exams"], start=1)]
        if content["modality"] not in MODALITIES:
            raise TypeError(f"`modality` is none of {', '.join(MODALITIES)}")
        if content.get("truth", "") not in TRUTHS:
            raise TypeError(f"`truth` is none of {', '.join(TRUTHS[1:])}")
        count = content.get("folds", {}).get("count", 1)
        if type(count) is not int or not 0 <= count <= _MOST_FOLDS:
            raise TypeError(f"`folds.count` is not a whole number up to {_MOST_FOLDS}")
        found = Datalist(
            name=str(content["name"]),
            modality=str(content["modality"]),
            root=(path.resolve().parent / content["root"]).resolve(),
            exams=exams,
            folds=dict(content.get("folds", {})),
            truth=str(content.get("truth", "")),
            source=dict(content.get("source", {})),
        )
        check_names(exams)
        return found
    except KeyError as error:
        raise InputError(f"{path.name}: {error.args[0]} is missing; write the list again") from None
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from None
    except (TypeError, AttributeError, ValueError, OverflowError, OSError) as error:
        raise InputError(f"{path.name}: not in the datalist's form ({error}); write the list again") from None


def _exam(entry: dict[str, Any], number: int) -> Exam:
    if not isinstance(entry, dict):
        raise TypeError(f"exam {number} is not an object")
    for key in ("exam_id", "patient_id", "images", "breasts"):
        if key not in entry:
            raise KeyError(f"exam {number}: key {key!r}")
    known = {name: entry[name] for name in Exam.__dataclass_fields__ if name in entry}
    known["lesions"] = [Lesion(**{**lesion, "center_mm": tuple(lesion["center_mm"]), "size_mm": _triple(lesion)})
                        for lesion in entry.get("lesions", [])]
    known["findings"] = [Finding(**{**finding, "box": tuple(finding["box"])}) for finding in entry.get("findings", [])]
    exam = Exam(**known)
    _check_types(exam, number)
    return exam


def _triple(lesion: Mapping[str, Any]) -> tuple[float, ...] | None:
    size = lesion.get("size_mm")
    return None if size is None else tuple(size)


def _check_types(exam: Exam, number: int) -> None:
    """Raise TypeError where a value has another type than the schema's; what it says is for `verify`."""

    def need(holds: bool, text: str) -> None:
        if not holds:
            raise TypeError(f"exam {number}: {text}")

    def scalar(value: Any) -> bool:
        return value is None or isinstance(value, (int, float, str))

    need(isinstance(exam.exam_id, str) and isinstance(exam.patient_id, str), "its ids are not texts")
    need(isinstance(exam.images, dict), "`images` is not an object")
    need(all(isinstance(path, str) and path and "\0" not in path for path in exam.images.values()),
         "an image's path is not a text")
    for path in exam.images.values():
        os.fsencode(path)  # a lone surrogate is a ValueError
    for name in ("breasts", "readers", "groups"):
        need(isinstance(getattr(exam, name), dict), f"`{name}` is not an object")
    tables: list[Any] = [*exam.breasts.values(), *exam.readers.values()]
    for table in tables:
        need(isinstance(table, dict), "a breast or a reader is not an object")
        need(all(map(scalar, table.values())), "a label or a score is not a number")
    scores = [score for table in exam.readers.values() for score in table.values() if score is not None]
    need(all(isinstance(score, (int, float)) and math.isfinite(score) for score in scores), "a score is not a number")
    need(all(isinstance(value, str) for value in exam.groups.values()), "a group is not a text")
    for lesion in exam.lesions:
        need(len(lesion.center_mm) == 3 and all(x is None or _is_number(x) for x in lesion.center_mm),
             "a lesion's `center_mm` is not three numbers")
        need(lesion.size_mm is None or (len(lesion.size_mm) == 3 and all(map(_is_number, lesion.size_mm)) and
                                        min(lesion.size_mm) >= 0), "a lesion's `size_mm` is not three lengths")
        need(isinstance(lesion.side, str) and isinstance(lesion.lesion_id, str), "a lesion's side or id is not a text")
        need(scalar(lesion.malignant), "a lesion's label is not a number")
    for finding in exam.findings:
        need(isinstance(finding.view, str) and len(finding.box) == 4 and all(type(n) is int for n in finding.box),
             "a finding's `view` is not a text, or its `box` not four whole numbers")
    need(isinstance(exam.validation_folds, list), "`validation_folds` is not a list")
    folds = [*exam.validation_folds, *([] if exam.fold is None else [exam.fold])]
    need(all(type(fold) is int for fold in folds), "a fold is not a whole number")
    need(type(exam.held_out) is bool, "`held_out` is neither true nor false")
    spacing = exam.spacing_mm
    need(spacing is None or (isinstance(spacing, list) and len(spacing) == 3 and
                             all(isinstance(s, (int, float)) and 0 < s < math.inf for s in spacing)),
         "`spacing_mm` is not three lengths")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
