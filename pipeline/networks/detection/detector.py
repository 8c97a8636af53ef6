"""What both detectors share: how they are called, by what they learn, and in which order memory lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pipeline.errors import InputError

Target = Mapping[str, torch.Tensor]
Size = tuple[int, ...]  # (X, Y, Z)
Detections = dict[str, torch.Tensor]

CLASSES = 3  # background, benign, malignant
COARSEST = (32, 32, 8)  # voxels a cell of P5, along x, y and z


class Detector(nn.Module):
    """A network that answers with boxes and computes its own losses.

    It takes public tensors `(B, C, X, Y, Z)`, slices last, and works slices first inside, as the curriculum's does.

    Called with an image alone, it returns a list of one dictionary a breast, best box first:

    - `boxes` `(N, 6)`: voxels of the image, `x0 y0 z0 x1 y1 z1`, ends not included;
    - `labels` `(N,)`: 1 benign, 2 malignant;
    - `scores` `(N,)`: the softmax's probability of the label.

    Called with an image and `targets`, a list of one dictionary a breast with `boxes` `(M, 6)`, `labels` `(M,)` and,
    where there are outlines, `mask` `(1, X, Y, Z)` of 0 and lesion numbers (box i is number i + 1), it returns a
    dictionary of its losses: each term by name, for the record, and `loss`, their sum, to descend on. Terms for which
    no breast of the batch has an outline are left out. In evaluation mode the same dictionary has the boxes as
    `detections`, and what is sampled for the losses is the same each time.

    Args:
        score_from: least score of a box.
        boxes_a_class: most boxes of a class in a breast.
    """

    def __init__(self, score_from: float = 0.1, boxes_a_class: int = 30) -> None:
        super().__init__()
        self.score_from, self.boxes_a_class = score_from, boxes_a_class

    def look(self, image: torch.Tensor, outlines: bool) -> Any:
        """What the convolutions say of `(B, C, Z, Y, X)`; `outlines`: their logits are needed too."""
        raise NotImplementedError

    def losses(self, seen: Any, targets: Sequence[Target], size: Size) -> dict[str, torch.Tensor]:
        """Terms of the loss by name."""
        raise NotImplementedError

    def detections(self, seen: Any, size: Size) -> list[Detections]:
        """Boxes of every breast."""
        raise NotImplementedError

    def forward(self, image: torch.Tensor, targets: Sequence[Target] | None = None) -> Any:
        """Boxes of `(B, C, X, Y, Z)`, or losses where there are targets: see the class.

        Raises:
            InputError: an image whose sides the pyramid does not divide.
        """
        size = tuple(image.shape[2:])
        if any(n % cell for n, cell in zip(size, COARSEST, strict=True)) or size == COARSEST:  # no norm of one voxel
            raise InputError(f"an image of {' × '.join(map(str, size))} voxels: the detectors take sides in plane that "
                             f"are multiples of {COARSEST[0]}, slices in multiples of {COARSEST[2]}, and more than one "
                             "of these in all; change the size in prepare.yaml, or the patches'")
        memory = image.permute(0, 1, 4, 3, 2).contiguous(memory_format=torch.channels_last_3d)
        seen = self.look(memory, outlines=any("mask" in target for target in targets or ()))
        with torch.autocast(image.device.type, enabled=False):
            if targets is None:
                return self._answer(seen, size)
            own = [{key: value.to(image.device) for key, value in target.items()} for target in targets]
            return self._learn(seen, own, size, image.device)

    def _learn(self, seen: Any, targets: Sequence[Target], size: Size, device: torch.device) -> dict[str, Any]:
        with torch.random.fork_rng([device] if device.type == "cuda" else [], enabled=not self.training):
            if not self.training:
                torch.manual_seed(0)
            terms = self.losses(seen, targets, size)
        # What took no part (a head without lesions in the batch, P1) stays connected at weight 0: processes that
        # average their gradients wait for every parameter's.
        idle = sum((parameter.sum() for parameter in self.parameters()), torch.zeros((), device=device)) * 0
        found: dict[str, Any] = {name: term.detach() for name, term in terms.items()}
        found["loss"] = sum(terms.values(), idle)
        if not self.training:
            found["detections"] = self._answer(seen, size)
        return found

    @torch.no_grad()
    def _answer(self, seen: Any, size: Size) -> list[Detections]:
        return self.detections(seen, size)
