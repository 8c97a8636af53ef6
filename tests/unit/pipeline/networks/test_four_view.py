"""The four-view network against a plain forward pass over the public tensor names, and how checkpoints are refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import InputError
from pipeline.networks.four_view import VIEWS, AdaptedFourView, FourViewNetwork, ResNet22, load_four_view

TRUNKS = {"L-CC": "l_cc", "R-CC": "r_cc", "L-MLO": "l_mlo", "R-MLO": "r_mlo"}


def public_checkpoint(channels: int) -> dict[str, torch.Tensor]:
    """Random weights under every name of the public files, written down from their description alone."""
    random = torch.Generator().manual_seed(channels)
    state: dict[str, torch.Tensor] = {}

    def conv(name: str, *shape: int) -> None:
        state[f"{name}.weight"] = torch.randn(shape, generator=random) / (shape[1] * shape[2] * shape[3]) ** 0.5

    def norm(name: str, width: int) -> None:
        for part in ("weight", "running_var"):
            state[f"{name}.{part}"] = torch.rand(width, generator=random) + 0.5
        for part in ("bias", "running_mean"):
            state[f"{name}.{part}"] = torch.randn(width, generator=random) / 4

    for pair in ("cc", "mlo"):
        trunk = f"four_view_resnet.{pair}"
        conv(f"{trunk}.first_conv", 16, channels, 7, 7)
        before = 16
        for stage, width in enumerate((16, 32, 64, 128, 256)):
            for block, inputs in enumerate((before, width)):
                name = f"{trunk}.layer_list.{stage}.{block}"
                norm(f"{name}.bn1", inputs)
                conv(f"{name}.conv1", width, inputs, 3, 3)
                norm(f"{name}.bn2", width)
                conv(f"{name}.conv2", width, width, 3, 3)
                if block == 0:
                    conv(f"{name}.downsample.0", width, inputs, 1, 1)
            before = width
        norm(f"{trunk}.final_bn", 256)
        for name, outputs in ((f"fc1_{pair}", 512), (f"output_layer_{pair}.fc_layer", 8)):
            state[f"{name}.weight"] = torch.randn(outputs, 512, generator=random) / 512**0.5
            state[f"{name}.bias"] = torch.randn(outputs, generator=random)
        for alias in (f"l_{pair}", f"r_{pair}"):
            state |= {name.replace(trunk, f"four_view_resnet.{alias}"): tensor for name, tensor in state.items()
                      if name.startswith(f"{trunk}.")}
    return state


def reference(state: dict[str, torch.Tensor], exam: dict[str, torch.Tensor]) -> torch.Tensor:
    """Wu et al. 2019 in evaluation mode."""

    def norm_relu(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.relu(F.batch_norm(x, *(state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight",
                                                                             "bias"))))

    def trunk(x: torch.Tensor, name: str) -> torch.Tensor:
        x = F.max_pool2d(F.conv2d(x, state[f"{name}.first_conv.weight"], stride=2), 3, 2)
        for stage, block in ((s, b) for s in range(5) for b in range(2)):
            at = f"{name}.layer_list.{stage}.{block}"
            stride = 2 if stage > 0 and block == 0 else 1
            y = norm_relu(x, f"{at}.bn1")
            if block == 0:
                x = F.conv2d(y, state[f"{at}.downsample.0.weight"], stride=stride)
            y = norm_relu(F.conv2d(y, state[f"{at}.conv1.weight"], stride=stride, padding=1), f"{at}.bn2")
            x = x + F.conv2d(y, state[f"{at}.conv2.weight"], padding=1)
        return norm_relu(x, f"{name}.final_bn").mean(dim=(2, 3))

    probabilities = []
    for pair in ("CC", "MLO"):
        x = torch.cat([trunk(exam[v], f"four_view_resnet.{TRUNKS[v]}") for v in (f"L-{pair}", f"R-{pair}")], dim=1)
        for layer in (f"fc1_{pair.lower()}", f"output_layer_{pair.lower()}.fc_layer"):
            x = F.linear(F.relu(x), state[f"{layer}.weight"], state[f"{layer}.bias"])
        probabilities.append(x.view(-1, 4, 2).softmax(dim=2)[:, :, 1])
    return (probabilities[0] + probabilities[1]) / 2


def exam(channels: int) -> dict[str, torch.Tensor]:
    sizes = dict(zip(VIEWS, ((200, 150), (200, 150), (230, 140), (230, 140)), strict=True))
    return {view: torch.randn(2, channels, *size) for view, size in sizes.items()}


@pytest.mark.parametrize("channels, trunk, whole", [(1, 2_799_536, 6_132_592), (3, 2_801_104, 6_135_728)])
def test_parameters_are_the_papers(channels, trunk, whole) -> None:
    assert sum(p.numel() for p in ResNet22(channels).parameters()) == trunk
    assert sum(p.numel() for p in FourViewNetwork(channels).parameters()) == whole


@pytest.mark.parametrize("size, cells", [((2677, 1942), (42, 31)), ((2974, 1748), (47, 28))])
def test_last_maps(size, cells) -> None:
    with torch.device("meta"):  # shapes without arithmetic
        assert ResNet22()(torch.empty(1, 1, *size)).shape == (1, 256, *cells)


@pytest.mark.parametrize("channels", [1, 3])
def test_public_checkpoint_loads_to_the_last_tensor(channels, tmp_path) -> None:
    state, images = public_checkpoint(channels), exam(channels)
    torch.save({"model": state}, tmp_path / "public.p")
    network = load_four_view(FourViewNetwork(channels), tmp_path / "public.p").eval()
    loaded = {n: t for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    assert loaded.keys() <= state.keys() and all(torch.equal(tensor, state[name]) for name, tensor in loaded.items())
    with torch.no_grad():
        expected = reference(state, images)
        torch.testing.assert_close(network(images), expected, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(network(list(images.values())), expected, rtol=1e-3, atol=1e-4)


def test_a_trunk_under_one_alias_is_enough(tmp_path) -> None:
    state = public_checkpoint(1)
    short = {name: tensor for name, tensor in state.items() if name.split(".")[1] not in ("cc", "r_cc", "mlo", "l_mlo")}
    torch.save(short, tmp_path / "short.p")
    loaded = load_four_view(FourViewNetwork(), tmp_path / "short.p").state_dict()
    assert torch.equal(loaded["four_view_resnet.cc.first_conv.weight"], state["four_view_resnet.cc.first_conv.weight"])


@pytest.mark.parametrize("change, words", [
    (lambda s: [s.pop(n) for n in list(s) if "_resnet" in n and n.endswith("cc.final_bn.bias")],
     r"four_view_resnet.cc.final_bn.bias is absent, expected \(256,\)"),
    (lambda s: s.update({"fc2_cc.bias": torch.zeros(3)}), r"fc2_cc.bias is \(3,\), expected absent"),
    (lambda s: s.update({"fc1_mlo.weight": torch.zeros(512, 256)}), r"fc1_mlo.weight is \(512, 256\), expected"),
    (lambda s: s.update({"four_view_resnet.r_mlo.final_bn.weight": torch.zeros(256)}),
     "r_mlo.final_bn.weight differs from the same trunk's"),
])
def test_other_checkpoints_are_refused_whole(change, words, tmp_path) -> None:
    state, network = public_checkpoint(1), FourViewNetwork()
    change(state)
    torch.save(state, tmp_path / "other.p")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(InputError, match=words) as error:
        load_four_view(network, tmp_path / "other.p")
    assert "\n" not in str(error.value) and str(tmp_path) not in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_files_that_cannot_be_read(tmp_path) -> None:
    with pytest.raises(InputError, match=r"absent.p: no such checkpoint"):
        load_four_view(FourViewNetwork(), tmp_path / "absent.p")
    (tmp_path / "text.p").write_text("not a checkpoint")
    torch.save([1, 2], tmp_path / "list.p")
    for name in ("text.p", "list.p"):
        with pytest.raises(InputError, match=f"{name}: damaged"):
            load_four_view(FourViewNetwork(), tmp_path / name)


def test_exam_without_a_view() -> None:
    images = exam(1)
    images.pop("R-MLO")
    with pytest.raises(InputError, match="no view R-MLO"):
        FourViewNetwork()(images)
    with pytest.raises(InputError, match="3 views"):
        FourViewNetwork()(list(images.values()))


def test_adapting_trains_the_head_alone() -> None:
    adapted, images = AdaptedFourView(FourViewNetwork()).train(), exam(1)
    before = {name: tensor.clone() for name, tensor in adapted.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], 0.1)
    logits = adapted(images)
    F.cross_entropy(logits, torch.tensor([0, 1])).backward()
    optimizer.step()
    changed = {name for name, tensor in adapted.state_dict().items() if not torch.equal(tensor, before[name])}
    assert logits.shape == (2, 2) and changed == {"head.weight", "head.bias"}
