"""The gate: an exam in hand is held against the same rules as a list, wherever it is about to be used.

`inference.yaml` names it behind the transform that reads the exam's files and notes their facts, so that a server,
which runs only preprocessing, inferer and postprocessing, passes through it; preparation calls it for every exam.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.datalist import MODALITIES, Exam
from pipeline.errors import InputError
from pipeline.verify.images import image_issues
from transforms.facts import Facts


def check_exam(modality: str, facts: Mapping[str, Facts]) -> list[str]:
    """Judge one exam by the facts of its files.

    Args:
        modality: MR, US or MG.
        facts: of each file, by contrast or view.

    Returns:
        what is unusual but usable, in a line each.

    Raises:
        InputError: the first error, with the file, the reason and the remedy; its code is `verify`'s.
    """
    found = list(image_issues(modality, Exam("", "", {}, {}), dict(facts)))
    names = {name: fact.file or name for name, fact in facts.items()}
    errors = [issue for issue in found if issue.severity == "error"]
    if errors:
        first = errors[0]
        more = f" ({len(errors) - 1} more errors in this exam)" if len(errors) > 1 else ""
        name = names.get(first.image, first.image)
        raise InputError(f"{name}: {first.reason}{more}; {first.remedy}", code=first.code)
    return [f"{names.get(issue.image, issue.image)}: {issue.reason}" for issue in found]


class CheckExamd(MapTransform):
    """Refuse an exam with errors; `notes` of the dictionary tells, in lines, what is unusual but usable.

    The dictionary needs `facts`, of each file by contrast or view, as `transforms.LoadBreastsd`, `LoadLesionSlicesd`,
    `LoadVolumed`, `LoadCenterCrops` and `LoadViews` leave them; they are taken out.

    Args:
        keys: the exam, for MONAI; it is not touched.
        modality: MR, US or MG.

    Raises:
        InputError: as `check_exam`.
    """

    def __init__(self, keys: KeysCollection, modality: str, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if modality not in MODALITIES:
            raise InputError(f"modality {modality!r}: choose one of {', '.join(MODALITIES)}")
        self.modality = modality

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        notes = check_exam(self.modality, result.pop("facts"))
        result["notes"] = "\n".join(notes)  # a text: batches are taken apart, lists with them
        return result
