"""The doubly deep network: the paper's layers, and a lean step that is the plain one's to the last digits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from monai.engines import SupervisedTrainer
from torch import nn

from pipeline.errors import InputError
from pipeline.networks.doubly_deep import ANSWERS, DoublyDeepNet, FourAnswersLoss, ResidualBlock, probabilities
from pipeline.networks.shortcut import StridedShortcut

SMALL = {"widths": (4, 6, 8), "blocks": (2, 1, 1), "features": 6}  # cells of 16 pixels
LABELS = torch.tensor([[0, 1, 1, 0]])


def stepped(seed: int = 0, dtype: torch.dtype = torch.float64, **settings) -> DoublyDeepNet:
    """A small network whose weights are all at work, as after some steps: none is zero."""
    torch.manual_seed(seed)
    network = DoublyDeepNet(**{**SMALL, **settings})
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.1)
    return network.to(dtype)


def exam(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def plain(network: DoublyDeepNet, image: torch.Tensor) -> torch.Tensor:
    """Figure 1 as one writes it first, in functions: all slices as one batch, everything kept."""
    state = dict(network.named_parameters())

    def conv(x: torch.Tensor, name: str, stride: int = 1, padding: int = 0) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        run = F.conv2d if weight.ndim == 4 else F.conv3d
        return run(x, weight, state.get(f"{name}.bias"), stride, padding)

    def block(x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        y = conv(F.relu(conv(x, f"{name}.conv1", stride, 1)), f"{name}.conv2", 1, 1)
        return F.relu(y + (conv(x, f"{name}.shortcut", stride) if f"{name}.shortcut.weight" in state else x))

    x = image[0, 0].permute(2, 1, 0)[:, None].contiguous()  # (Z, 1, Y, X)
    x = F.max_pool2d(F.relu(conv(x, "trunk.0.0", 2, 2)), 3, 2, 1)
    for stage, blocks in enumerate(network.trunk[1:], 1):
        for i in range(len(blocks)):
            x = block(x, f"trunk.{stage}.{i}", 2 if stage > 1 and i == 0 else 1)
    x = block(conv(x, "collapse").permute(1, 0, 2, 3)[None], "block", 1)
    return F.linear(F.adaptive_max_pool3d(x, 1).flatten(1), state["heads.weight"], state["heads.bias"])


def gradients(network: nn.Module, logits: torch.Tensor) -> torch.Tensor:
    """All weights' gradients of the loss, in one row."""
    network.zero_grad()
    FourAnswersLoss()(logits, LABELS).backward()
    return torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten()
                      for p in network.parameters()])


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Relative norm of the difference."""
    return float((one.double() - other.double()).norm() / other.double().norm())


def parameters(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


# --- the paper's network ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full() -> DoublyDeepNet:
    torch.manual_seed(0)
    return DoublyDeepNet()


def test_parameters_are_the_papers(full) -> None:
    network = full
    assert parameters(network) == 11_611_785 and network.strides == (32, 32, 1)
    assert parameters(network.trunk, network.collapse) == 11_164_417
    assert parameters(network.block, network.heads) == 447_368
    bare = DoublyDeepNet(bias=False)
    assert parameters(bare) == 11_606_601
    assert [name for name, _ in bare.named_parameters() if name.endswith("bias")] == ["collapse.bias", "heads.bias"]


def test_a_slice_of_448_becomes_14_cells_a_side(full) -> None:
    with torch.no_grad():
        maps = full.maps(torch.zeros(1, 1, 448, 416, 1))
        assert maps.shape == (1, 1, 1, 13, 14) and full.volume(maps).shape == (1, 128, 1, 13, 14)
        assert full.answers(maps).shape == (1, 8)


@pytest.mark.parametrize("bias", [True, False])
def test_logits_are_the_plain_network_s(bias) -> None:
    network, image = stepped(bias=bias), exam(48, 70, 9)
    with torch.no_grad():
        torch.testing.assert_close(network(image), plain(network, image), rtol=1e-12, atol=1e-12)
        stored = image.permute(0, 1, 4, 3, 2).contiguous().permute(0, 1, 4, 3, 2)  # slices first in memory
        assert torch.equal(network(image), network(stored))


def test_the_order_of_slices_matters_to_the_3d_part_alone() -> None:
    network, image = stepped(), exam(48, 48, 7)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    with torch.no_grad():
        torch.testing.assert_close(network.maps(image[..., order]), network.maps(image)[:, :, order])
        assert (network(image[..., order]) - network(image)).abs().max() > 1e-3
        assert not torch.allclose(network.volume(network.maps(image[..., order])).amax(dim=(2, 3, 4)),
                                  network.volume(network.maps(image)).amax(dim=(2, 3, 4)))


def test_a_cell_is_centred_on_its_multiple_of_the_stride() -> None:
    seen = torch.zeros(96, 80, 5, dtype=torch.float64)
    for seed in range(4):
        image = exam(*seen.shape, seed=seed).requires_grad_()
        stepped(seed).maps(image)[0, 0, 1, 2, 3].backward()
        seen += image.grad[0, 0] ** 2
    assert (seen[..., [0, 2, 3, 4]] == 0).all() and seen[..., 1].any()
    plane = seen[..., 1] / seen.sum()
    assert float((plane.sum(1) * torch.arange(96)).sum()) == pytest.approx(48, abs=2)
    assert float((plane.sum(0) * torch.arange(80)).sum()) == pytest.approx(32, abs=2)


def test_an_exam_of_one_slice() -> None:
    network, image = stepped(), exam(32, 32, 1)
    torch.testing.assert_close(network(image), plain(network, image))
    assert network(image).shape == (1, 8)


@pytest.mark.parametrize(("shape", "words"), [
    ((1, 1, 15, 64, 4), "slices of 15×64 pixels are too small for this network; at least 16×16 are needed"),
    ((2, 1, 32, 32, 4), r"an image of \(2, 1, 32, 32, 4\): exams go one at a time, with one channel"),
    ((1, 3, 32, 32, 4), "with one channel, as"), ((1, 1, 32, 32, 0), "exams go one at a time"), ((1, 32, 32), "exams"),
])
def test_other_images_are_refused_in_one_line(shape, words) -> None:
    with pytest.raises(InputError, match=words) as error:
        DoublyDeepNet(**SMALL)(torch.zeros(shape))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("settings", "words"), [
    ({"widths": (4, 8)}, "a width and a number of blocks a stage"), ({"features": 0}, "all at least 1"),
    ({"recompute": 5}, "recompute is 5; use 0 to 4: the stem and 3 stages"), ({"micro_batch": 0}, "micro_batch is 0"),
])
def test_settings_that_do_not_fit(settings, words) -> None:
    with pytest.raises(InputError, match=words):
        DoublyDeepNet(**{**SMALL, **settings})


# --- initialisation ---------------------------------------------------------------------------------------------------


def test_an_untrained_network_knows_nothing_and_hears_everything(full) -> None:
    """Chance at any scale of the exam; what reaches the heads is in bounds, and not the same for all exams."""
    network = full
    air = exam(96, 64, 4, dtype=torch.float32).abs()
    lesion = air.clone()
    lesion[:, :, 30:60, 20:40, 1:3] += 2
    with torch.no_grad():
        for scale in (0.01, 1.0, 100.0):
            logits = network(scale * air)
            assert logits.abs().max() <= 1
            assert float(FourAnswersLoss()(logits, LABELS)) == pytest.approx(4 * math.log(2))
        one, other = (network.volume(network.maps(image)).amax(dim=(2, 3, 4)) for image in (air, lesion))
        assert 0.05 < float(one.square().mean().sqrt()) < 5
        assert apart(other, one) > 0.05  # PyTorch's default: 0.002


def test_every_weight_moves_within_three_steps() -> None:
    network = DoublyDeepNet(**SMALL)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        FourAnswersLoss()(network(exam(64, 64, 4, dtype=torch.float32)), LABELS).backward()
        optimizer.step()
    assert not [name for name, p in network.named_parameters() if torch.equal(p, before[name])]


def test_the_same_seed_is_the_same_network() -> None:
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(DoublyDeepNet(**SMALL).state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert not torch.equal(states[0]["collapse.weight"], states[2]["collapse.weight"])


# --- the step ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recompute", range(5))
@pytest.mark.parametrize("micro_batch", [1, 3, 50])
def test_the_step_is_the_plain_one_however_it_is_cut(recompute, micro_batch) -> None:
    network, image = stepped(recompute=recompute, micro_batch=micro_batch), exam(48, 64, 8)
    ours = gradients(network, network(image))
    assert apart(ours, gradients(network, plain(network, image))) < 1e-10


class Passes:
    """Counts the slices that go through a layer of the 2D part, and those whose gradients come back through it."""

    def __init__(self, layer: nn.Module) -> None:
        self.forwards, self.backwards = 0, 0
        layer.register_forward_hook(self._look)

    def _look(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        self.forwards += len(output)
        output.register_hook(self._back)

    def _back(self, slope: torch.Tensor | None) -> None:  # None: autograd walks on, and nothing is computed
        self.backwards += 0 if slope is None else len(slope)


@pytest.mark.parametrize("recompute", [0, 2, 4])
def test_slices_that_no_maximum_sees_are_left_out_exactly(recompute) -> None:
    """One slice is far brighter than the others: the maxima lie in it and beside it."""
    network, image = stepped(recompute=recompute), exam(48, 48, 16)
    image[..., 6] *= 30
    expected = gradients(network, plain(network, image))
    passes = Passes(network.collapse)
    assert apart(gradients(network, network(image)), expected) < 1e-10
    assert passes.forwards == 16 and 1 <= passes.backwards <= 7  # two slices beside those that are picked
    image.requires_grad_()
    network(image)[0, 1].backward()
    ours, image.grad = image.grad, None
    plain(network, image)[0, 1].backward()
    assert apart(ours, image.grad) < 1e-10


def test_nothing_is_left_out_where_gradients_are_not_finite() -> None:
    network, image = stepped(dtype=torch.float32), exam(48, 48, 4, dtype=torch.float32)
    (network(image).sum() * torch.tensor(float("nan"))).backward()
    assert all(not torch.isfinite(p.grad).all() for p in network.parameters())


def test_in_float32_it_is_as_near_to_float64_as_the_plain_one() -> None:
    """Rectifiers and maxima jump at ties, so that neither is near to the last digit."""
    ours, theirs = [], []
    for seed in range(4):
        network, image = stepped(seed), exam(64, 80, 6, seed=seed)
        exact = gradients(network, plain(network, image))
        network, image = network.float(), image.float()
        ours.append(apart(gradients(network, network(image)), exact))
        theirs.append(apart(gradients(network, plain(network, image)), exact))
    assert max(ours) <= 10 * max(theirs) and max(ours) < 0.01, (ours, theirs)


def test_bfloat16_leaves_the_3d_part_in_float32() -> None:
    """oneDNN's bfloat16 gave gradients that are not a number for a stack of 2×14×14 cells."""
    network = DoublyDeepNet((4, 8), (1, 1), 128)
    nn.init.normal_(network.heads.weight, std=0.1)
    seen: dict[str, torch.dtype] = {}
    for name in ("trunk.2", "block"):
        network.get_submodule(name).register_forward_hook(
            lambda layer, inputs, output, name=name: seen.__setitem__(name, output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(exam(112, 112, 2, dtype=torch.float32))
    FourAnswersLoss()(logits, LABELS).backward()
    assert seen == {"trunk.2": torch.bfloat16, "block": torch.float32} and logits.dtype == torch.float32
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_it_trains_in_processes_that_share_gradients(tmp_path) -> None:
    """Also where no slice has a gradient: the processes wait for every weight's."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        network = stepped(dtype=torch.float32)
        shared = nn.parallel.DistributedDataParallel(network)
        image = exam(48, 48, 6, dtype=torch.float32)
        image[..., 2] *= 30
        alone = gradients(network, network(image))
        assert apart(gradients(network, shared(image)), alone) < 1e-6
        with torch.no_grad():
            network.block.conv2.bias.fill_(-1e6)  # nothing passes the last rectifier
        assert not gradients(network, shared(image))[: parameters(network.trunk)].any()
        gradients(network, shared(image))  # raises where the processes still waited
    finally:
        torch.distributed.destroy_process_group()


def test_torchscript_is_equal(tmp_path) -> None:
    network, image = stepped(dtype=torch.float32).eval(), exam(48, 64, 5, dtype=torch.float32)
    torch.jit.script(network).save(tmp_path / "model.ts")
    with torch.no_grad():
        assert torch.equal(torch.jit.load(tmp_path / "model.ts")(image), network(image))


def test_the_usual_trainer_teaches_it_one_batch_by_heart() -> None:
    torch.manual_seed(0)
    network = DoublyDeepNet(**SMALL)
    batch = {"image": exam(48, 48, 4, dtype=torch.float32), "label": LABELS}
    SupervisedTrainer("cpu", 80, [batch], network, torch.optim.Adam(network.parameters(), 3e-3), FourAnswersLoss(),
                      decollate=False).run()
    logits = network(batch["image"])
    assert FourAnswersLoss()(logits, LABELS).item() < 0.05
    assert (probabilities(logits) > 0.5).tolist() == [[False, True, True, False]]


# --- answers ----------------------------------------------------------------------------------------------------------


def test_probabilities_are_of_yes_in_the_order_of_the_answers() -> None:
    assert ANSWERS == ("left benign", "left malignant", "right benign", "right malignant")
    logits = torch.tensor([[0.0, 0.0, 0.0, math.log(3), math.log(4), 0.0, 5.0, 5.0]])
    torch.testing.assert_close(probabilities(logits), torch.tensor([[0.5, 0.75, 0.2, 0.5]]))


def test_the_loss_is_the_sum_of_what_is_known() -> None:
    """By hand: -ln of the probability of each label; where it is unknown neither loss nor gradient."""
    logits = torch.tensor([[0.0, 0.0, 0.0, math.log(3), math.log(4), 0.0, 5.0, 5.0]], requires_grad=True)
    loss = FourAnswersLoss()
    assert loss(logits, torch.tensor([[1, 1, 1, 0]])).item() == pytest.approx(-math.log(0.5 * 0.75 * 0.2 * 0.5))
    known = loss(logits, torch.tensor([[-1, 0, -1, -1]]))
    known.backward()
    assert known.item() == pytest.approx(-math.log(0.25))
    assert logits.grad.nonzero()[:, 1].tolist() == [2, 3]
    nothing = loss(logits, torch.full((1, 4), -1))
    nothing.backward()
    assert nothing.item() == 0 and torch.isfinite(logits.grad).all()


def test_blocks_project_where_shapes_change() -> None:
    kinds = [(4, 4, 1, nn.Identity), (4, 4, 2, StridedShortcut), (4, 8, 1, nn.Conv2d)]
    for inputs, outputs, stride, kind in kinds:
        block = ResidualBlock(nn.Conv2d, inputs, outputs, stride)
        assert type(block.shortcut) is kind
        assert block(torch.zeros(1, inputs, 8, 8)).shape == (1, outputs, 8 // stride, 8 // stride)
