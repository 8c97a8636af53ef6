"""The comparator's networks give their authors' numbers: on weights and inputs that a rule fills.

Numbers are of the authors' own code (nyukat/breast_cancer_classifier 6176ebe; the patch classifier on torchvision
0.2.2). Weights are a hash of tensors' names and places, so that an exchanged layer, an ignored statistic or another
padding shows: such faults move a probability by 0.0003 and more.
"""

from __future__ import annotations

import hashlib
from zlib import crc32

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.networks.four_view import VIEWS, FourViewNetwork
from pipeline.networks.patch_densenet import CLASSES, FoldedDenseNet, PatchDenseNet

# SHA-256 of the tensors' sorted names and shapes in the public files, without counters and aliases.
FOUR_VIEW_NAMES = "3af19aef434b80db556ad1fd7670debe7c19c9f16505c04227029682fe593a1c"
PATCH_NAMES = "e57d857bf93980f5e1178945a11fa567ddb1b3ae30c150bac3536b5580b6c6fd"

# By channels: probabilities of the CC and of the MLO pair, means of their hidden values, and of each view the mean of
# the stem, mean and largest value of the last map, and its entries (channel, row, column, value).
FOUR_VIEW = {
    1: {"cc": (0.4286259, 0.5041953, 0.4827633, 0.4145301), "mlo": (0.5305945, 0.4614938, 0.4962111, 0.5039616),
        "hidden": (0.1034018, 0.07961328), "views": {
            "L-CC": (0.09001313, 0.1862936, 2.026607, (100, 4, 3, 0.3974242), (255, 7, 5, 0.137489)),
            "R-CC": (0.09056841, 0.1835876, 2.002138, (100, 4, 3, 0.8279935), (2, 7, 5, 0.4382777)),
            "L-MLO": (0.0805986, 0.1328491, 1.276818, (100, 4, 3, 0.115601), (255, 8, 5, 0.3701194)),
            "R-MLO": (0.08243921, 0.1324258, 1.218242, (100, 4, 3, 0.05309704), (255, 8, 5, 0.392821))}},
    3: {"cc": (0.4381628, 0.4796738, 0.4758232, 0.4328789), "mlo": (0.5269389, 0.462717, 0.5029306, 0.5071611),
        "hidden": (0.08255219, 0.0798961), "views": {
            "L-CC": (0.0972536, 0.1468575, 1.441276, (100, 4, 3, 0.1556535), (1, 7, 5, 0.259696)),
            "R-CC": (0.09656048, 0.1467913, 1.524091, (100, 4, 3, 0.2892434), (255, 7, 5, 0.05074218)),
            "L-MLO": (0.08070336, 0.136717, 1.311169, (100, 4, 3, 0.1333216), (255, 8, 5, 0.3534723)),
            "R-MLO": (0.07955897, 0.1365272, 1.258949, (100, 4, 3, 0.1555444), (255, 8, 5, 0.3712166))}},
}
PATCHES = {  # of both: softmax in the order malignant, benign, outside, negative; entries before the last ReLU
    "softmax": [(0.0047081, 0.000633, 0.9149287, 0.0797302), (0.0228325, 0.0040482, 0.7936913, 0.1794279)],
    "after_denseblock1": (0.06897458, 0.0573506),
    (0, 0, 0): (1.173009, 2.099807), (500, 4, 3): (-8.599822, -7.060095), (1023, 7, 7): (-7.376264, -3.104229),
}


def names(network: nn.Module) -> str:
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()
              if not name.endswith("num_batches_tracked")}
    return hashlib.sha256("\n".join(f"{name} {shape}" for name, shape in sorted(shapes.items())).encode()).hexdigest()


