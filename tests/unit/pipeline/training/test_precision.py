"""Mixed precision on a CPU: proved, timed, and the same after an interruption."""

from __future__ import annotations

import copy
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import warm_start
from ignite.engine import Engine
from monai.bundle import ConfigParser
from torch import nn
from torch.utils.data import DataLoader

from pipeline.errors import InputError
from pipeline.networks.doubly_deep import DoublyDeepNet, FourAnswersLoss
from pipeline.training import precision
from pipeline.training.run_state import RunState

ROOT = Path(__file__).parents[4]
BUNDLES = ROOT / "bundles"
SCRIPT = "tests.helpers.script"


class Time(torch.autograd.Function):
    """Passes its input on, and takes so many seconds forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, forwards: float, backwards: float) -> torch.Tensor:
        ctx.seconds = backwards
        time.sleep(forwards)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        time.sleep(ctx.seconds)
        return gradient.clone(), None, None


class Layer(nn.Linear):
    """Takes time as a processor does that has no unit for one of the precisions."""

    def __init__(self, fp32: tuple[float, float], bf16: tuple[float, float]) -> None:
        super().__init__(8, 8)
        self.fp32, self.bf16 = fp32, bf16

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Time.apply(super().forward(x), *(self.bf16 if torch.is_autocast_enabled("cpu") else self.fp32))


def network(fp32: float = 0.0, bf16: float | tuple[float, float] = 0.0, depth: int = 1) -> nn.Module:
    """A network whose layers take so many seconds in each precision, in each direction."""
    torch.manual_seed(0)
    times = (fp32, fp32), (bf16 if isinstance(bf16, tuple) else (bf16, bf16))
    return nn.Sequential(*(Layer(*times) for _ in range(depth)), nn.Dropout(0.5), nn.Linear(8, 2))


@pytest.fixture(autouse=True)
def unit(monkeypatch) -> None:
    """Tests take time by themselves, whatever this processor offers."""
    monkeypatch.setattr(precision, "has_bf16", lambda: True)


@pytest.fixture
def batches() -> Iterator[DataLoader]:
    """Shuffled by the global random state, as a loader without a sampler of its own is."""
    images = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    cases = [{"image": image, "label": int(image[0] > 0)} for image in images]
    return DataLoader(cases, 8, shuffle=True)


@pytest.mark.parametrize(("fp32", "bf16", "chosen"), [(0.01, 0.05, "fp32"), (0.05, 0.01, "bf16")])
def test_auto_takes_the_faster_and_says_so_in_one_line(batches, capsys, fp32, bf16, chosen) -> None:
    placed = precision.place(network(fp32, bf16), "cpu", "auto", batches)
    said = capsys.readouterr().out.splitlines()
    assert placed.precision == chosen and len(said) == 1
    times = re.fullmatch(rf"precision: {chosen}, by the time of a training step: fp32 (\S+) s, bf16 (\S+) s", said[0])
    assert 2 * fp32 <= float(times[1]) < 2 * fp32 + 0.06 and 2 * bf16 <= float(times[2]) < 2 * bf16 + 0.06
    ran = []
    placed[-1].register_forward_hook(lambda layer, inputs, output: ran.append(output.dtype))
    assert placed(torch.randn(2, 8)).dtype == torch.float32
    assert ran == [torch.bfloat16 if chosen == "bf16" else torch.float32]


def test_a_little_faster_is_not_worth_it() -> None:
    """As patches on a processor with avx512_bf16, whose gradients exploded in bf16's second step."""
    little, much = precision.Trial(None, 0.055, 0.05), precision.Trial(None, 0.08, 0.05)
    assert not little.prefers_bf16 and much.prefers_bf16
    assert little.times().endswith("fp32 0.055 s, bf16 0.05 s, not 1.5 times faster")


def test_a_processor_without_bf16_is_not_tried(batches, monkeypatch, capsys) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda: False)
    start = time.monotonic()
    assert precision.place(network(bf16=10.0), "cpu", "auto", batches).precision == "fp32"
    assert time.monotonic() - start < 5
    assert capsys.readouterr().out == "precision: fp32, because this processor has no unit for bf16\n"


