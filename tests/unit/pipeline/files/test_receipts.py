"""Receipts: a file is believed while its content is what was written."""

from __future__ import annotations

import hashlib
import os

import pytest

from pipeline.errors import InputError
from pipeline.files.receipts import demand, is_sealed, read_receipt, receipted, sealed, state, unchanged


def test_a_state_is_known_again_after_a_copy_and_not_after_a_change(tmp_path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    known = state(path)
    assert known["sha256"] == hashlib.sha256(b"abc").hexdigest() and known["bytes"] == 3
    os.utime(path, (1, 1))
    assert unchanged(path, known)
    path.write_bytes(b"abd")
    assert not unchanged(path, known)
    path.unlink()
    assert not unchanged(path, known) and not unchanged(path, {})


@pytest.mark.parametrize("content, said", [(b"abd", "a: is not what was written"), (None, "a: cannot be read")])
def test_what_is_demanded_and_not_there_is_one_line_with_the_remedy(tmp_path, content, said) -> None:
    if content:
        (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match=rf"{said}.*; copy it again"):
        demand(tmp_path / "a", hashlib.sha256(b"abc").hexdigest(), "copy it again")


def test_sealed_content_may_move_and_not_change() -> None:
    content = sealed({"labels": [0, 1], "root": "here"}, "root")
    assert is_sealed({**content, "root": "there"}, "root")
    assert not is_sealed({**content, "labels": [1, 1]}, "root") and not is_sealed({"labels": [0, 1]}, "root")


def test_a_receipt_tells_of_the_file_that_is_there(tmp_path) -> None:
    path = tmp_path / "model.pt"
    with receipted(path, "weights", {"fold": 0}) as temporary:
        temporary.write_bytes(b"of fold 0")
    with pytest.raises(RuntimeError), receipted(path, "weights", {"fold": 1}) as temporary:
        temporary.write_bytes(b"of fold 1")
        raise RuntimeError
    assert read_receipt(path, "weights", "train again")["about"] == {"fold": 0}
    with receipted(path, "weights", {"fold": 1}) as temporary:
        temporary.write_bytes(b"of fold 1")
    assert read_receipt(path, "weights", "train again")["about"] == {"fold": 1}
    path.write_bytes(b"of fold 0")  # as where a process was killed between receipt and file
    assert read_receipt(path, "weights", "train again")["about"] == {"fold": 0}
