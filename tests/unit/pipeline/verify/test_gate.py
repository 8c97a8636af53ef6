"""The gate lets sound exams pass, notes what is unusual, and stops what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.verify.gate import CheckExamd, check_exam
from transforms.facts import Facts


def facts(**change) -> Facts:
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[:3, 3] = (-80, -60, -40)
    return Facts(**{"shape": (160, 120, 30), "affine": affine, "file": "pre.nii.gz", **change})


def test_a_sound_exam_passes_without_a_word() -> None:
    assert check_exam("MR", {"pre": facts(), "post1": facts(file="post1.nii.gz")}) == []


@pytest.mark.parametrize("change, code", [({"non_finite": 3}, "non_finite"), ({"constant": 0.0}, "constant_image"),
                                          ({"shape": (160, 120, 1)}, "not_3d"), ({"spread": 1e30}, "outlier"),
                                          ({"clipped": 0.9}, "clipped"), ({"placed": False}, "no_orientation")])
def test_an_error_names_the_file_and_carries_its_code(change, code) -> None:
    with pytest.raises(InputError, match=r"^pre\.nii\.gz: .*; ") as error:
        check_exam("MR", {"pre": facts(**change)})
    assert error.value.code == code and "\n" not in str(error.value)


def test_what_is_unusual_is_noted_and_handed_on() -> None:
    noted = facts(notes=["its header counts in metres"])
    result = CheckExamd("image", modality="MR")({"image": "E1", "facts": {"pre": noted}})
    assert result.keys() == {"image", "notes"} and result["notes"].startswith("pre.nii.gz: ")
    assert "metres" in result["notes"]


def test_no_such_modality() -> None:
    with pytest.raises(InputError, match="modality 'CT': choose one of MR, US, MG"):
        CheckExamd("image", modality="CT")
