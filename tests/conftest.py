"""Fixtures that several tests share, by what they are of; `tests/helpers` has them."""

pytest_plugins = ["cohorts", "phantom_cohorts", "prepared_mri", "prepared_phantoms", "dicom_files"]
