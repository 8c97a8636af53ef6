"""The datasets that have a converter: what each is, what its labels mean, which bundle it serves, its terms."""

from __future__ import annotations

from dataclasses import dataclass

NO_T2 = "channels: [pre, post1, post2, post3] in an overlay (no T2)"
CURRICULUM, TRANSFER = "breast_mri_curriculum", "breast_mri_transfer"
SCREENING = "mammography_attention"


@dataclass(frozen=True)
class Dataset:
    """One dataset.

    Attributes:
        module: of its converter, in `data_lists`.
        text: what it is.
        modality: MR, US or MG; empty: as the user says.
        truth: what labels rest on, as of `pipeline.datalist.TRUTHS`.
        rule: what makes a breast malignant, and what does not.
        serves: bundle, and the settings that fit.
        licence: terms and how to come by the data.
        verified: what of the real data the converter was run on.
        marks: names of files that no other dataset has.
    """

    module: str
    text: str
    modality: str = ""
    truth: str = ""
    rule: str = ""
    serves: tuple[str, ...] = ()
    licence: str = ""
    verified: str = "no"
    marks: tuple[str, ...] = ()


DATASETS = {
    "csv": Dataset("from_csv", "your own exams, from a spreadsheet saved as CSV", serves=("all bundles",),
                   rule="as the spreadsheet says", licence="yours", verified="yes"),
    "duke": Dataset(
        "duke", "Duke-Breast-Cancer-MRI, 922 patients with cancer", "MR", "pathology",
        "malignant: the tumour's breast, both where bilateral; the other breast 0, not proven normal",
        (f"{CURRICULUM}: naive variants, {NO_T2}; every lesion is malignant, its first stage needs others too",),
        "CC BY-NC 4.0, TCIA, open",
        marks=("Annotation_Boxes.xlsx", "Breast-Cancer-MRI-filepath_filename-mapping.xlsx")),
    "odelia": Dataset(
        "odelia", "ODELIA Challenge 2025, breast MRI of six sites", "MR", "pathology",
        "malignant: Lesion 2 (with DCIS, proliferative with atypia); benign: Lesion 1",
        (f"{CURRICULUM}: naive variants, channels: [pre, post1, post2, t2], field_of_view: single (unilateral)",),
        "CC BY-NC 4.0, Hugging Face, gated", marks=("metadata_unilateral/annotation.csv",)),
    "ambl": Dataset(
        "ambl", "Advanced-MRI-Breast-Lesions, lesions with pathology", "MR", "pathology",
        "a lesion is malignant where tumor/benign is 1; a breast by its worst lesion, else unknown",
        (f"{TRANSFER}: subsets without t2", f"{CURRICULUM}: {NO_T2}"), "CC BY 4.0, TCIA, open",
        marks=("Advanced-MRI-Breast-Lesions-DA-Clinical*.xlsx",)),
    "fastmri-breast": Dataset(
        "fastmri_breast", "fastMRI Breast, 300 exams at 3 T", "MR", "pathology",
        "malignant: lesion status 1 in the breast of its laterality; benign (status 2) has no side",
        (f"{CURRICULUM}: naive variants, channels: [pre, post1, post2, post3]",), "data use agreement, NYU",
        "its label table", ("breast_fastMRI_final.xlsx", "fastMRI_breast_labels.xlsx")),
    "mama-mia": Dataset(
        "mama_mia", "MAMA-MIA, outlined cancers of Duke, ISPY1, ISPY2 and NACT", "MR", "pathology",
        "malignant: the outlined tumour and its breast; no benign, no normal",
        (f"{CURRICULUM}: naive variants of bilateral exams, channels: [pre, post1, post2]; no benign lesion",),
        "CC BY-NC 4.0, Synapse, account",
        marks=("clinical_and_imaging_info.xlsx",)),
    "tdsc-abus": Dataset(
        "tdsc_abus", "the TDSC-ABUS 2023 challenge: automated breast ultrasound", "US", "pathology",
        "malignant: label M; benign: label B; every volume has one lesion",
        ("breast_ultrasound_center_point: --preset far",), "agreement form, grand-challenge",
        marks=("bbx_labels.csv",)),
    "csaw-cc": Dataset(
        "csaw_cc", "CSAW-CC, screening mammograms of Karolinska", "MG", "pathology",
        "malignant: rad_timing 1 or 2 in the breast of x_cancer_laterality", (f"{SCREENING}: as published",),
        "on application, researchdata.se",
        marks=("CSAW-CC_breast_cancer_screening_data.csv", "anon_dataset_nonhidden_*.csv")),
    "cbis-ddsm": Dataset(
        "cbis_ddsm", "CBIS-DDSM, scanned film with outlined lesions", "MG", "pathology",
        "malignant: the worst pathology of a breast's lesions in either view; no breast is normal",
        (f"{SCREENING}: a breast is positive where malignant",), "CC BY 3.0, TCIA, open", "its four tables",
        ("*_case_description_*_set.csv",)),
    "vindr-mammo": Dataset(
        "vindr_mammo", "VinDr-Mammo, 5,000 exams with boxes", "MG", "birads",
        "suspicious: BI-RADS 4 and 5; 1 and 2 are 0; 3 is unknown unless --birads-3 says otherwise",
        (f"{SCREENING}: suspicion instead of cancer",), "credentialed, PhysioNet",
        marks=("breast-level_annotations.csv", "finding_annotations.csv")),
    "rsna": Dataset(
        "rsna", "RSNA Screening Mammography Breast Cancer Detection", "MG", "pathology",
        "malignant: cancer 1 (biopsy); benign: a biopsy without cancer", (f"{SCREENING}: as published",),
        "competition, non-commercial, Kaggle", marks=("train_images",)),
    "cmmd": Dataset(
        "cmmd", "CMMD, Chinese Mammography Database", "MG", "pathology",
        "by the breast's own row; breasts without a row are unknown, none is normal",
        (f"{SCREENING}: a breast is positive where malignant",), "CC BY 4.0, TCIA, open",
        marks=("CMMD_clinicaldata_revision.xlsx",)),
    "embed": Dataset(
        "embed", "EMBED, the open fifth of Emory's screening and diagnostic mammograms", "MG", "pathology",
        "malignant: path_severity 0 or 1 within a year; negative: BI-RADS A, N or B, or path_severity 2 and more",
        (f"{SCREENING}: as published",), "form, AWS", marks=("EMBED_OpenData_clinical*.csv",)),
    "inbreast": Dataset(
        "inbreast", "INbreast, 410 mammograms with outlines", "MG", "birads",
        "suspicious: BI-RADS 4 to 6; 1 to 3 are 0", (f"{SCREENING}: suspicion instead of cancer",),
        "restricted, on request", marks=("INbreast.csv", "INbreast.xls", "INbreast.xlsx")),
}


def table() -> str:
    """What `python -m data_lists` prints: each dataset in three lines."""
    lines = []
    for name, each in DATASETS.items():
        kind = {"birads": "BI-RADS of readers", "": "as given"}.get(each.truth, each.truth)
        lines += [f"{name:<15}{each.text}",
                  f"{'':<15}{each.modality or 'MR, US, MG'}; labels by {kind}: {each.rule}",
                  f"{'':<15}serves {'; '.join(each.serves)}",
                  f"{'':<15}{each.licence}; verified on real data: {each.verified}", ""]
    return "\n".join(lines)
