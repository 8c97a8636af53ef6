"""Every map of every bundle points at the evidence: in its array, in the answer's NIfTI and in the answer's picture.

The networks are the bundles' own with planted weights: one channel passes through from the input to the logit, so that
the score rises with one bright place and with nothing else. Each bundle's `inference.yaml` answers an exam with such a
place at a known point of the patient.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from matplotlib import image as pictures
from matplotlib.figure import Figure
from monai.bundle import ConfigParser
from monai.networks.nets.resnet import ResNet
from PIL import Image
from scipy import ndimage
from torch import nn

from pipeline.explain.evidence import HeatMapInferer
from pipeline.explain.grad_cam import GradCamInferer, slab_map
from pipeline.explain.saliency import saliency
from pipeline.explain.windows import SlidingWindows, WindowMap
from pipeline.networks.center_point_resnet import CenterPointResNet
from pipeline.networks.curriculum_resnet import CurriculumResNet
from pipeline.networks.doubly_deep import ANSWERS, DoublyDeepNet
from pipeline.networks.imagenet_resnet import transfer_resnet34
from pipeline.networks.mammogram_resnet import mammogram_resnet

ROOT = Path(__file__).parents[2]


def plant(network: nn.Module, channel: int, gain: float, above: float = 0.0) -> None:
    """Weights that take the mean of an input channel around each voxel, as far as it is above a value, to the logit."""
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                module.weight.zero_()
                if module.bias is not None:
                    module.bias.zero_()
                if name in ("conv1", "backbone.0"):
                    module.weight[0, channel] = 1 / module.weight[0, channel].numel()
                elif "downsample" in name or "shortcut" in name:  # the blocks' other paths stay 0
                    module.weight[0, 0] = 1
        if isinstance(network, CurriculumResNet):
            head, other = network.classifier.weight[1, 0], network.classifier.weight[0, 0]
        else:
            assert isinstance(network, ResNet) and network.fc is not None
            network.bn1.bias[0] = -above
            network.fc.weight.zero_()
            network.fc.bias.zero_()
            head, other = network.fc.weight[-1, 0], network.fc.weight[0, 0]
        other.fill_(-gain)
        head.fill_(gain)  # the only row, where there is one


def plant_answer(network: DoublyDeepNet, answer: str, gain: float) -> None:
    """As `plant`, for one of four answers; the others know nothing."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.trunk[0][0].weight[0] = 1 / network.trunk[0][0].weight[0].numel()
        shortcuts = [module for name, module in network.named_modules() if name.endswith("shortcut")]
        for layer in (network.collapse, *(each for each in shortcuts if not isinstance(each, nn.Identity))):
            layer.weight[0, 0] = 1
        network.heads.weight[2 * ANSWERS.index(answer) + 1, 0] = gain
        network.heads.weight[2 * ANSWERS.index(answer), 0] = -gain


class Drawn:
    """The figures that a test's answers save, to know where in the picture each panel lies."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.figures: list[Figure] = []
        save = Figure.savefig

        def remember(figure: Figure, *args: Any, **kwargs: Any) -> None:
            save(figure, *args, **kwargs)
            self.figures.append(figure)

        patch.setattr(Figure, "savefig", remember)

    def panels(self, path: Path) -> list[np.ndarray]:
        """The picture's panels `(rows, columns, 3)` in 0–1, as the file shows them."""
        picture = pictures.imread(path)[..., :3]
        height, width = picture.shape[:2]
        found = []
        for axes in self.figures[-1].axes:
            box = axes.get_position()
            rows = slice(round((1 - box.y1) * height), round((1 - box.y0) * height))
            found.append(picture[rows, round(box.x0 * width) : round(box.x1 * width)])
        return found


@pytest.fixture
def drawn(monkeypatch) -> Drawn:
    return Drawn(monkeypatch)


def middle(values: np.ndarray) -> np.ndarray:
    """Where a panel's highest values lie, row and column as parts of its size."""
    there = ndimage.center_of_mass(values >= np.quantile(values, 0.995))
    return np.asarray(there) / values.shape


