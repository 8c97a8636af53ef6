"""Maps of an exam's four answers (doubly deep network): what the maximum picked, Grad-CAM, and evidence.

Only the 3D part joins slices. So the exam goes through the 2D part without a trace, the 3D part says how much each
cell of each slice's map weighs, and what is asked of the 2D part is asked of a few slices at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from torch import nn

from pipeline.errors import InputError
from pipeline.explain.enlarge import enlarged
from pipeline.explain.evidence import evidence_map
from pipeline.explain.grad_cam import grad_cam, over_maximum
from pipeline.explain.saliency import frozen
from pipeline.networks.doubly_deep import ANSWERS, DoublyDeepNet, probabilities

KINDS = ("evidence", "grad_cam", "picked")


def picked_map(network: DoublyDeepNet, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the share that each cell which the global maximum picked has in each answer.

    The heads are linear in the maxima: with the heads' biases, an answer's map adds up to exactly the difference of
    its logits, yes less no.

    Args:
        network: a `DoublyDeepNet`.
        image: `(1, 1, X, Y, Z)`.

    Returns:
        logits `(1, 8)` and maps `(1, 4, X/32, Y/32, Z)` in the order of `ANSWERS`; 0 where no channel has its maximum.
    """
    with torch.no_grad():
        maps = network.maps(image)
        highest, where = network.volume(maps).flatten(2).max(dim=2)  # (1, 128) each
        shares = _yes_less_no(network.heads.weight) * highest  # (4, 128)
        cells = shares.new_zeros(len(ANSWERS), maps[0, 0].numel()).index_add_(1, where[0], shares)
        return network.answers(maps).float(), _slices_last(cells.reshape(1, -1, *maps.shape[2:]))


def stack_cam(network: DoublyDeepNet, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and each answer's Grad-CAM on the stacked maps, for yes against no.

    The stack has one channel: an answer's map is the stack's positive or its negative part, as the answer rises with
    the stack or falls.

    Args:
        network: a `DoublyDeepNet`.
        image: `(1, 1, X, Y, Z)`.

    Returns:
        logits `(1, 8)` and maps `(1, 4, X/32, Y/32, Z)` in the order of `ANSWERS`, not negative.
    """
    with torch.no_grad():
        maps = network.maps(image)
        logits = network.answers(maps).float()
    answers = _Answers(network)
    cams = [grad_cam(answers, maps, answer, "stack")[1] for answer in range(len(ANSWERS))]
    return logits, _slices_last(torch.cat(cams, dim=1))


def exam_evidence(network: DoublyDeepNet, image: torch.Tensor,
                  spread: float = 6.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the evidence for each answer in every voxel: input times gradient, smoothed (see `evidence_map`).

    Equal to `evidence_map` of the whole exam, answer by answer, at the memory of `network.micro_batch` slices. Slices
    that have no part in an answer take no time.

    Args:
        network: a `DoublyDeepNet`.
        image: `(1, 1, X, Y, Z)`.
        spread: standard deviation of the Gaussian that smooths the map in plane, in voxels.

    Returns:
        logits `(1, 8)` and maps `(1, 4, X, Y, Z)` in the order of `ANSWERS`.
    """
    with frozen(network):
        with torch.no_grad():
            maps = network.maps(image)
        with torch.enable_grad():
            maps.requires_grad_(True)
            logits = network.answers(maps).float()
            slopes = [torch.autograd.grad(difference, maps, retain_graph=True)[0]
                      for difference in _yes_less_no(logits[0])]
        found = torch.zeros(1, len(ANSWERS), *image.shape[2:], device=image.device)
        for answer, slope in enumerate(slopes):
            for start in range(0, image.shape[4], network.micro_batch):
                some = slice(start, start + network.micro_batch)
                if slope[:, :, some].any():
                    toward = _Toward(network, slope[:, :, some])
                    found[:, answer : answer + 1, ..., some] = evidence_map(toward, image[..., some], spread)[1]
    return logits.detach(), found


class ExamMapInferer(Inferer):
    """Logits and heat maps of the four answers of one exam `(1, 1, X, Y, Z)`.

    Returns a dictionary of plain tensors: `logits` `(1, 8)` and, in the order of `ANSWERS`, `heatmap`
    `(1, 4, X, Y, Z)` in 0–1. What speaks for an answer is over its maximum, times the answer's probability: the
    hottest place has that probability. Each map takes as much memory as the exam in float32. Called with `mapped`
    false (see `pipeline.explain.wanted`), there are logits alone.

    Args:
        kind: `evidence` (`exam_evidence`), `grad_cam` (`stack_cam`), `picked` (`picked_map`) or `without`: logits
            alone.
        spread: see `exam_evidence`.

    Raises:
        InputError: no such kind of map.
    """

    def __init__(self, kind: str = "evidence", spread: float = 6.0) -> None:
        if kind not in (*KINDS, "without"):
            raise InputError(f"no heat map {kind!r}; choose {', '.join(KINDS)} or without")
        self.kind, self.spread = kind, float(spread)

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, mapped: Sequence[bool] = (True,),
                 **kwargs: Any) -> dict[str, torch.Tensor]:
        inputs = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        network.eval()
        if self.kind == "without" or not any(mapped):
            with torch.no_grad():
                return {"logits": network(inputs).float()}
        size = inputs.shape[2:]
        if self.kind == "evidence":
            logits, maps = exam_evidence(network, inputs, self.spread)
            heat = maps
        else:
            logits, maps = (picked_map if self.kind == "picked" else stack_cam)(network, inputs)
            heat = maps.new_empty(1, len(ANSWERS), *size)
        for answer, probability in enumerate(probabilities(logits)[0]):  # one at a time: they are as large as the exam
            one = maps[:, answer : answer + 1]
            one = one if self.kind == "evidence" else enlarged(one, size, network.strides)
            heat[:, answer : answer + 1] = over_maximum(one.clamp(min=0)).mul_(probability)
        return {"logits": logits, "heatmap": heat}


class _Answers(nn.Module):
    """Stacked maps to the differences `(1, 4)` of the answers' logits, with the stack as a layer."""

    def __init__(self, network: DoublyDeepNet) -> None:
        super().__init__()
        self.stack, self.network = nn.Identity(), network

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return _yes_less_no(self.network.answers(self.stack(maps))[0])[None]


class _Toward:
    """A few slices to logits `(1, 2)` whose difference is, to first order, the slices' share in an answer."""

    def __init__(self, network: DoublyDeepNet, slope: torch.Tensor) -> None:
        self.network, self.slope = network, slope

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        share = (self.network.maps(image) * self.slope).sum()
        return torch.stack([torch.zeros_like(share), share])[None]


def _yes_less_no(values: torch.Tensor) -> torch.Tensor:
    """Differences of the answers' pairs: `(8, …)` to `(4, …)`."""
    return values[1::2] - values[::2]


def _slices_last(maps: torch.Tensor) -> torch.Tensor:
    return maps.permute(0, 1, 4, 3, 2).float()
