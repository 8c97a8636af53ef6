"""Cubic B-splines, by hand."""

from __future__ import annotations

import torch

from transforms.bspline import along_axes, basis, refinement


def test_splines_by_hand() -> None:
    # Cubic B-spline at its knots: 1/6, 4/6, 1/6; halfway: 1/48, 23/48, 23/48, 1/48.
    found = basis(torch.tensor([0.0, 0.5, 1.0]), 2) * 48
    expected = [[8, 32, 8, 0, 0], [0, 8, 32, 8, 0], [0, 0, 8, 32, 8]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))
    torch.testing.assert_close(basis(torch.tensor([0.25]), 2) * 48, torch.tensor([[1.0, 23.0, 23.0, 1.0, 0.0]]))
    coarse, at = torch.randn(5), torch.linspace(0, 1, 33)
    torch.testing.assert_close(basis(at, 4) @ (refinement(2) @ coarse), basis(at, 2) @ coarse)
    volume, matrices = torch.randn(3, 4, 5), [torch.randn(6, 3), torch.randn(2, 4), torch.randn(3, 5)]
    torch.testing.assert_close(along_axes(volume, matrices), torch.einsum("ai,bj,ck,ijk->abc", *matrices, volume))