def test_an_avx2_processor_has_none() -> None:
    """oneDNN held to AVX2 stands for it; asked in a process of its own, because oneDNN reads it once."""
    code = "from pipeline.training.precision import has_bf16; print(has_bf16())"
    said = warm_start.run([SCRIPT, code], ROOT, {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"})
    assert said.stdout == "False\n", said.stderr


def test_the_first_step_is_not_timed(batches, monkeypatch) -> None:
    """bf16's kernels take 0.4 s to make; after that it is faster."""
    made = []

    def make(layer: nn.Module, inputs: Any) -> None:
        if torch.is_autocast_enabled("cpu") and not made:
            made.append(time.sleep(0.4))

    slow_start = network(0.1, 0.005)
    slow_start[-1].register_forward_pre_hook(make)
    assert precision.place(slow_start, "cpu", "auto", batches).precision == "bf16" and made


@pytest.mark.parametrize("bf16", [(0.1, 0.0), (0.0, 0.1)], ids=["forwards", "backwards"])
def test_a_step_that_never_ends_is_given_up(batches, capsys, bf16) -> None:
    """60 layers of 0.1 s each: 6 s a step, and 24 s for the whole trial."""
    start = time.monotonic()
    assert precision.place(network(bf16=bf16, depth=60), "cpu", "auto", batches).precision == "fp32"
    assert time.monotonic() - start < precision.GRACE + 1.5
    said = capsys.readouterr().out
    assert re.fullmatch(r"precision: fp32, by the time of a training step: fp32 \S+ s, bf16 given up at over 3 times "
                        r"as much\n", said)


@pytest.mark.parametrize("asked", ["auto", "bf16"])
def test_the_trial_leaves_no_trace(batches, asked) -> None:
    placed = network(0.01)
    before = copy.deepcopy(placed.state_dict())
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    precision.place(placed, "cpu", asked, batches)
    drawn = torch.rand(3), np.random.rand(3), random.random()
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    assert torch.equal(drawn[0], torch.rand(3)) and (drawn[1] == np.random.rand(3)).all()
    assert drawn[2] == random.random()
    assert all(torch.equal(before[name], value) for name, value in placed.state_dict().items())
    assert placed.state_dict().keys() == before.keys()
    assert all(p.grad is None for p in placed.parameters()) and placed.training
    assert not any(layer._forward_hooks for layer in placed.modules())


@pytest.mark.parametrize(("factor", "why"), [(1e3, "gradient norms by a factor of"),
                                             (math.nan, "losses or gradients of 4 in 4 steps are not finite")])
def test_a_faster_bf16_that_disagrees_is_not_taken(batches, capsys, factor, why) -> None:
    class Wrong(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * (factor if torch.is_autocast_enabled("cpu") else 1)

    wrong = nn.Sequential(network(0.02), Wrong(2, 2))
    assert precision.place(copy.deepcopy(wrong), "cpu", "auto", batches).precision == "fp32"
    said = capsys.readouterr().out
    assert said.startswith(f"precision: fp32, because bf16 disagrees with fp32 on this processor at (8, 8): {why}")
    with pytest.raises(InputError, match=r"bf16 disagrees.*use --precision fp32"):
        precision.place(wrong, "cpu", "bf16", batches)


def test_all_processes_train_in_one_precision(tmp_path) -> None:
    """Each process times by itself; the second finds bf16 slower."""
    code = f"""
import os, torch.distributed as dist
from pipeline.training import precision
rank = int(os.environ["RANK"])
dist.init_process_group("gloo", init_method="file://{tmp_path}/meet", rank=rank, world_size=2)
precision.has_bf16 = lambda: True
precision.compare = lambda *args, **settings: precision.Trial(None, 1.0, 0.5 + rank)
print(precision.place(precision.nn.Linear(2, 2), "cpu", "auto", []).module.precision)
"""
    both = [warm_start.start([SCRIPT, code], ROOT, {**os.environ, "RANK": str(rank)}) for rank in (0, 1)]
    said = [process.communicate(timeout=300)[0].splitlines() for process in both]
    assert [lines[-1] for lines in said] == ["fp32", "fp32"] and [len(lines) for lines in said] == [2, 1]


@pytest.mark.parametrize("asked", ["auto", "bf16"])
@pytest.mark.parametrize(("slices", "seen"), [(None, range(7)), (3, range(2, 5)), (9, range(7))])
def test_the_trial_sees_the_middle_slices_alone(asked, slices, seen) -> None:
    """Exams of many slices: the trial of a few tells as much and takes no minutes. The run itself sees all."""

    found = []

    class Noting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found.append(x[0, 0, 0, 0].tolist())
            return self.layer(x.mean(dim=(2, 3, 4)))

    image = torch.arange(7.0).expand(1, 1, 4, 4, 7)
    batches = [{"image": image, "label": torch.tensor([1])}] * 2
    placed = precision.place(Noting(), "cpu", asked, batches, slices=slices)
    assert found == [list(seen)] * 4
    placed(image)
    assert found[-1] == list(range(7))


def test_the_doubly_deep_network_is_tried_on_a_few_slices(monkeypatch, capsys) -> None:
    """Its own loss and labels, both precisions, one line; placed, it answers in float32 and is as before."""
    network = DoublyDeepNet((4, 8), (1, 1), 8)
    before = copy.deepcopy(network.state_dict())
    batches = [{"image": torch.rand(1, 1, 48, 48, 12), "label": torch.tensor([[0, 1, -1, 0]])} for _ in range(3)]
    placed = precision.place(network, "cpu", "auto", batches, loss=FourAnswersLoss(), slices=4)
    assert capsys.readouterr().out.startswith(f"precision: {placed.precision}, ")
    assert all(torch.equal(before[name], value) for name, value in placed.state_dict().items())
    assert placed(batches[0]["image"]).dtype == torch.float32


def test_without_batches_there_is_nothing_to_prove_it_by() -> None:
    assert precision.place(network(), "cpu", "auto").precision == "fp32"
    assert precision.place(network(), "cpu", "bf16").precision == "bf16"


def save(folder: Path, placed: nn.Module) -> None:
    state = RunState(placed, torch.optim.Adam(placed.parameters()), folder, folder)
    trainer = Engine(lambda engine, batch: None)
    trainer.state.epoch = 1
    state.save(trainer)


def test_a_resumed_run_keeps_the_precision_that_it_began_in(batches, tmp_path, capsys) -> None:
    """Begun where bf16 is faster, gone on with where it is slower, and the other way round."""
    for begun, other in (((0.03, 0.0), (0.0, 0.03)), ((0.0, 0.03), (0.03, 0.0))):
        folder = tmp_path / f"{begun}"
        first = precision.place(network(*begun), "cpu", precision.begun("auto", folder), batches)
        save(folder, first)
        capsys.readouterr()
        again = precision.place(network(*other), "cpu", precision.begun("auto", folder), batches)
        assert again.precision == first.precision and not capsys.readouterr().out
        afresh = precision.place(network(*other), "cpu", precision.begun("auto", folder, resume=False), batches)
        assert afresh.precision != first.precision
    assert precision.begun("fp32", folder) == "fp32"


@pytest.mark.parametrize("content", [b"", b"no state", None])
def test_a_state_that_tells_no_precision_is_left_to_run_state(tmp_path, content) -> None:
    path = tmp_path / "resume.pt"
    path.write_bytes(content) if content is not None else torch.save({"epoch": 1}, path)
    assert precision.begun("auto", tmp_path) == "auto"


@pytest.mark.parametrize("kept", [None, "fp32", "bf16"])
def test_the_bundle_asks_what_it_began_in(tiny_prepared, tmp_path, monkeypatch, kept) -> None:
    faster: Callable[..., precision.Trial] = lambda *args, **settings: precision.Trial(None, 2.0, 1.0)  # noqa: E731
    monkeypatch.setattr(precision, "compare", faster)
    config = ConfigParser(ConfigParser.load_config_files(
        [str(BUNDLES / "breast_mri_curriculum/configs" / name) for name in ("train.yaml", "naive.yaml")]))
    for name, value in {"output_dir": str(tmp_path), "dataset_dir": str(tiny_prepared), "precision": "auto",
                        "workers": 0}.items():
        config[name] = value
    if kept:
        torch.save({"precision": kept}, tmp_path / "resume.pt")
    assert config.get_parsed_content("network").precision == (kept or "bf16")


@pytest.mark.parametrize("path", sorted(BUNDLES.glob("*/configs/train.yaml")), ids=lambda path: path.parts[-3])
def test_every_bundle_hands_on_what_it_began_in(path) -> None:
    assert "precision.begun(@precision, @output_dir, @resume)" in ConfigParser.load_config_file(path)["network"]


def test_no_such_precision() -> None:
    with pytest.raises(InputError, match="precision is 'half'; use one of fp32, bf16, auto"):
        precision.place(nn.Linear(1, 1), "cpu", "half")


def test_the_norm_is_of_all_gradients() -> None:
    network = nn.Linear(2, 1)
    assert precision.gradient_norm(network) == 0
    network.weight.grad, network.bias.grad = torch.tensor([[2.0, 3.0]]), torch.tensor([6.0])
    assert precision.gradient_norm(network) == 7


def test_outputs_in_dictionaries_and_lists_are_float32(batches) -> None:
    """As a detector's: losses by name, and a list of boxes with whole numbers for labels."""
    class Several(nn.Linear):
        def forward(self, x: torch.Tensor, offsets: list[float]) -> dict[str, Any]:
            y, labels = super().forward(x), torch.ones(2, dtype=torch.int64)
            return {"loss": y.mean() + sum(offsets), "found": [{"boxes": y, "labels": labels}]}

    placed = precision.place(Several(8, 8), "cpu", "bf16")
    output = placed(torch.randn(2, 8), [0.5])
    kinds = [output["loss"].dtype, *(value.dtype for value in output["found"][0].values())]
    assert kinds == [torch.float32, torch.float32, torch.int64]
    cases = [{**batch, "offsets": [1.0] * 8} for batch in batches]  # cut case by case beside the image
    trial = precision.compare(Several(8, 8), cases, 1e-3, lambda output, label: output["loss"] + label.float().mean(),
                              patient=False, inputs=("image", "offsets"))
    assert trial.doubt is None
