"""Archives: the same files give the same bytes, and nothing of an archive lies outside its folder."""

from __future__ import annotations

import os
import stat
import zipfile

import pytest

from pipeline.errors import InputError
from pipeline.files.archives import unpacked, zip_bytes, zip_folder


def test_the_same_files_give_the_same_bytes(tmp_path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name / "bundle"
        (folder / "models").mkdir(parents=True)
        (folder / "models" / "model.pt").write_bytes(b"1" * 1000)
        (folder / "x.json").write_text("{}")
        os.utime(folder / "x.json", (1e9, 1e9 + ord(name)))
        zip_folder(folder, tmp_path / f"{name}.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with unpacked(tmp_path / "a.zip") as folder:
        assert folder.name == "bundle" and (folder / "models" / "model.pt").read_bytes() == b"1" * 1000
    assert not folder.exists()
    assert zip_bytes({"b": b"2", "a": b"1"}) == zip_bytes({"a": b"1", "b": b"2"})


def test_a_folder_is_itself_and_loose_files_are_called_as_their_archive(tmp_path) -> None:
    (tmp_path / "E7.zip").write_bytes(zip_bytes({"pre.nii": b"1", "t2.nii": b"2"}))
    with unpacked(tmp_path / "E7.zip") as folder:
        assert folder.name == "E7" and sorted(p.name for p in folder.iterdir()) == ["pre.nii", "t2.nii"]
    with unpacked(tmp_path) as folder:
        assert folder == tmp_path
    (tmp_path / "pre.nii").write_bytes(b"no archive")
    with unpacked(tmp_path / "pre.nii") as file:
        assert file == tmp_path / "pre.nii"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "C:/x", "..\\x", "a/..\\..\\x"])
def test_hostile_names_are_refused(tmp_path, name) -> None:
    (tmp_path / "a.zip").write_bytes(zip_bytes({"good": b"1", name: b"2"}))
    with pytest.raises(InputError, match=r"a\.zip: holds a file that would lie outside"), unpacked(tmp_path / "a.zip"):
        pass


def test_links_and_damage_are_refused(tmp_path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(InputError, match="or a link; do not use it"), unpacked(tmp_path / "a.zip"):
        pass
    content = bytearray(zip_bytes({"a.pt": b"1" * 1000}))
    content[100] ^= 1
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.zip: cannot be unpacked"), unpacked(tmp_path / "b.zip"):
        pass
    with pytest.raises(InputError, match=r"none\.zip: no such file"), unpacked(tmp_path / "none.zip"):
        pass
