"""The comparator of the mammography bundle by the commands that a user types, with random weights."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import commands
import pytest
import torch
from commands import ROOT, ok, read
from monai.bundle import ConfigWorkflow

from pipeline.networks.four_view import FourViewNetwork, adapted_head
from pipeline.networks.patch_densenet import PatchDenseNet

BUNDLE = "bundles/mammography_attention"
monai = partial(commands.monai, BUNDLE)
SCALE = 0.07 / 1.82  # of `mammography_cohort`


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """`1.p` and `3.p`, four-view networks in the public files' names with their aliases, and `patches.p`."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for channels in (1, 3):
        state = FourViewNetwork(channels).state_dict()
        for name, tensor in list(state.items()):
            for pair in ("cc", "mlo"):
                for side in "lr":
                    state[name.replace(f"_resnet.{pair}.", f"_resnet.{side}_{pair}.")] = tensor
        torch.save({"model": state}, folder / f"{channels}.p")
    torch.save(PatchDenseNet().state_dict(), folder / "patches.p")
    return folder


@pytest.mark.slow
def test_comparator_and_adapted_write_their_rows(tiny_views, mammography_cohort, weights, tmp_path) -> None:
    exams = {e.exam_id: e for e in mammography_cohort.load().exams if e.split(1) != "train"}
    same = {"dataset_dir": tiny_views, "fold": 1, "scale": SCALE, "features": tmp_path / "features",
            "heat_maps": tmp_path / "maps", "four_view": weights / "3.p", "patch_classifier": weights / "patches.p"}
    ok(monai("comparator", **same, output_dir=tmp_path / "pretrained"))
    maps = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "maps").iterdir()}
    assert len(maps) == 4 * len(exams)
    text = ok(monai("train", "adapted", **same, output_dir=tmp_path / "adapted", ckpt_dir=tmp_path / "adapted",
                    max_epochs=2, cases_per_epoch=16, batch_size=8))
    assert f"{len(exams)} known, {20 - len(exams)} computed" in text
    assert maps.items() <= {path.name: path.stat().st_mtime_ns for path in (tmp_path / "maps").iterdir()}.items()
    for variant in ("pretrained", "adapted"):
        rows = read(tmp_path / variant / "predictions.csv")
        assert {r["exam_id"] for r in rows} == set(exams) and len(rows) == len(exams)
        for row in rows:
            exam = exams[row["exam_id"]]
            assert row["variant"] == variant and row["split"] == exam.split(1) and row["images"] == "4"
            assert int(row["label"]) == (exam.groups["detection"] == "screen")
            assert float(row["reader_reader1"]) == max(exam.readers["reader1"].values())
            assert 0 < float(row["score"]) < 1
    image_only = {k: v for k, v in same.items() if k not in ("patch_classifier", "four_view")}
    ok(monai("comparator", **image_only, four_view=weights / "1.p", augment=2, output_dir=tmp_path / "image_only"))
    assert len(read(tmp_path / "image_only" / "predictions.csv")) == len(exams)


@pytest.mark.slow
def test_what_is_wrong_is_named_in_one_line(tiny_views, weights, tmp_path) -> None:
    same = {"dataset_dir": tiny_views, "output_dir": tmp_path / "out", "scale": SCALE, "features": tmp_path / "f",
            "heat_maps": tmp_path / "maps"}
    for settings, message in [
        ({}, "four_view is not set; add --four_view"),
        ({"four_view": weights / "no.p"}, "no.p: no such checkpoint; download the four-view weights"),
        ({"four_view": weights / "patches.p"}, "patches.p: not this four-view network's weights"),
        ({"four_view": weights / "1.p", "patch_classifier": weights / "patches.p"}, "the one with heat maps for 3"),
        ({"four_view": weights / "3.p", "patch_classifier": weights / "no.p"}, "no.p: no such file; download the"),
    ]:
        ended = monai("comparator", **same, **settings)
        assert ended.returncode != 0
        assert message in ended.stderr and "Traceback" not in ended.stderr, ended.stderr[-1500:]
    ended = monai("train", "adapted", **same, ckpt_dir=tmp_path / "out")
    assert "four_view is not set" in ended.stderr and "Traceback" not in ended.stderr


def test_adapted_head_learns_what_features_tell(tmp_path) -> None:
    """Forty features are larger with cancer; a head on them separates the exams that it did not see."""
    features = torch.rand(96, 1024, generator=torch.Generator().manual_seed(0))
    labels = [int(i % 4 == 0) for i in range(96)]
    features[::4, :40] += 1
    known = [{"exam_id": f"E{i}", "patient_id": f"P{i}", "label": labels[i], "image": features[i],
              "split": ("train", "validation", "test")[i // 32], "groups": {}, "readers": {}} for i in range(96)]
    configs = [str(ROOT / BUNDLE / "configs" / f"{name}.yaml") for name in ("train", "adapted")]
    workflow = ConfigWorkflow(configs, workflow_type="train", logging_file=False, bundle_root=str(ROOT / BUNDLE),
                              dataset_dir="none", output_dir=str(tmp_path), ckpt_dir=str(tmp_path), four_view="none",
                              known=known, max_epochs=12, cases_per_epoch=64, lr=0.01, quiet=True)
    workflow.initialize()
    workflow.run()
    rows = [row for row in read(tmp_path / "predictions.csv") if row["split"] == "test"]
    positive, negative = ([float(row["score"]) for row in rows if row["label"] == label] for label in "10")
    assert (len(positive), len(negative)) == (8, 24) and min(positive) > max(negative)
    assert torch.load(tmp_path / "adapted.pt").keys() == adapted_head().state_dict().keys()
