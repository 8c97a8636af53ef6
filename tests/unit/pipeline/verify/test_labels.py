"""What verification says of labels, and what it lets pass."""

from __future__ import annotations

from pipeline.verify import verify


def test_a_side_is_not_judged_where_one_breast_was_imaged(tiny_cohort) -> None:
    datalist = tiny_cohort.load()
    datalist.exams[0].breasts.pop("R")  # the image may show one breast; its middle is not the patient's
    datalist.exams[0].lesions[0].center_mm = (60.0, 20.0, 5.0)
    assert verify(datalist, quick=True) == []


def test_a_contrast_that_few_exams_have_is_not_missed(tiny_cohort) -> None:
    datalist = tiny_cohort.load()
    for exam in datalist.exams[4:]:
        exam.images.pop("t2")  # 4 of 12 keep it
    assert verify(datalist, quick=True) == []
