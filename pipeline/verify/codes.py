"""What can be wrong with a datalist: every code with its severity, what it says, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SEVERITIES = ("error", "warning")


@dataclass(frozen=True)
class Rule:
    """One code's row in the table: `reason` is a template that the finding fills in."""

    severity: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Issue:
    """One finding. It names the exam and the contrast; it never holds a path or a patient's id."""

    severity: str
    code: str
    exam: str
    image: str
    reason: str
    remedy: str


_COPY = "copy the file again from its source"
_CONVERT = "convert the image again, or leave it out"
_LIST = "correct the list, or write it again"
_CENTER = "correct the centre; where most of a list is affected, it is LPS: write the list with --lps"

RULES = {
    # Files
    "missing_file": Rule("error", "no such file", "correct its path, or the list's root"),
    "empty_file": Rule("error", "the file has 0 bytes", _COPY),
    "truncated_file": Rule("error", "the file ends before its image does", _COPY),
    "corrupt_file": Rule("error", "the file's check sum does not match its content", _COPY),
    "unreadable_file": Rule("error", "not an image that can be read{detail}",
                            "give NIfTI, NRRD, MetaImage, TIFF, PNG or a folder of DICOM slices that can be read"),
    "series": Rule("error", "DICOM: {detail}", "copy the series again, or say in the list which it is"),
    # Mammograms
    "no_pixels": Rule("error", "the file holds no pixels", "give the image itself, or copy it again"),
    "plugin": Rule("error", "{detail}", "install the extra: pip install 'breast-bundles[dicom]'"),
    "view": Rule("error", "{detail}", "name the view L-CC, L-MLO, R-CC or R-MLO, as the file's header says"),
    "laterality": Rule("error", "{detail}", "correct the side; where all files lie the other way round, prepare with "
                       "stored: mirrored"),
    "polarity": Rule("error", "{detail}", "export it again; where black and white are only named wrongly, correct "
                     "PhotometricInterpretation"),
    "other_patient": Rule("error", "of another patient than the exam's other files",
                          "give each patient's exam a folder of its own"),
    "other_study": Rule("error", "of another study than the exam's other files",
                        "give each examination a folder of its own"),
    "mixed_intent": Rule("error", "its pixels are {what}, unlike those of the exam's other files",
                         "take all views of an exam from the same processing"),
    "no_breast": Rule("error", "no breast is seen", "check the image, or leave it out"),
    # Voxels and grids
    "not_3d": Rule("error", "shape {shape}, but {expected} expected", "give one volume a contrast"),
    "bad_affine": Rule("error", "its affine is not finite or cannot be inverted", _CONVERT),
    "no_orientation": Rule("error", "its header does not say how it lies in the patient (neither qform nor sform)",
                           "convert it again; left and right cannot be told without"),
    "no_overlap": Rule("error", "only {share:.0%} of {other} lie inside it",
                       "check its header; contrasts of an exam show the same place"),
    "converted": Rule("warning", "{what}; it was converted to millimetres", "convert the image again, to be sure"),
    "outlier": Rule("error", "a voxel is {ratio:.3g} times as large as nearly all others",
                    "mend the voxel, or export the image again"),
    "clipped": Rule("error", "{share:.0%} of its voxels have the largest value: the image is cut off above", _CONVERT),
    "odd_spacing": Rule("warning", "spacing {spacing} mm{detail}",
                        "check the image's header; sizes and lesion centres depend on it"),
    "non_finite": Rule("error", "{count} voxels are NaN or infinite", _CONVERT),
    "constant_image": Rule("error", "every voxel is {value}", _CONVERT),
    "shape_mismatch": Rule("error", "shape {shape}, but {other} has {reference}",
                           "resample the phases of an exam onto one grid"),
    "affine_mismatch": Rule("error", "grid differs from that of {other} by up to {distance:.3g} mm",
                            "resample the phases of an exam onto one grid"),
    "missing_phase": Rule("error", "the exam lacks this contrast{detail}",
                          "add the image, or train on contrasts that every exam has"),
    "duplicate_image": Rule("error", "the same {what} as {other}", "give every contrast its own file"),
    # Lesions
    "center_outside": Rule("error", "lesion {lesion}: centre {detail}", _CENTER),
    "center_other_breast": Rule("error", "lesion {lesion}: side is {side}, but its centre lies "
                                "{distance:.0f} mm beyond the middle of the image", _CENTER),
    "lesion_without_breast": Rule("error", "lesion {lesion}: the exam has no breast {side}", _LIST),
    "lesion_label_contradicts": Rule("error", "lesion {lesion} is malignant, breast {side} is not", _LIST),
    "healthy_with_lesion": Rule("error", "lesion {lesion} is marked, but breast {side} is neither malignant nor benign",
                                _LIST),
    "malignant_without_lesion": Rule("warning", "{what}",
                                     "mark its lesion's centre; training on centres leaves it out"),
    # Findings on mammograms
    "box_without_view": Rule("error", "a finding's box is on {view}, which the exam does not have", _LIST),
    "box_outside": Rule("error", "a finding's box is empty, or reaches out of the image of {shape} pixels", _LIST),
    "box_label_contradicts": Rule("error", "a finding on {view} is malignant, breast {side} is not", _LIST),
    # Labels
    "label_not_binary": Rule("error", "{what} is neither 0, 1 nor null", _LIST),
    "label_missing": Rule("warning", "{what}", "label it; it is not trained on until then"),
    "detection": Rule("error", "{what}", "write negative, screen or interval, as the breasts' labels say"),
    "side_unknown": Rule("error", "a {what} has a side other than L and R", _LIST),
    # The list and its folds
    "duplicate_exam": Rule("error", "the exam is listed {count} times", "leave one of them"),
    "patient_in_two_folds": Rule("error", "exam {other} of the same patient is {detail}",
                                 "write the list again, so that a patient's exams stay in one fold"),
    "fold_missing": Rule("error", "{what}", "write the list again, so that every exam has a fold"),
    "fold_one_class": Rule("warning", "fold {fold}: the {part} part has no {kind} breast",
                           "use fewer folds or more exams; AUROC cannot be computed on one class"),
}


def issue(code: str, exam: str = "", image: str = "", severity: str = "", **values: Any) -> Issue:
    """Make a finding from its code; `values` fill in the reason, `severity` replaces the table's."""
    rule = RULES[code]
    return Issue(severity or rule.severity, code, exam, image, rule.reason.format(**values), rule.remedy)
