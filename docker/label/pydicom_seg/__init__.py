"""Stands in for pydicom-seg, which MONAI Label imports to read DICOM SEG labels and which pydicom 3 breaks."""
