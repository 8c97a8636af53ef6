"""Maps of whole volumes against a plain double loop, and the network's evidence against its logit and Grad-CAM."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet18
from monai.visualize import GradCAM

from pipeline.breast_ultrasound.volumes import spots
from pipeline.explain.grad_cam import slab_map
from pipeline.explain.windows import SlidingWindows
from pipeline.networks.center_point_resnet import CenterPointResNet
from transforms.grid import Grid


@pytest.fixture(scope="module")
def network() -> CenterPointResNet:
    torch.manual_seed(0)
    return CenterPointResNet((4, 4, 8, 8)).eval()


def test_the_papers_network() -> None:
    network = CenterPointResNet()
    assert sum(p.numel() for p in network.parameters()) == 33_161_409
    plain = resnet18(spatial_dims=3, n_input_channels=1, num_classes=1, conv1_t_stride=2, bias_downsample=True)
    plain.load_state_dict(network.state_dict())
    image = torch.rand(1, 1, 16, 64, 64)
    assert torch.equal(network.eval()(image), plain.eval()(image))
    with torch.no_grad():
        assert network.evidence(torch.rand(1, 1, 16, 160, 160)).shape == (1, 1, 1, 5, 5)


def test_evidence_averages_to_the_logit_and_is_grad_cam(network) -> None:
    network, image = copy.deepcopy(network), torch.rand(1, 1, 16, 96, 128)
    network.fc.weight.data.abs_()  # or all of the map may be negative, and cut off
    with torch.no_grad():
        evidence = network.evidence(image)
        assert torch.allclose(evidence.mean(), network(image)[0, 0], atol=1e-5)
    # MONAI scales its map to 0-1 and turns it around; ours is the plain one up to a positive factor and the bias.
    cam = GradCAM(nn_module=network, target_layers="layer4", upsampler=lambda x: lambda y: y,
                  postprocessing=lambda x: x)(image, class_idx=0)
    ours = (evidence - network.fc.bias).clamp(min=0).detach().numpy().ravel()
    theirs = torch.as_tensor(cam).detach().numpy().ravel()
    scale = theirs.max() / ours.max()
    np.testing.assert_allclose(theirs, ours * scale, rtol=1e-3, atol=1e-6 * theirs.max())


def test_a_map_is_the_networks_answer_for_each_crop(network) -> None:
    volume = torch.rand(1, 1, 20, 40, 50)
    with torch.no_grad():
        found = SlidingWindows((8, 32, 32), (4, 8, 8))(volume, network)["map"]
        padded = torch.nn.functional.pad(volume, (16, 16, 16, 16, 4, 4))
        for i, j, k in ((0, 0, 0), (2, 3, 1), (5, 4, 4)):
            x, y, z = (int(s + n * i) for s, n, i in zip(found.start + 0.5, found.step, (i, j, k), strict=True))
            crop = padded[:, :, z : z + 8, y : y + 32, x : x + 32]  # around voxel (z, y, x)
            assert found.heat[i, j, k] == pytest.approx(float(network(crop).sigmoid()), abs=1e-6)
    # Between the middles of windows the map is linear, on them it is exact.
    z = found.start[2] + found.step[2] * 1.5
    plane = found.plane((50, 40, 20), z)
    x, y = found.start[:2] + found.step[:2]  # half voxels: between two of the plane
    near = plane[int(y) : int(y) + 2, int(x) : int(x) + 2].mean()
    assert near == pytest.approx(found.heat[1, 1, 1:3].mean(), abs=2e-3)
    assert found.whole((50, 40, 20)).shape == (50, 40, 20)


def test_hot_spots_are_in_millimetres() -> None:
    class Bright(torch.nn.Module):
        """Says how bright a crop's middle is."""

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return 10 * image[:, :, image.shape[2] // 2, image.shape[3] // 2, image.shape[4] // 2] - 5

    volume = torch.zeros(1, 1, 21, 41, 61)
    volume[0, 0, 12, 20, 40] = 1.0
    grid = Grid((61, 41, 21), np.diag([-0.5, -0.1, 2.0, 1.0]))
    found = SlidingWindows((3, 3, 3), (4, 4, 4))(volume, Bright())
    hot = spots(found, grid)
    assert hot.points[0] == pytest.approx([-20.0, -2.0, 24.0], abs=1e-6)
    assert hot.scores[0] == pytest.approx(1 / (1 + np.exp(-5)), abs=1e-6)


def test_slab_map_lies_on_the_slice(network) -> None:
    volume = torch.rand(1, 20, 70, 90)
    found = slab_map(network, volume, 1)
    assert found.shape == (70, 90) and found.min() >= 0 and found.max() <= 1


def test_a_lesions_points_reach_the_report(tmp_path) -> None:
    """`points` scores what an evaluation wrote: both peaks 3 mm off their centres, none within 2 mm."""
    from pipeline.report.parts.points import points

    class Run:
        folder, variants, tested = tmp_path, ["full"], [5]

        def place(self, variant: str, fold: int):
            return tmp_path

    affine = np.eye(4).tolist()
    listed = [{"patient_id": f"P{i}", "spots": [[10.0 + i, 20, 30, 0.9], [40, 40, 40, 0.2]], "shape": [64, 64, 64],
               "affine": affine, "centers": [[10.0 + i, 23, 30]], "boxes": None} for i in range(2)]
    (tmp_path / "volumes.json").write_text(json.dumps(listed))
    found = points(Run(), 200, 0)  # type: ignore[arg-type]
    shares = {row["radius_mm"]: row["value"] for row in found["pointing"]}
    assert shares[5.0] == 1.0 and found["peak_mm"]["value"] == pytest.approx(3.0) and found["lesions"] == 2
