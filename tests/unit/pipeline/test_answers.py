"""Answers appear whole or not at all, in nobody else's place, and a batch goes on after a bad exam."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from torch import nn

from pipeline import answers
from pipeline.errors import InputError


def write(folder: Path, name: str = "E1", digests: dict[str, str] | None = None, probability: float = 0.5,
          fail: type[Exception] | None = None) -> None:
    with answers.answer(folder, name, {"probability": probability}, digests or {"pre": "1", "t2": "2"}) as place:
        (place / f"{name}_heatmap.nii.gz").write_bytes(b"map")
        if fail:
            raise fail("so it was")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_an_answer_is_whole(tmp_path) -> None:
    write(tmp_path / "out")
    assert names(tmp_path / "out") == ["E1_heatmap.nii.gz", "E1_result.json"]
    assert json.loads((tmp_path / "out" / "E1_result.json").read_text())["probability"] == 0.5


@pytest.mark.parametrize("fail", [InputError, RuntimeError, OSError])
def test_an_answer_that_fails_leaves_nothing(tmp_path, fail) -> None:
    with pytest.raises(InputError if fail is OSError else fail):
        write(tmp_path, fail=fail)
    assert names(tmp_path) == []


def test_the_same_exam_may_be_answered_again_and_another_may_not_take_its_place(tmp_path) -> None:
    write(tmp_path)
    write(tmp_path, digests={"t2": "2", "pre": "1"}, probability=0.25)
    before = (tmp_path / "E1_result.json").read_bytes()
    with pytest.raises(InputError, match="holds the answer of another exam called E1; choose another --output_dir"):
        write(tmp_path, digests={"pre": "3", "t2": "2"})
    assert (tmp_path / "E1_result.json").read_bytes() == before


@pytest.mark.parametrize("there", ["", "{}", "[1]", '{"probability": 1}'])
def test_what_is_there_and_cannot_be_told_is_kept(tmp_path, there) -> None:
    (tmp_path / "E1_result.json").write_text(there)
    with pytest.raises(InputError, match="another exam called E1"):
        write(tmp_path)
    assert (tmp_path / "E1_result.json").read_text() == there


def test_a_probability_that_is_no_number_is_no_answer(tmp_path) -> None:
    with pytest.raises(InputError, match="E1: the network's answer is no number"):
        write(tmp_path, probability=float("nan"))
    assert names(tmp_path) == []


def evaluator(outcomes: dict[str, Exception | None], answered: list[str]) -> SupervisedEvaluator:
    """MONAI's own, over exams whose reading ends as told."""
    def read(exam: dict[str, Any]) -> dict[str, Any]:
        if error := outcomes[exam["exam_id"]]:
            raise RuntimeError("applying transform") from error
        return exam

    def postprocess(data: dict[str, Any]) -> dict[str, Any]:
        answered.append(data["exam_id"])
        return data

    import torch

    data = [{"exam_id": name, "image": torch.zeros(1, 2)} for name in outcomes]
    loader = DataLoader(Dataset(data, read), batch_size=1, collate_fn=lambda exams: exams[0])
    return SupervisedEvaluator("cpu", loader, nn.Identity(), postprocessing=postprocess, decollate=False)


def test_a_batch_goes_on_after_a_bad_exam_and_says_which(capsys) -> None:
    answered: list[str] = []
    outcomes = {"E1": None, "E2": InputError("pre.nii.gz: truncated; copy it again"), "E3": None, "E4": ValueError("x"),
                "E5": None}
    with pytest.raises(InputError, match=r"^2 of 5 exams have no answer: E2, E4; the first: pre\.nii\.gz: truncated"):
        answers.run(evaluator(outcomes, answered))
    assert answered == ["E1", "E3", "E5"]
    assert "E2: no answer: pre.nii.gz: truncated; copy it again" in capsys.readouterr().out


def test_all_are_answered_once() -> None:
    answered: list[str] = []
    answers.run(evaluator(dict.fromkeys(["E1", "E2", "E3"]), answered))
    assert answered == ["E1", "E2", "E3"]


def test_what_is_made_of_an_answer_follows_it_and_its_error_is_the_exam_s() -> None:
    seen: list[tuple[str, list[str]]] = []
    answered: list[str] = []

    def after(exam: Any) -> None:
        seen.append((exam["exam_id"], list(answered)))
        if exam["exam_id"] == "E3":
            raise InputError("E3: its slices do not name one frame of reference")

    outcomes = {"E1": None, "E2": InputError("damaged"), "E3": None}
    with pytest.raises(InputError, match=r"2 of 3 exams have no answer: E2, E3"):
        answers.run(evaluator(outcomes, answered), after)
    assert seen == [("E1", ["E1"]), ("E3", ["E1", "E3"])]


def test_a_single_exam_says_its_own_error() -> None:
    with pytest.raises(InputError, match=r"^pre\.nii\.gz: truncated$"):
        answers.run(evaluator({"E1": InputError("pre.nii.gz: truncated")}, []))


@pytest.mark.parametrize(("file", "name"), [("E1.nii.gz", "E1"), ("2024.01.15.nrrd", "2024.01.15"), ("a.b.DCM", "a.b")])
def test_names_of_files(tmp_path, file, name) -> None:
    (tmp_path / file).touch()
    assert answers.name_of(tmp_path / file) == name


def test_exams_go_one_at_a_time() -> None:
    import torch

    image = MetaTensor(torch.rand(2, 1, 3, 3, 3), meta={"digests": {"pre": "1"}})
    batch = answers.collate([{"image": image, "lesions": [("1", (0, 1, 2))]}])
    assert batch["image"].shape == (1, 2, 1, 3, 3, 3) and batch["image"].meta["digests"] == {"pre": "1"}
    assert batch["lesions"] == [("1", (0, 1, 2))]
    with pytest.raises(ValueError, match="one at a time"):
        answers.collate([{"image": image}] * 2)