def filled(network: nn.Module, gain: float) -> nn.Module:
    """Weights by the rule: a 32-bit hash of each place, begun with the name's CRC; `gain` is of convolutions."""
    state = network.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        hashed = (np.arange(1, tensor.numel() + 1, dtype=np.uint64) * 2654435761 + crc32(name.encode())) % 2**32
        for shift, factor in ((16, 2246822519), (13, 3266489917), (16, 1)):
            hashed = (hashed ^ (hashed >> np.uint64(shift))) * np.uint64(factor) % 2**32
        s = hashed / 2**31 - 1
        if tensor.ndim > 1:
            values = s * np.sqrt((gain if tensor.ndim == 4 else 2) / tensor[0].numel())
        elif name.endswith("running_mean"):
            values = 0.2 * s
        elif name.endswith("running_var"):
            values = 1 + 0.5 * s
        elif name.endswith("weight"):
            values = np.where(s < -0.8, -1, 1) + 0.3 * s
        else:
            values = (0.1 if "fc" in name or "classifier" in name else 0.2) * s
        state[name] = torch.from_numpy(values.astype(np.float32)).reshape(tensor.shape)
    network.load_state_dict(state)
    return network.eval()


def view(name: str, channels: int) -> torch.Tensor:
    """A picture by the rule, `(1, C, rows, columns)`."""
    rows, columns = (510, 386) if name.endswith("-CC") else (574, 354)
    r, q = np.mgrid[:rows, :columns]
    number = ("L-CC", "R-CC", "L-MLO", "R-MLO").index(name)
    parts = [np.sin(0.02 * r + 0.03 * q + 0.0001 * r * q + number + 2 * c) for c in range(channels)]
    return torch.from_numpy(np.stack(parts)[None].astype(np.float32))


def test_tensor_names_are_those_of_the_public_files() -> None:
    assert names(FourViewNetwork(1)) == FOUR_VIEW_NAMES and names(PatchDenseNet()) == PATCH_NAMES
    assert sum(not name.endswith("num_batches_tracked") for name in PatchDenseNet().state_dict()) == 606


@pytest.mark.parametrize("channels", [1, 3])
@torch.no_grad()
def test_four_view_network(channels) -> None:
    network, known = filled(FourViewNetwork(channels), 2), FOUR_VIEW[channels]
    views = {name: view(name, channels) for name in VIEWS}
    for name, (stem, mean, largest, *entries) in known["views"].items():
        trunk = network.four_view_resnet[name[2:].lower()]
        last = trunk(views[name])[0]
        assert float(trunk.first_pool(trunk.first_conv(views[name])).mean()) == pytest.approx(stem, rel=1e-4)
        assert (float(last.mean()), float(last.max())) == pytest.approx((mean, largest), abs=1e-4)
        for *at, value in entries:
            assert float(last[tuple(at)]) == pytest.approx(value, abs=1e-4)
    pairs = network.hidden(views)
    for pair, hidden, head, mean in zip(("cc", "mlo"), pairs, (network.output_layer_cc, network.output_layer_mlo),
                                        known["hidden"], strict=True):
        assert float(hidden.mean()) == pytest.approx(mean, rel=1e-4)
        assert head(hidden).softmax(dim=2)[0, :, 1].tolist() == pytest.approx(known[pair], abs=2e-6)
    both = [(a + b) / 2 for a, b in zip(known["cc"], known["mlo"], strict=True)]
    assert network(views)[0].tolist() == pytest.approx(both, abs=2e-6)


@torch.no_grad()
def test_patch_classifier() -> None:
    network = filled(PatchDenseNet(), 6)
    r, q = np.mgrid[:256, :256]
    patches = np.stack([np.sin(0.05 * r + 0.031 * q + 0.0004 * r * q + p) for p in (0, 1)])
    patches[1][r + q >= 256] = -0.5
    given = torch.from_numpy(patches.astype(np.float32))[:, None]
    seen: dict[str, torch.Tensor] = {}
    for name in ("denseblock1", "norm5"):
        part = network.features.get_submodule(name)
        part.register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, out.clone()))
    assert CLASSES == ("malignant", "benign", "outside", "negative")
    for found, within in ((network(given).softmax(dim=1), 2e-6), (FoldedDenseNet(network)(given), 5e-6)):
        for row, expected in zip(found.tolist(), PATCHES["softmax"], strict=True):
            assert row == pytest.approx(expected, abs=within)
    assert seen["denseblock1"].mean(dim=(1, 2, 3)).tolist() == pytest.approx(PATCHES["after_denseblock1"], rel=1e-4)
    for at in ((0, 0, 0), (500, 4, 3), (1023, 7, 7)):
        assert seen["norm5"][:, at[0], at[1], at[2]].tolist() == pytest.approx(PATCHES[at], rel=1e-4)
