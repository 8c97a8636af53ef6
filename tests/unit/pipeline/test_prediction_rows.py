"""A row of predictions: its columns and their order, by hand."""

from __future__ import annotations

from pipeline.prediction_rows import case_of, prediction_row


def test_columns_in_their_order_and_nothing_else() -> None:
    batch = {"exam_id": ["E1", "E2"], "patient_id": ["P1", "P2"], "side": ["L", "R"], "split": ["test", "test"],
             "label": [0, 1], "groups": [{}, {"density": "b", "age": "50"}], "readers": [{}, {"one": 3, "two": None}],
             "array": ["/archive/a", "/archive/b"]}
    row = prediction_row(case_of(batch, 1), 4, {"lesion_id": "7"}, score=0.5, slices=2)
    assert list(row.items()) == [
        ("exam_id", "E2"), ("patient_id", "P2"), ("side", "R"), ("lesion_id", "7"), ("fold", 4), ("split", "test"),
        ("label", 1), ("score", 0.5), ("slices", 2), ("group_density", "b"), ("group_age", "50"), ("reader_one", 3),
        ("reader_two", None)]
