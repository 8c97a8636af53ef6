"""Whole ultrasound volumes: how likely a lesion is around each place, by windows of the crops' size.

A window is a crop as the network was trained on. The map's value at a window's middle is the network's
answer for that crop, exactly; between the middles of neighbouring windows the map is linear. So there are no seams, and
no place is judged in surroundings that the network has not been trained in. (Given the whole plane at once, as in the
paper's Fig. 3, the same network looks at far more than it has ever seen.)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.inferers import Inferer

from pipeline.errors import InputError
from pipeline.explain.enlarge import between
from transforms.grid import Grid, triple


@dataclass
class WindowMap:
    """Probability of a lesion around each of a lattice of places.

    Attributes:
        heat: `(x, y, z)` in 0–1.
        start, step: voxel of the volume that the first window's middle is on, and voxels between, along `(x, y, z)`.
    """

    heat: np.ndarray
    start: np.ndarray
    step: np.ndarray

    def grid(self, volume: Grid) -> Grid:
        """The lattice in RAS mm."""
        affine = np.diag([*self.step, 1.0])
        affine[:3, 3] = self.start
        return Grid(triple(self.heat.shape), volume.affine @ affine)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What an inferer returns of it: plain tensors, a batch of one; hosts take answers apart."""
        return {name: torch.as_tensor(value)[None] for name, value in vars(self).items()}

    @staticmethod
    def of(answer: Mapping[str, Any]) -> WindowMap:
        """The map of an inferer's answer, with its batch's axis or without."""
        heat, start, step = (torch.as_tensor(answer[name]).cpu() for name in ("heat", "start", "step"))
        return WindowMap(heat.reshape(heat.shape[-3:]).numpy(), start.flatten().numpy(), step.flatten().numpy())

    def on(self, volume: Grid, other: Grid) -> WindowMap:
        """The map of a volume on another grid with the same axes, of other voxels."""
        first, second = (other.to_index(self.grid(volume).to_world(np.full(3, float(n)))) for n in (0, 1))
        return WindowMap(self.heat, first, second - first)

    def plane(self, shape: Sequence[int], z: float) -> np.ndarray:
        """The map at slice `z` of a volume of that shape `(X, Y, Z)`, enlarged linearly to `(Y, X)`."""
        plane = torch.from_numpy(self.heat.T.copy())  # (z, y, x)
        for axis, at in enumerate((np.array([z]), np.arange(shape[1]), np.arange(shape[0]))):
            places = (at - self.start[2 - axis]) / self.step[2 - axis]
            plane = between(plane, axis, torch.from_numpy(places).float())
        return plane[0].numpy()

    def whole(self, shape: Sequence[int]) -> np.ndarray:
        """The map on the volume's grid, `(X, Y, Z)` uint8: 255 is a probability of 1."""
        heat = np.empty(tuple(shape[::-1]), np.uint8)
        for z in range(shape[2]):
            heat[z] = np.rint(self.plane(shape, z) * 255)
        return heat.T


class SlidingWindows(Inferer):
    """The map of a volume `(1, 1, Z, Y, X)`, window by window; memory is that of a batch of windows and the volume.

    Windows begin half a crop before the border, where crops around lesions are filled with 0 as well.

    Args:
        shape: voxels (Z, Y, X) of the crops that the network was trained on.
        step: voxels between windows along (Z, Y, X).
        batch: windows at a time.

    Raises:
        InputError: a shape or a step that is not three numbers from 1.
    """

    def __init__(self, shape: Sequence[int] = (16, 160, 160), step: Sequence[int] = (8, 80, 80),
                 batch: int = 8) -> None:
        for name, value in (("shape", shape), ("step", step)):
            if len(value) != 3 or min(value) < 1:
                raise InputError(f"{name} {list(value)}: three numbers of voxels are expected, each at least 1")
        self.shape, self.step, self.batch = triple(shape), triple(step), int(batch)

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Map one volume.

        Returns:
            `logits` `(1, 1)`, the largest of the map, and `WindowMap.tensors`.
        """
        volume = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        if volume.shape[:2] != (1, 1):
            raise ValueError(f"volumes go one at a time, got {tuple(volume.shape)}")
        middles = [_middles(n, step) for n, step in zip(volume.shape[2:], self.step, strict=True)]
        network.eval()
        with torch.no_grad():
            parts = [network(torch.stack(batch)).float().flatten().cpu()
                     for batch in _batched(self._windows(volume[0], middles), self.batch)]
        logits = torch.cat(parts).reshape([len(m) for m in middles])
        # A crop of n voxels around voxel c begins at c - n // 2: its middle is half a voxel before c where n is even.
        start = np.array([m[0] + (n - 1) / 2 - n // 2 for m, n in zip(middles, self.shape, strict=True)])
        heat = logits.sigmoid().numpy().transpose(2, 1, 0)
        mapped = WindowMap(heat, start[::-1].copy(), np.array(self.step[::-1], float))
        return {"logits": logits.max().reshape(1, 1), **mapped.tensors()}

    def _windows(self, volume: torch.Tensor, middles: Sequence[Sequence[int]]) -> Iterator[torch.Tensor]:
        """Crops `(1, Z, Y, X)` float32 around every middle, 0 beyond the border."""
        for center in itertools.product(*middles):
            start = [c - n // 2 for c, n in zip(center, self.shape, strict=True)]
            inside = [slice(max(s, 0), s + n) for s, n in zip(start, self.shape, strict=True)]
            part = volume[(slice(None), *inside)].float()
            before = [max(-s, 0) for s in start]
            after = [n - b - m for n, b, m in zip(self.shape, before, part.shape[1:], strict=True)]
            around = [x for pair in zip(before[::-1], after[::-1], strict=True) for x in pair]
            yield F.pad(part, around) if any(around) else part


def _middles(voxels: int, step: int) -> list[int]:
    """Places `step` apart, as far from the first voxel as from the last."""
    count = max((voxels - 1) // step, 0)
    return [(voxels - 1 - count * step) // 2 + i * step for i in range(count + 1)]


def _batched(items: Iterator[torch.Tensor], size: int) -> Iterator[list[torch.Tensor]]:
    while batch := list(itertools.islice(items, size)):
        yield batch
