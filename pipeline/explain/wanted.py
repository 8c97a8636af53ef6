"""Which cases of an evaluation get a heat map: a map costs several times its score, and only the test's are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.engines import default_prepare_batch


def of_the_test(batch: Mapping[str, Any], device: str | torch.device | None = None, non_blocking: bool = False,
                **kwargs: Any) -> tuple[Any, Any, tuple[()], dict[str, list[bool]]]:
    """An evaluator's `prepare_batch`: MONAI's, and `mapped` for the inferer, true for the cases of the split `test`.

    Args:
        batch: with `image`, `label` and, for each case, `split`.
        device, non_blocking, kwargs: of MONAI.
    """
    image, label = default_prepare_batch(dict(batch), device, non_blocking, **kwargs)
    return image, label, (), {"mapped": [split == "test" for split in batch["split"]]}
