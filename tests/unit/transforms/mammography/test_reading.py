"""Reading mammograms: grey values and orientation by hand, and one line for each way in which a file can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from mammogram_files import breast, fails, save_dicom, save_png
from monai.data import list_data_collate

from transforms import ReadMammogramd, read_mammogram
from transforms.mammography.reading import wall_edge


@pytest.mark.parametrize("save", [save_png, save_dicom, lambda f, p: save_png(f, p, "image.tif")])
def test_every_format_gives_the_stored_values(tmp_path, save) -> None:
    found = read_mammogram(save(tmp_path, breast()), "L-CC")
    assert found.pixels.dtype == np.float32
    np.testing.assert_array_equal(found.pixels, breast())
    assert (found.side, found.view, found.flipped, found.notes) == ("L", "CC", False, [])
    assert len(found.digest) == 64


def test_right_breasts_are_mirrored_and_repeats_are_read(tmp_path) -> None:
    found = read_mammogram(save_png(tmp_path, breast("right")), "R-MLO-2")
    assert (found.side, found.view, found.flipped) == ("R", "MLO", True)
    np.testing.assert_array_equal(found.pixels, breast("left"))


@pytest.mark.parametrize("label", [False, True])
@pytest.mark.parametrize("wall", ["left", "right"])
def test_wall_edge_in_spite_of_a_label_and_an_empty_border(wall, label) -> None:
    assert wall_edge(breast(wall, label=label)) == wall
    assert wall_edge(breast(wall, rows=1200, columns=800, label=label)) == wall


def test_the_wrong_side_is_an_error_unless_stored_so(tmp_path) -> None:
    path = save_png(tmp_path, breast("right"))
    assert "touches the right edge" in fails("laterality", path, "L-CC")
    np.testing.assert_array_equal(read_mammogram(path, "L-CC", stored="mirrored").pixels, breast("left"))
    np.testing.assert_array_equal(read_mammogram(path, "L-CC", check_side=False).pixels, breast("right"))
    assert not read_mammogram(save_png(tmp_path, breast("left")), "R-CC", stored="left").flipped


def test_an_image_full_of_tissue_is_noted(tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(1000, 1100, (60, 60)).astype(np.uint16)
    assert "could not be told" in read_mammogram(save_png(tmp_path, pixels), "L-CC").notes[0]


def test_table_and_header_must_agree(tmp_path) -> None:
    path = save_dicom(tmp_path, breast())
    assert "L-MLO, its header CC" in fails("view", path, "L-MLO")
    assert "R-CC, its header L" in fails("view", path, "R-CC")
    fails("view", path, "left CC")
    fails("view", save_dicom(tmp_path, breast(), ViewPosition="ML"))
    fails("view", save_dicom(tmp_path, breast(), ImageLaterality="B"))
    fails("view", save_png(tmp_path, breast()))


def test_eight_bits_and_colour_are_noted(tmp_path) -> None:
    small = (breast() // 16).astype(np.uint8)
    found = read_mammogram(save_png(tmp_path, small), "L-CC")
    assert found.notes == ["8 bits a pixel"] and found.pixels.max() == small.max()
    found = read_mammogram(save_png(tmp_path, np.stack([small] * 3, -1)), "L-CC")
    assert "grey" in found.notes[0]
    np.testing.assert_array_equal(found.pixels, small)
    path = save_dicom(tmp_path, np.stack([small] * 3, -1), SamplesPerPixel=3, PhotometricInterpretation="RGB",
                      PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7)
    found = read_mammogram(path)
    assert found.notes == ["colour picture, converted to grey", "8 bits a pixel"]
    np.testing.assert_allclose(found.pixels, small, atol=1e-3)


def test_damaged_and_foreign_files(tmp_path) -> None:
    whole = save_dicom(tmp_path, breast()).read_bytes()
    cut, foreign, png = tmp_path / "cut.dcm", tmp_path / "foreign.dcm", tmp_path / "cut.png"
    for end, code in ((len(whole) - 1000, "truncated"), (200, "no_pixels"), (150, "no_pixels"), (0, "empty")):
        cut.write_bytes(whole[:end])
        fails(code, cut)
    foreign.write_bytes(b"laterality;view\n" * 100)
    fails("unreadable", foreign)
    png.write_bytes(b"no picture")
    fails("unreadable", png, "L-CC")
    png.write_bytes(save_png(tmp_path, breast()).read_bytes()[:300])
    fails("truncated", png, "L-CC")
    fails("missing", tmp_path / "nothing.png", "L-CC")
    for value in (0, 7):
        fails("constant_image", save_png(tmp_path, np.full((20, 20), value, np.uint16)), "L-CC")
    fails("unreadable", save_dicom(tmp_path, np.stack([breast()] * 2), Rows=120, Columns=80, NumberOfFrames=2))


def test_dictionary_version(tmp_path) -> None:
    image = ReadMammogramd()({"image": save_png(tmp_path, breast("right")), "view": "R-CC"})["image"]
    assert image.shape == (1, 120, 80) and image.meta["side"] == "R" and image.meta["flipped"]
    other = ReadMammogramd()({"image": save_dicom(tmp_path, breast(), ImagerPixelSpacing=[1, 2])})["image"]
    assert list_data_collate([image, other]).shape == (2, 1, 120, 80)