def grey(panel: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(panel.mean(axis=-1), 2)


def red(panel: np.ndarray) -> np.ndarray:
    """How much warmer than grey: both of the maps' colours end in it."""
    return ndimage.gaussian_filter(panel[..., 0] - panel[..., 2], 2)


def answer(bundle: str, change: Callable[[Any], None] | None = None, **settings: Any) -> Any:
    """Run a bundle's `inference.yaml` with planted weights; returns the parser."""
    parser = ConfigParser()
    parser.read_config(ROOT / "bundles" / bundle / "configs" / "inference.yaml")
    parser["bundle_root"] = str(ROOT / "bundles" / bundle)
    for name, value in {"device": "$torch.device('cpu')", "load_pretrain": False, **settings}.items():
        parser[name] = value
    parser.parse()
    if change is not None:
        change(parser)
    with torch.no_grad():
        parser.get_parsed_content("evaluator").run()
    return parser


def peak(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An answer's map, its affine and the point (RAS mm) of what is hottest, the middle of the top."""
    image = nib.load(path)
    heat = image.get_fdata()
    top = np.argwhere(heat >= 0.95 * heat.max()).mean(axis=0)
    return heat, image.affine, image.affine[:3, :3] @ top + image.affine[:3, 3]


def write(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.astype(np.float32), affine), path)


def blob(shape: tuple[int, ...], affine: np.ndarray, point: tuple[float, ...], radius: float) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    return np.linalg.norm(world - point, axis=-1) < radius


# --- arrays -----------------------------------------------------------------------------------------------------------

PLACE = (40, 60, 6)  # of 128 × 128 × 16 voxels; cells of C5 lie on multiples of 32 × 32 × 4


def bright(shape: tuple[int, ...], place: tuple[int, ...], reach: tuple[int, ...], low: float = 0.0) -> torch.Tensor:
    """Dark everywhere, 1 around a place: `(1, 1, *shape)`."""
    image = torch.full((1, 1, *shape), low)
    image[(0, 0, *(slice(max(at - r, 0), at + r + 1) for at, r in zip(place, reach, strict=True)))] = 1.0
    return image


def hottest(heat: torch.Tensor | np.ndarray) -> np.ndarray:
    heat = np.asarray(heat)
    return np.argwhere(heat >= 0.95 * heat.max()).mean(axis=0)


@pytest.mark.parametrize(("kind", "cell"), [("evidence", (12, 12, 3)), ("activation", (16, 16, 2))])
def test_breasts_array(kind, cell) -> None:
    network = CurriculumResNet(1).eval()
    plant(network, 0, 2.0)
    found = HeatMapInferer(kind, body_channel=None)(bright((128, 128, 16), PLACE, (12, 12, 3)), network)["heatmap"][0]
    assert (np.abs(hottest(found) - PLACE) <= cell).all()
    assert float(found[96:, 96:].max()) < 0.3 * float(found.max())


@pytest.mark.parametrize(("kind", "cell"), [("grad_cam", 16), ("saliency", 16)])
def test_planes_array(kind, cell) -> None:
    """Patches of the transfer and mammograms; three images at a time, each with its own place."""
    places = [(60, 150), (160, 40), (100, 100)]
    images = torch.cat([bright((224, 224), place, (20, 20), -0.1) for place in places])  # nothing below 0 passes
    network = (transfer_resnet34(1) if kind == "grad_cam" else mammogram_resnet(18, widen=0.25)).eval()
    plant(network, 0, 2.0)
    maps = GradCamInferer()(images, network)["heatmap"] if kind == "grad_cam" else saliency(network, images)[1]
    for found, place in zip(maps, places, strict=True):
        heat = ndimage.gaussian_filter(found.numpy(), 6) if kind == "saliency" else found
        where = np.asarray(ndimage.center_of_mass(heat)) if kind == "saliency" else hottest(heat)
        assert (np.abs(where - place) <= cell).all(), (where, place)
        other = places[places.index(place) - 1]
        assert float(found[other[0], other[1]]) < 0.3 * float(found.max())


def test_volumes_array() -> None:
    """The slab's Grad-CAM in its plane, and the map by windows in space."""
    network = CenterPointResNet((2, 2, 2, 2), stem_stride=(1, 2, 2)).eval()
    plant(network, 0, 8.0)
    place = (16, 40, 80)
    volume = bright((32, 96, 112), place, (4, 16, 16))
    slab = slab_map(network, volume[0], place[0])
    assert (np.abs(hottest(slab) - place[1:]) <= 16).all() and slab[16, 16] < 0.3
    found = WindowMap.of(SlidingWindows((16, 48, 48), (8, 20, 20))(volume, network))
    top = found.start + found.step * hottest(found.heat)
    assert (np.abs(top[::-1] - place) <= (12, 28, 28)).all()  # a step and half a cell
    whole = found.whole((112, 96, 32))
    assert whole[place[::-1]] > 0.7 * whole.max() and whole[16, 16, 30] < 0.6 * whole.max()


# --- answers ----------------------------------------------------------------------------------------------------------

MRI = np.array([[-3.0, 0, 0, 142.5], [0, -3.0, 0, 110], [0, 0, 5.0, -40], [0, 0, 0, 1]])  # columns to L, rows to P
SHAPE = (96, 64, 16)


def two_breasts() -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    x, y, z = np.moveaxis(index @ MRI[:3, :3].T + MRI[:3, 3], -1, 0)
    breasts = [((x - c) / 60) ** 2 + ((y - 20) / 70) ** 2 + (z / 60) ** 2 < 1 for c in (-70, 70)]
    return breasts[0] | breasts[1] | (y < -20)


@pytest.mark.parametrize(("kind", "point"), [("evidence", (72.0, 30.0, 10.0)), ("activation", (-60.0, 40.0, -10.0))])
def test_curriculum_answer(kind, point, tmp_path, drawn) -> None:
    body, spot = two_breasts(), blob(SHAPE, MRI, point, 14.0)
    grain = np.random.default_rng(0).uniform(0, 1e-3, SHAPE)  # tissue of one value would pass for a clipped image
    write(tmp_path / "E1" / "pre.nii.gz", 300 * body + 5 + grain, MRI)
    write(tmp_path / "E1" / "post1.nii.gz", (300 + 300 * spot) * body + 5 + grain, MRI)
    answer("breast_mri_curriculum", lambda p: plant(p.get_parsed_content("network_def"), 1, 2.0),
           dataset_dir=str(tmp_path / "E1"), output_dir=str(tmp_path / "out"), channels=["pre", "post1"],
           matrix=[256, 128, 16], rows=128, align=False, map=kind)
    heat, affine, found = peak(tmp_path / "out" / "E1_heatmap.nii.gz")
    # A cell of C5 is 32 × 32 × 4 voxels of 1.1 × 1.5 × 5 mm; half of one either way.
    assert (np.abs(found - point) <= ((8, 8, 8) if kind == "evidence" else (18, 24, 10))).all()
    mirrored = np.rint(np.linalg.inv(affine) @ [-point[0], *point[1:], 1]).astype(int)[:3]
    assert heat[tuple(mirrored)] < 0.5 * heat.max()
    panels = drawn.panels(tmp_path / "out" / "E1_preview.png")
    plain, warm = panels[:2] if point[0] > 0 else panels[2:]  # the right breast is on the left
    apart = np.abs(middle(red(warm)) - middle(grey(plain)))
    assert (apart <= (0.06 if kind == "evidence" else 0.15)).all()


@pytest.mark.parametrize("kind", ["evidence", "grad_cam", "picked"])
@pytest.mark.parametrize("turned", [False, True], ids=["axial file", "axes reversed"])
def test_doubly_deep_answer(kind, turned, tmp_path, drawn) -> None:
    """What enhances is found in the map of the one answer that sees it, wherever the file has its voxels."""
    point, answered = (-60.0, 40.0, -10.0), "left malignant"
    body, spot, affine = two_breasts(), blob(SHAPE, MRI, point, 14.0), MRI
    grain = np.random.default_rng(0).uniform(0, 1e-3, SHAPE)
    phases = {"pre": 300 * body + 5 + grain, "post2": (300 + 300 * spot) * body + 5 + grain}
    if turned:
        step = np.array([[0, 0, -1, SHAPE[0] - 1], [0, -1, 0, SHAPE[1] - 1], [1, 0, 0, 0], [0, 0, 0, 1.0]])
        phases = {name: array[::-1, ::-1].transpose(2, 1, 0) for name, array in phases.items()}
        affine = MRI @ step
    for name, array in phases.items():
        write(tmp_path / "E1" / f"{name}.nii.gz", array, affine)
    answer("breast_mri_doubly_deep", lambda p: plant_answer(p.get_parsed_content("network_def"), answered, 2.0),
           dataset_dir=str(tmp_path / "E1"), output_dir=str(tmp_path / "out"), trunk=[2, 2, 2], blocks=[1, 1, 1],
           depth_channels=2, map=kind)
    heat, _, found = peak(tmp_path / "out" / "E1_left_malignant.nii.gz")
    # The evidence is of the voxels that the maximum picked, within the place; a cell is 16 × 16 voxels of 3 mm.
    assert (np.abs(found - point) <= ((14, 14, 5) if kind == "evidence" else (24, 24, 5))).all()
    assert (heat > 0.5 * heat.max()).mean() < 0.05 and heat.shape == phases["pre"].shape
    told = json.loads((tmp_path / "out" / "E1_result.json").read_text())
    assert told["probability"] == told["probabilities"]["L"]["malignant"] == pytest.approx(heat.max(), abs=1e-3)
    assert told["probabilities"]["R"] == {"benign": 0.5, "malignant": 0.5}
    assert nib.load(tmp_path / "out" / "E1_right_malignant.nii.gz").get_fdata().max() == 0
    panels = drawn.panels(tmp_path / "out" / "E1_preview.png")  # right benign, right malignant, left benign, this one
    apart = np.abs(middle(red(panels[7])) - middle(grey(panels[3])))
    assert (apart <= (0.1 if kind == "evidence" else 0.2)).all()
    np.testing.assert_allclose(middle(grey(panels[3])), [(110 - 40) / 3 / 64, (142.5 + 60) / 3 / 96], atol=0.05)


@pytest.mark.parametrize("turned", [False, True], ids=["axial file", "axes reversed"])
def test_transfer_answer(turned, tmp_path, drawn) -> None:
    """A bright place beside the marked centre, anterior of it and to the left: in the picture as in the exam."""
    center, point = (60.0, 30.0, 5.0), (52.0, 39.0, 5.0)
    affine = np.diag([1.0, 1, 5, 1])
    affine[:3, 3] = [0, -20, -40]
    shape = (128, 96, 16)
    array = 100 + 800.0 * blob(shape, affine, point, 5.0)
    array[:, :4] = 1
    if turned:
        step = np.array([[0, 0, -1, shape[0] - 1], [0, -1, 0, shape[1] - 1], [1, 0, 0, 0], [0, 0, 0, 1.0]])
        array, affine = array[::-1, ::-1].transpose(2, 1, 0), affine @ step
    write(tmp_path / "E1" / "pre.nii.gz", array, affine)
    (tmp_path / "lesions.csv").write_text("x_mm,y_mm,z_mm\n{},{},{}\n".format(*center))
    answer("breast_mri_transfer", lambda p: plant(p.get_parsed_content("network_def"), 0, 2.0),
           dataset_dir=str(tmp_path / "E1"), lesions=str(tmp_path / "lesions.csv"), output_dir=str(tmp_path / "out"),
           channels=["pre"], shared=None, iterations=[], extent=0.0, patch_size=48, top=6.0)
    heat, _, found = peak(tmp_path / "out" / "E1_heatmap.nii.gz")
    assert np.linalg.norm(found - point) < 5  # a cell is 32 of 224 pixels of 48 mm: 7 mm
    assert (heat > 0.5 * heat.max()).mean() < 0.02
    plain, warm = drawn.panels(tmp_path / "out" / "E1_preview.png")
    where = middle(grey(plain))
    # 48 mm a side: 9 mm towards anterior is up, 8 mm towards the patient's left is right.
    np.testing.assert_allclose(where, [0.5 - 9 / 48, 0.5 + 8 / 48], atol=0.05)
    np.testing.assert_allclose(middle(red(warm)), where, atol=0.08)


def test_ultrasound_answer(tmp_path, drawn) -> None:
    affine = np.diag([-0.8, -0.4, 1.6, 1.0])
    affine[:3, 3] = [40, 20, -20]
    shape, point = (96, 96, 24), (-12.0, 2.0, 2.0)
    write(tmp_path / "V1.nii.gz", 10 + 200.0 * blob(shape, affine, point, 7.0), affine)
    answer("breast_ultrasound_center_point", lambda p: plant(p.get_parsed_content("network_def"), 0, 30.0),
           dataset_dir=str(tmp_path / "V1.nii.gz"), output_dir=str(tmp_path / "out"), shape=[16, 48, 32],
           step=[4, 16, 12], widths=[2, 2, 2, 2], stem_stride="$(1, 2, 2)", max_pool=False)
    _, _, found = peak(tmp_path / "out" / "V1_heatmap.nii.gz")
    assert (np.abs(found - point) <= (9.6, 6.4, 6.4)).all()  # a step
    result = json.loads((tmp_path / "out" / "V1_result.json").read_text())
    assert np.linalg.norm(np.subtract(result["candidates"][0]["center_mm"], point)) < 10
    plain, slab, windows = drawn.panels(tmp_path / "out" / "V1_preview.png")
    where = middle(grey(plain))
    for panel in (slab, windows):  # the colours of jet end in red; the input's own brightness is taken off
        np.testing.assert_allclose(middle(red(panel)), where, atol=0.1)
    np.testing.assert_allclose(where[::-1], (np.linalg.inv(affine) @ [*point, 1])[:2] / shape[:2], atol=0.04)


@pytest.mark.parametrize("side", ["L", "R"])
def test_mammography_answer(side, tmp_path, drawn) -> None:
    """The saliency's centre and the region lie on the bright place, in pixels of the file and in the picture."""
    rows, columns = np.indices((512, 400))
    breast = ((rows - 256) / 230) ** 2 + (columns / 330) ** 2 < 1
    place = (180, 150)
    spot = np.hypot(rows - place[0], columns - place[1]) < 30
    pixels = (breast * 9000 + (breast & spot) * 40000).astype(np.uint16)
    if side == "R":  # the chest wall is at the file's right
        pixels, place = pixels[:, ::-1], (place[0], 399 - place[1])
    (tmp_path / "E1").mkdir()
    Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "E1" / f"{side}-CC.png")

    def both(parser: ConfigParser) -> None:
        for name in ("network_def", "attention_def"):
            plant(parser.get_parsed_content(name), 0, 2.0, above=1.5)

    answer("mammography_attention", both, dataset_dir=str(tmp_path / "E1"), output_dir=str(tmp_path / "out"), layers=18,
           widen=0.25, width=200, size=256, region=120)
    result = json.loads((tmp_path / "out" / "E1_result.json").read_text())["images"][f"{side}-CC"]
    np.testing.assert_allclose(result["center"], place, atol=30)  # on the place, whose radius it is
    top, left, size = result["region"]
    assert top < place[0] < top + size and left < place[1] < left + size
    whole, region = drawn.panels(tmp_path / "out" / "E1_preview.png")
    green = ndimage.gaussian_filter(whole[..., 1] - whole[..., 2], 1.5)
    expected = (np.asarray(place) + 0.5) / pixels.shape
    np.testing.assert_allclose(middle(np.abs(green)), expected, atol=0.08)
    np.testing.assert_allclose(middle(grey(region)), (np.asarray(place) - (top, left)) / size, atol=0.15)
    heat, _, _ = peak(tmp_path / "out" / "E1_heatmap.nii.gz")  # of columns and rows
    assert heat.shape == (400, 512, 1)
    np.testing.assert_allclose(hottest(heat)[1::-1], place, atol=30)
