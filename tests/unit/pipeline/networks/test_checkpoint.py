"""Weights are believed for what they are: whole, of this network, of this fold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.files.receipts import receipted
from pipeline.networks.checkpoint import WEIGHTS, load_weights
from pipeline.networks.curriculum_resnet import CurriculumResNet

CASES = [{"fold": 1, "assignment": "these folds"}]


def save(path: Path, value: float = 1.0, **about) -> None:
    """Weights as a run leaves them."""
    with receipted(path, WEIGHTS, {**CASES[0], **about}) as temporary, temporary.open("wb") as file:
        torch.save({"weight": torch.full((1, 2), value), "bias": torch.zeros(1)}, file)


def test_weights_of_the_same_fold_are_loaded(tmp_path, capsys) -> None:
    save(tmp_path / "model.pt", 3.0)
    assert load_weights(nn.Linear(2, 1), tmp_path / "model.pt", cases=CASES).weight.tolist() == [[3.0, 3.0]]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("about, said", [({"fold": 0}, "model.pt: trained in fold 0, this is fold 1"),
                                         ({"assignment": "others"}, "trained on other folds than this dataset's")])
def test_weights_that_have_seen_what_is_tested_are_refused(tmp_path, about, said) -> None:
    save(tmp_path / "model.pt", **about)
    with pytest.raises(InputError, match=said):
        load_weights(nn.Linear(2, 1), tmp_path / "model.pt", cases=CASES)
    load_weights(nn.Linear(2, 1), tmp_path / "model.pt")  # inference on somebody else's exam


def test_weights_without_a_receipt_are_loaded_and_said_to_be_unknown(tmp_path, capsys) -> None:
    save(tmp_path / "model.pt")
    (tmp_path / "model.pt.receipt.json").unlink()
    load_weights(nn.Linear(2, 1), tmp_path / "model.pt", cases=CASES)
    assert "model.pt: has no receipt; it is not known which patients" in capsys.readouterr().out


@pytest.mark.parametrize("place", [-300, 200, "receipt", "kind"])
def test_a_changed_file_or_receipt_is_refused(tmp_path, place) -> None:
    path, receipt = tmp_path / "model.pt", tmp_path / "model.pt.receipt.json"
    save(path)
    if place == "receipt":
        receipt.write_text(receipt.read_text()[:-40])
    elif place == "kind":
        receipt.write_text(json.dumps({**json.loads(receipt.read_text()), "kind": "state"}))
    else:
        raw = bytearray(path.read_bytes())
        raw[place] ^= 1
        path.write_bytes(raw)
    with pytest.raises(InputError, match=r"^model.pt(.receipt.json)?: .*; "):
        load_weights(nn.Linear(2, 1), path)


def test_a_process_killed_between_receipt_and_file_leaves_usable_weights(tmp_path) -> None:
    path = tmp_path / "model.pt"
    save(path, 1.0)
    before = path.read_bytes()
    save(path, 2.0)
    path.write_bytes(before)  # the new receipt is there, the new file is not
    assert load_weights(nn.Linear(2, 1), path, cases=CASES).weight.tolist() == [[1.0, 1.0]]


def filled(seed: int, in_channels: int = 6) -> CurriculumResNet:
    """A network whose every weight is drawn, the classifier's too, which starts at zero."""
    torch.manual_seed(seed)
    network = CurriculumResNet(in_channels).eval()
    for parameter in network.classifier.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


@pytest.fixture
def network() -> CurriculumResNet:
    return filled(0)


def test_backbone_is_loaded_and_the_classifier_left_alone(network, tmp_path) -> None:
    torch.save(network.state_dict(), tmp_path / "backbone.pt")
    other = filled(1)
    before = {name: tensor.clone() for name, tensor in other.classifier.state_dict().items()}
    assert load_weights(other, tmp_path / "backbone.pt", "backbone") is other
    pairs = zip(other.backbone.parameters(), network.backbone.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert all(torch.equal(before[name], tensor) for name, tensor in other.classifier.state_dict().items())
    load_weights(other, tmp_path / "backbone.pt")
    assert torch.equal(other.classifier.weight, network.classifier.weight)


def truncate(path) -> None:
    path.write_bytes(path.read_bytes()[:20_000])


@pytest.mark.parametrize(("damage", "message"), [
    (lambda path: path.unlink(), r"model\.pt: no such checkpoint; train stage 1"),
    (truncate, r"model\.pt: damaged"),
    (lambda path: path.write_text("weights"), r"model\.pt: damaged"),
    (lambda path: torch.save([1, 2], path), r"model\.pt.*(damaged|another network)"),
    (lambda path: torch.save(CurriculumResNet(in_channels=5).state_dict(), path),
     r"another network: backbone\.0\.weight is \(18, 5, 7, 7, 7\), expected \(18, 6, 7, 7, 7\).*channels"),
    (lambda path: torch.save({**CurriculumResNet().state_dict(), "extra.weight": torch.ones(3)}, path),
     r"another network: extra\.weight is \(3,\), expected absent"),
], ids=["missing", "truncated", "text", "list", "other channels", "surplus tensor"])
def test_a_checkpoint_that_does_not_fit_is_one_line(network, tmp_path, damage, message) -> None:
    path = tmp_path / "model.pt"
    torch.save(network.state_dict(), path)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    damage(path)
    with pytest.raises(InputError, match=message) as error:
        load_weights(network, path, missing="train stage 1")
    assert len(str(error.value).splitlines()) == 1 and str(tmp_path) not in str(error.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_no_host_loads_another_networks_weights(tmp_path) -> None:
    """MONAI Label loads with strict=False: what is missing would stay random."""
    import copy

    from monai.networks.utils import copy_model_state

    from pipeline.networks.center_point_resnet import CenterPointResNet
    from pipeline.networks.imagenet_resnet import transfer_resnet34

    for network in (CurriculumResNet(2), CenterPointResNet((2, 2, 2, 2)), transfer_resnet34(1)):
        served, state = copy.deepcopy(network), network.state_dict()
        served.load_state_dict(state, strict=False)
        copy_model_state(served, state)
        name = next(iter(state))
        with pytest.raises(InputError, match=f"lack {name}: they are another network's"):
            served.load_state_dict({key: value for key, value in state.items() if key != name}, strict=False)
        with pytest.raises(InputError, match=r"hold other\.weight: they are"):
            served.load_state_dict({**state, "other.weight": torch.ones(1)}, strict=False)
