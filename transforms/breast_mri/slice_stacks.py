"""Whole exams as stacks of axial slices, read as they are, and made into one of seven inputs (doubly deep, §4.2)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from transforms.breast_mri.exam_files import read_contrasts, same_grid
from transforms.breast_mri.planes import canonical_view, slice_grid
from transforms.errors import InputError
from transforms.facts import Facts
from transforms.grid import Grid
from transforms.intensity import CONSTANT, tissue_scale

PHASES = ("pre", "post1", "post2", "post3")  # §2: one before contrast, three after
INPUTS = ("t0", "t1", "t2", "t3", "t1-t0", "t2-t0", "t3-t0")  # §4.2, Table 1


def phases_of(name: str) -> list[str]:
    """The phases that an input is made of, in time: `t2` is `[post2]`, `t2-t0` is `[pre, post2]`.

    Raises:
        InputError: no such input.
    """
    if name not in INPUTS:
        raise InputError(f"input {name!r}: choose one of {', '.join(INPUTS)}")
    return [PHASES[int(time[1])] for time in reversed(name.split("-"))]


def phases_to_read(name: str) -> list[str]:
    """The phases that an input needs of an exam's files: its own, and the first, which sets the scale of all."""
    return [PHASES[0], *(phase for phase in phases_of(name) if phase != PHASES[0])]


class LoadSliceStack(Transform):
    """Load an exam's phases as one stack of axial slices, every voxel as the files have it.

    Nothing is padded, cropped or resampled: exams differ in their numbers of slices, rows and columns (§3.1). Axes are
    only permuted and flipped, so that in every exam x grows to the patient's right, y to anterior and z to superior.
    All phases are divided by one number, the mean tissue intensity of `pre`: differences between them stay
    differences of enhancement. Ours: of normalisation the paper says that preprocessing was minimal (§5).

    Args:
        channels: phases, in time; the first is `pre`.

    Attributes:
        parameters: what the arrays depend on, as JSON can hold it.
    """

    def __init__(self, channels: Sequence[str] = PHASES) -> None:
        if list(channels) != [phase for phase in PHASES if phase in channels] or PHASES[0] not in channels:
            raise InputError(f"phases {list(channels)}: give some of {', '.join(PHASES)} in this order; the first, "
                             "which sets the scale of all, is always among them")
        self.channels = tuple(channels)
        self.parameters = {"channels": list(channels)}

    def __call__(self, exam: Any) -> MetaTensor:
        """Load one exam.

        Args:
            exam: as `transforms.LoadBreasts` takes it; as a mapping it may lack phases after contrast, which are named
                in `missing`.

        Returns:
            `(P, X, Y, Z)` float32 of the phases that are there, as a view of memory in the order `(P, Z, Y, X)`. Its
            meta holds `phases`, their names; `stack_affine`, voxel of the stack to RAS mm; the exam's own
            `original_affine` and `spatial_shape`; `scales`, the one number; `missing`, `digests` and `facts`.

        Raises:
            InputError: `pre` is missing, an image is damaged, grids differ (slices of another size among them), slices
                are not axial, or an image is constant.
        """
        there = [name for name in self.channels if not isinstance(exam, Mapping) or name in exam]
        if PHASES[0] not in there:
            raise InputError("no image for pre, which sets the scale of all phases; add it or leave the exam out",
                             code="missing_phase")
        facts: dict[str, Facts] = {}
        digests: dict[str, str] = {}
        source: Grid | None = None
        stack = torch.empty(0)
        scale = 1.0
        for number, (phase, name, image) in enumerate(read_contrasts(exam, there, facts)):
            own = Grid(image.array.shape, image.affine)
            view = canonical_view(image.array, own)
            if source is None:
                try:
                    source, scale = own, tissue_scale(view[::4, ::4])
                    stack = torch.empty((len(there), *_axial(own).shape[::-1]))
                except InputError as error:
                    raise InputError(f"{name}: {error}", code=error.code) from None
            same_grid(name, own, source)
            if view.min() == view.max():
                raise InputError(f"{name}: {CONSTANT}", code="constant_image")
            np.divide(view.T, scale, out=stack[number].numpy(), casting="same_kind")
            digests[phase] = image.digest
        assert source is not None
        meta = {"affine": torch.from_numpy(np.ascontiguousarray(source.affine)),
                "original_affine": np.ascontiguousarray(source.affine), "spatial_shape": np.asarray(source.shape),
                "space": "RAS", "stack_affine": _axial(source).affine, "phases": there,
                "missing": [name for name in self.channels if name not in there],
                "scales": dict.fromkeys(there, scale), "digests": digests, "facts": facts}
        return MetaTensor(stack.permute(0, 3, 2, 1), meta=meta)


def _axial(grid: Grid) -> Grid:
    """The stack's grid.

    Raises:
        InputError: slices in another plane.
    """
    try:
        return slice_grid(grid)
    except InputError as error:
        raise InputError(f"{str(error).partition('; ')[0]}; leave the exam out, or give its axial series",
                         code=error.code) from None


class LoadSliceStackd(MapTransform):
    """Dictionary version of `LoadSliceStack`; the files' facts are put under `facts`."""

    def __init__(self, keys: KeysCollection, channels: Sequence[str] = PHASES,
                 allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.load = LoadSliceStack(channels)
        self.parameters = self.load.parameters

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.load(result[key])
            result["facts"] = result[key].meta.pop("facts")
        return result


class PhaseInputd(MapTransform):
    """An exam's phases `(P, X, Y, Z)` made into the network's input `(1, X, Y, Z)`: one of them, or post − pre.

    Subtraction is signed: what loses signal after contrast is negative.

    Args:
        keys: key of the phases.
        input: `t0` to `t3`, or `t1-t0` to `t3-t0`.

    Raises:
        InputError: no such input, or other phases than it is made of.
    """

    def __init__(self, keys: KeysCollection, input: str, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.input = input
        self.made_of, self.read = len(phases_of(input)), len(phases_to_read(input))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            phases = result[key]
            if len(phases) not in (self.made_of, self.read):
                raise InputError(f"input {self.input}: made of {self.made_of} phases, {len(phases)} are there; give "
                                 "this input to what loads the exam, too")
            # Of two phases, `pre` is there for a single one's scale, or to be taken off.
            result[key] = phases[-1:] if self.made_of == 1 else phases[1:] - phases[:1]
        return result
