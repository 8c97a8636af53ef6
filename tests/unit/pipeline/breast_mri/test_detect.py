"""Boxes of breasts and of exams, of one view and of several."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pipeline.breast_mri.detect import BoxInferer
from pipeline.errors import InputError


class Brightest(nn.Module):
    """Answers with a box of one voxel at each breast's brightest, malignant, as sure as `weight`."""

    def __init__(self, weight: float = 0.5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, image: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        found = []
        for each in image[:, 0]:
            place = torch.tensor(torch.unravel_index(each.argmax(), each.shape), dtype=torch.float32)
            here = slice(0, int(each.max() > 0))  # nothing in a patch where it is dark
            found.append({"boxes": torch.cat([place, place + 2])[None][here], "labels": torch.tensor([2])[here],
                          "scores": self.weight.detach()[None][here]})
        return found


def image(*places: tuple[int, int, int]) -> torch.Tensor:
    made = torch.zeros(len(places), 1, 16, 16, 8)
    for each, place in zip(made[:, 0], places, strict=True):
        each[tuple(slice(n, n + 2) for n in place)] = 1.0
    return made


@pytest.mark.parametrize("options", [{}, {"flip_axes": [0, 1]}, {"patch_size": [8, 8, 8]}])
def test_a_dictionary_a_breast_wherever_it_is_looked_at_from(options: dict[str, Any]) -> None:
    two = image((3, 9, 4), (12, 1, 0))
    network: Any = Brightest()
    for given in (two, two[None]):  # an exam of two breasts: MONAI Label takes the first of what comes back
        found = BoxInferer(**options)(given, network, "what training takes beside it")
        found = found if given.ndim == 5 else found[0]
        assert len(found) == 2
        best = [each["boxes"][each["scores"].argmax()] for each in found]
        assert [[round(v) for v in box[:3].tolist()] for box in best] == [[3, 9, 4], [12, 1, 0]]


def test_further_networks_are_read_once_and_take_part(tmp_path) -> None:
    torch.save(Brightest(0.9).state_dict(), tmp_path / "epoch9.pt")
    inferer = BoxInferer(more_weights=[tmp_path / "epoch9.pt"])
    network: Any = Brightest(0.5)
    (found,) = inferer(image((3, 9, 4)), network)
    assert len(found["scores"]) == 1 and 0.5 < float(found["scores"][0]) < 0.9
    (tmp_path / "epoch9.pt").unlink()
    inferer(image((3, 9, 4)), network)
    with pytest.raises(InputError, match=r"epoch8\.pt.*--more_weights"):
        BoxInferer(more_weights=[tmp_path / "epoch8.pt"])(image((3, 9, 4)), network)
