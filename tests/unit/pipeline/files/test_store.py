"""Kept arrays are found by what they were computed from."""

from __future__ import annotations

import numpy as np

from pipeline.files.store import ArrayStore, key_of


def test_keys_tell_contents_apart(tmp_path) -> None:
    a = np.arange(6, dtype=np.uint16)
    keys = {key_of(a), key_of(a.reshape(2, 3)), key_of(a.astype(np.uint8)), key_of(a + 1), key_of(a, "x"), key_of("x")}
    assert len(keys) == 6 and key_of(a) == key_of(a.copy())
    assert ArrayStore(tmp_path / "none").get("absent") is None
