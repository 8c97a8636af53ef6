"""The datalist: one JSON for a dataset, whatever the modality.

```
{"schema": "breast-bundles/datalist/1",
 "name": "demo", "modality": "MR", "root": ".",
 "folds": {"count": 5, "seed": 0},
 "exams": [{
   "exam_id": "E0001", "patient_id": "P0001",
   "images": {"pre": "E0001/pre.nii.gz", "post1": "E0001/post1.nii.gz", "t2": "E0001/t2.nii.gz"},
   "breasts": {"L": {"malignant": 0, "benign": 1}, "R": {"malignant": 1, "benign": null}},
   "lesions": [{"lesion_id": "1", "side": "R", "center_mm": [61.2, 40.0, -7.5], "malignant": 1}],
   "readers": {"reader1": {"L": 2, "R": 5}},
   "groups": {"density": "c"},
   "fold": 0, "validation_folds": [2, 4]}]}
```

* Image paths are relative to `root`, and `root` is relative to the folder of the list.
* `modality` is MR, US or MG. The keys of `images` name contrasts (MR), volumes (US) or views (MG).
* An exam has one space, in which its lesions' centres lie. Ultrasound volumes do not share one: each is an exam, with
  the one breast that it shows in `breasts`. A volume is healthy where both labels are 0 and no lesion is marked.
* An image named `lesions_mask` is no contrast: 0, or the `lesion_id` (then a number) of the lesion in each voxel.
* Labels are 0, 1 or null (unknown). A breast that was not imaged is left out of `breasts`.
* `center_mm` is (x, y, z) in RAS millimetres: x grows towards the patient's Right, y towards Anterior, z
  towards Superior, as NIfTI stores it (not the LPS of DICOM and ITK).
* `readers` score a breast (keys `L`, `R`) or an exam (key `exam`).
* `fold` is the fold in which the exam is tested; `validation_folds` are the folds in which it validates.
  In every other fold the exam is trained on.
* With a held-out test set, `folds.count` is one more than the folds of the cross-validation: the last fold trains on
  all of them and tests the exams with `held_out`, which play no part in any other fold.
* `spacing_mm` is the distance between voxels along the file's axes, where its header has lost it.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import InputError as InputError  # `data_lists` takes both from here
from pipeline.errors import run_main as run_main

SCHEMA = "breast-bundles/datalist/1"
MODALITIES = ("MR", "US", "MG")
SIDES = ("L", "R")
MASK = "lesions_mask"  # the image that holds, in each voxel, 0 or the id of a lesion
SPLITS = ("train", "validation", "test")


@dataclass
class Lesion:
    """One marked lesion: the weak label that stage 1 of the curriculum needs."""

    side: str
    center_mm: tuple[float, float, float]  # (x, y, z), RAS
    malignant: int | None = None
    lesion_id: str = ""


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
    folds: dict[str, int] = field(default_factory=dict)

    def path(self, exam: Exam, image: str) -> Path:
        """Where one image of an exam lies on disk."""
        return self.root / exam.images[image]


def image_shape(path: Path | str) -> tuple[int, ...]:
    """Voxels along an image's axes, from its header alone.

    Raises:
        InputError: the header cannot be read.
    """
    from transforms.load import read_header

    return tuple(read_header(path).shape)


def write_json(path: Path | str, content: Any) -> None:
    """Write JSON under a temporary name, then rename: a reader never sees half a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(content, file, indent=1, allow_nan=False)
            file.write("\n")
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save(datalist: Datalist, path: Path | str) -> None:
    """Write a datalist; its root is stored relative to the list's folder, so that both can move together."""
    path = Path(path)
    content = {
        "schema": SCHEMA,
        "name": datalist.name,
        "modality": datalist.modality,
        "root": os.path.relpath(datalist.root, path.resolve().parent),
        "folds": datalist.folds,
        "exams": [asdict(exam) for exam in datalist.exams],
    }
    write_json(path, content)


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
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such datalist; write one with `python -m data_lists csv`") from None
    except (json.JSONDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(f"{path}: not a datalist (JSON expected: {error}); write it again") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: schema is {found!r}, expected {SCHEMA!r}; write the list again")
    try:
        exams = [_exam(entry) for entry in content["exams"]]
        if content["modality"] not in MODALITIES:
            raise TypeError(f"`modality` is none of {', '.join(MODALITIES)}")
        if type(content.get("folds", {}).get("count", 1)) is not int:
            raise TypeError("`folds.count` is not a whole number")
        return Datalist(
            name=str(content["name"]),
            modality=str(content["modality"]),
            root=(path.resolve().parent / content["root"]).resolve(),
            exams=exams,
            folds=dict(content.get("folds", {})),
        )
    except KeyError as error:
        raise InputError(f"{path}: {error.args[0]} is missing; write the list again") from None
    except (TypeError, AttributeError) as error:
        raise InputError(f"{path}: not in the datalist's form ({error}); write the list again") from None


def _exam(entry: dict[str, Any]) -> Exam:
    for key in ("exam_id", "patient_id", "images", "breasts"):
        if key not in entry:
            raise KeyError(f"exam {entry.get('exam_id', '?')}: key {key!r}")
    known = {name: entry[name] for name in Exam.__dataclass_fields__ if name in entry}
    known["lesions"] = [
        Lesion(**{**lesion, "center_mm": tuple(lesion["center_mm"])}) for lesion in entry.get("lesions", [])
    ]
    exam = Exam(**known)
    _check_types(exam)
    return exam


def _check_types(exam: Exam) -> None:
    """Raise TypeError where a value has another type than the schema's; what it says is for `verify`."""

    def need(holds: bool, text: str) -> None:
        if not holds:
            raise TypeError(f"exam {exam.exam_id}: {text}")

    need(isinstance(exam.exam_id, str) and isinstance(exam.patient_id, str), "its ids are not texts")
    need(isinstance(exam.images, dict), "`images` is not an object")
    need(all(isinstance(image, str) for image in exam.images.values()), "an image's path is not a text")
    for name in ("breasts", "readers", "groups"):
        need(isinstance(getattr(exam, name), dict), f"`{name}` is not an object")
    for value in (*exam.breasts.values(), *exam.readers.values()):
        need(isinstance(value, dict), "a breast or a reader is not an object")
    for lesion in exam.lesions:
        numbers = [isinstance(x, (int, float)) and not isinstance(x, bool) for x in lesion.center_mm]
        need(len(numbers) == 3 and all(numbers), "a lesion's `center_mm` is not three numbers")
    folds = [*exam.validation_folds, *([] if exam.fold is None else [exam.fold])]
    need(all(type(fold) is int for fold in folds), "a fold is not a whole number")
    need(type(exam.held_out) is bool, "`held_out` is neither true nor false")
    spacing = exam.spacing_mm
    need(spacing is None or (isinstance(spacing, list) and len(spacing) == 3 and
                             all(isinstance(s, (int, float)) and s > 0 for s in spacing)),
         "`spacing_mm` is not three lengths")


def assign_folds(exams: Iterable[Exam], count: int = 5, seed: int = 0) -> dict[str, int]:
    """Give every exam its fold, in place: patients stay together, strata are spread evenly.

    One of `count` parts is tested in each fold; of what remains, again one of `count` parts validates. With 5
    that is 64 % train, 16 % validation, 20 % test (the curriculum paper, §3.1).

    Args:
        exams: the exams.
        count: number of folds; each class should have at least that many patients.
        seed: seed of the shuffling.

    Returns:
        `{"count": count, "seed": seed}`, for the list's `folds`.

    Raises:
        InputError: fewer than two folds, or too few patients for that many.
    """
    exams = list(exams)
    for fold, test in enumerate(_parts(exams, count, seed)):
        for exam in test:
            exam.fold = fold
    return assign_validation(exams, count, seed)


def hold_out(exams: Iterable[Exam], share: float, count: int = 5, seed: int = 0) -> dict[str, int]:
    """Set patients aside for one last test, and give all others folds, in place (centre-point paper, table 1).

    Args:
        exams: the exams.
        share: of the patients, set aside; strata are spread evenly.
        count: folds of the cross-validation among the others; fold number `count` is the last test.
        seed: seed of the shuffling.

    Returns:
        `{"count": count + 1, "seed": seed, "held_out": count}`, for the list's `folds`.

    Raises:
        InputError: a share that leaves no patient on one side, or as `assign_folds`.
    """
    exams = list(exams)
    if not 0 < share <= 0.5:
        raise InputError(f"--held-out {share}: give a share of the patients above 0 and up to 0.5")
    from sklearn.model_selection import train_test_split

    worst = _worst_strata(exams)
    rarest = min(Counter(worst.values()).values(), default=0)
    try:
        _, aside = train_test_split(list(worst), test_size=share, random_state=seed,
                                    stratify=list(worst.values()) if rarest > 1 else None)
    except ValueError:
        raise InputError(f"{len(worst)} patients are too few for --held-out {share}; add exams or leave it "
                         "out") from None
    return set_aside(exams, set(aside), count, seed)


def set_aside(exams: Iterable[Exam], patients: Collection[str], count: int = 5, seed: int = 0) -> dict[str, int]:
    """Hold out the exams of given patients, as `hold_out`, for datasets that name their test set."""
    exams = list(exams)
    for exam in exams:
        if exam.patient_id in patients:
            exam.fold, exam.held_out, exam.validation_folds = count, True, []
    folds = assign_folds([exam for exam in exams if not exam.held_out], count, seed)
    return {**folds, "count": count + 1, "held_out": count}


def assign_validation(exams: Iterable[Exam], count: int, seed: int = 0) -> dict[str, int]:
    """Choose the exams that validate in each fold, in place, where the folds of the test parts are given.

    Args:
        exams: the exams, each with its `fold`; one patient's exams share theirs.
        count: number of folds.
        seed: seed of the shuffling.

    Returns:
        As `assign_folds`.

    Raises:
        InputError: as `assign_folds`.
    """
    exams = list(exams)
    for exam in exams:
        exam.validation_folds = []
    for fold in range(count):
        for exam in next(_parts([exam for exam in exams if exam.fold != fold], count, seed)):
            exam.validation_folds.append(fold)
    return {"count": count, "seed": seed}


def _worst_strata(exams: Iterable[Exam]) -> dict[str, int]:
    """Each patient's worst stratum over all of their exams."""
    worst: dict[str, int] = {}
    for exam in exams:
        worst[exam.patient_id] = max(worst.get(exam.patient_id, 0), exam.stratum())
    return worst


def _parts(exams: list[Exam], count: int, seed: int) -> Iterator[list[Exam]]:
    """`count` parts of the exams, grouped by patient and stratified by each patient's worst stratum."""
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import, needed only here

    if count < 2:
        raise InputError(f"{count} folds cannot be made; --folds takes 2 or more")
    worst = _worst_strata(exams)
    if len(worst) < count:
        raise InputError(f"{len(worst)} patients are too few for {count} folds; add exams or lower --folds")
    patients = [exam.patient_id for exam in exams]
    # scikit-learn wants one class with a member a fold: small cohorts are stratified more coarsely, or not.
    for coarse in (lambda label: label, lambda label: label // 2, lambda label: 0):
        labels = [coarse(worst[patient]) for patient in patients]
        if max(Counter(labels).values()) >= count:
            break
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a class smaller than the folds: the converter's table shows it
        warnings.simplefilter("ignore", UserWarning)
        parts = [part for _, part in splitter.split(exams, labels, patients)]
    yield from ([exams[i] for i in part] for part in parts)
