"""Heat maps of the four-view comparator: where patches of a view look benign or malignant (paper §3.5)."""

from __future__ import annotations

import torch

from pipeline.errors import InputError
from pipeline.networks.patch_densenet import CLASSES, PATCH, FoldedDenseNet, PatchDenseNet
from pipeline.training.precision import PRECISIONS

STEP = 70  # pixels between patches, at most
MAPS = ("benign", "malignant")  # in the order of the four-view network's channels
_TOLERANCE = 0.02  # of a probability, bfloat16 against float32
_SAMPLE = 8  # patches on which they are compared


class PatchHeatMaps:
    """Full-size heat maps of single views.

    Every pixel's value is the mean probability of all patches that cover it. Patches without breast are all the same
    picture: it is classified once, and the maps are those of classifying each.

    Args:
        network: with its weights; read once, here.
        precision: `fp32`; `bf16`, which is compared with fp32 on patches of the first view; or `auto`: bfloat16 where
            they agree.
        step: pixels between the first pixels of patches, at most; they are spread evenly over the view.
        batch: patches at a time; a few fit a processor's caches, a GPU takes hundreds.

    Raises:
        InputError: no such precision.
    """

    def __init__(self, network: PatchDenseNet, precision: str = "fp32", step: int = STEP, batch: int = 8) -> None:
        if precision not in PRECISIONS:
            raise InputError(f"precision is {precision!r}; use one of {', '.join(PRECISIONS)}")
        self.step = int(step)
        self.batch = int(batch)
        self.classify = FoldedDenseNet(network)
        self._fast = FoldedDenseNet(network, torch.bfloat16) if precision != "fp32" else None
        self._insist = precision == "bf16"

    def __call__(self, view: torch.Tensor) -> torch.Tensor:
        """The maps of one view.

        Args:
            view: `(H, W)`, standardised as the network was trained with, on the network's device; air is its least
                value.

        Returns:
            probabilities `(2, H, W)` of `MAPS`.

        Raises:
            InputError: a view smaller than a patch, or bfloat16 was asked for and disagrees with float32.
        """
        if min(view.shape) < PATCH:
            raise InputError(f"the view has {view.shape[0]}×{view.shape[1]} pixels, less than a patch of {PATCH}; "
                             "give it at native resolution")
        rows, columns = (starts(length, self.step).to(view.device) for length in view.shape)
        windows = view.unfold(0, PATCH, 1).unfold(1, PATCH, 1)  # a view of memory: (H', W', 256, 256)
        places = torch.cartesian_prod(rows, columns)
        air = view.min()
        full = torch.tensor([bool((windows[r, c] != air).any()) for r, c in places.tolist()], device=view.device)
        self._choose(windows, places[full])
        chances = view.new_empty((len(places), len(CLASSES)), dtype=torch.float32)
        for part in full.nonzero().flatten().split(self.batch):
            chances[part] = self.classify(windows[places[part, 0], places[part, 1]][:, None])
        if not full.all():
            chances[~full] = self.classify(air.expand(1, 1, PATCH, PATCH))
        wanted = chances[:, [CLASSES.index(name) for name in MAPS]].T
        return average(wanted.reshape(len(MAPS), len(rows), len(columns)), rows, columns, view.shape)

    def _choose(self, windows: torch.Tensor, places: torch.Tensor) -> None:
        """At the first view: bfloat16 where it was asked for and agrees."""
        if self._fast is None or not len(places):
            return
        at = places[torch.linspace(0, len(places) - 1, _SAMPLE, device=places.device).long()]
        sample = windows[at[:, 0], at[:, 1]][:, None]
        gap = float((self._fast(sample) - self.classify(sample)).abs().max())
        if gap <= _TOLERANCE:
            self.classify = self._fast
        else:
            doubt = f"bf16 disagrees with fp32 on this processor: probabilities of patches by up to {gap:.2g}"
            if self._insist:
                raise InputError(f"{doubt}; use --precision fp32")
            print(f"precision: fp32, because {doubt}", flush=True)
        self._fast = None


def starts(length: int, step: int = STEP) -> torch.Tensor:
    """First pixels of patches along an axis: from end to end, evenly, at most `step` apart.

    Ours: its authors lay out the pixels that remain of a whole number of steps in random order.
    """
    count = -(-(length - PATCH) // step) + 1
    return torch.linspace(0, length - PATCH, count, dtype=torch.float64).round().long()


def average(values: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Mean over the patches that cover each pixel.

    Args:
        values: `(K, R, C)`, of the patches that begin in these rows and columns.
        rows: `(R,)`.
        columns: `(C,)`.
        size: of the view, `(H, W)`; the patches cover it.

    Returns:
        `(K, H, W)`.
    """
    down, across = (_covers(begin, length) for begin, length in zip((rows, columns), size, strict=True))
    return down.T @ values @ across / (down.sum(dim=0)[:, None] * across.sum(dim=0))


def _covers(begin: torch.Tensor, length: int) -> torch.Tensor:
    """1 where a patch covers a pixel: `(N,)` to `(N, length)`."""
    at = torch.arange(length, device=begin.device) - begin[:, None]
    return ((at >= 0) & (at < PATCH)).float()
