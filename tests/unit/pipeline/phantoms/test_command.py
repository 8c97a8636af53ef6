"""The command that draws a cohort."""

from __future__ import annotations

import nibabel as nib

from pipeline.__main__ import main


def test_command(tmp_path, capsys):
    command = ["phantom", "breast_mri", "-o", str(tmp_path / "a"), "--exams", "1", "--workers", "1"]
    assert main(command) == 0
    assert "exams.csv" in capsys.readouterr().out
    assert nib.load(tmp_path / "a/exams/E0001/post4.nii.gz").shape == (192, 192, 20)
    assert main([*command, "--seed", "1"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
