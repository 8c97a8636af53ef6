"""How exports lie in MONAI Label's app, with a stand-in for its folder; the real one runs in the end-to-end tests."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.serve.label_app import exports, lay_out_app, main, start

APP = "monailabel/sample-apps/monaibundle"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment's folders, with what an earlier start may have left in the app."""
    app = tmp_path / "environment" / APP
    (app / "model" / "old").mkdir(parents=True)
    (app / "main.py").write_text("app")
    return tmp_path / "environment"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Two exports, of which `raw` alone trains on what the server hands over, and a folder that is none."""
    for name, dataset in (("raw", "transforms.labels.LabelledDataset"), ("arrays", "monai.data.Dataset")):
        configs = tmp_path / "exported" / name / "configs"
        configs.mkdir(parents=True)
        (configs.parent / "export.json").write_text("{}")
        (configs / "train.json").write_text(json.dumps({"train": {"dataset": {"_target_": dataset}}}))
    (tmp_path / "exported" / "no_export").mkdir()
    return tmp_path / "exported"


def test_exports_are_found_in_a_folder_and_alone(exported) -> None:
    assert exports([exported]) == [exported / "arrays", exported / "raw"]
    assert exports([exported / "raw"]) == [exported / "raw"]
    assert exports([exported, exported / "raw"]) == [exported / "arrays", exported / "raw"]
    with pytest.raises(InputError, match="no_export: holds no export"):
        exports([exported / "no_export"])
    (exported / "again" / "raw").mkdir(parents=True)
    (exported / "again" / "raw" / "export.json").write_text("{}")
    with pytest.raises(InputError, match="raw: the name of two exports"):
        exports([exported, exported / "again"])


def test_served_exports_are_linked_and_offer_no_training(prefix, exported, tmp_path) -> None:
    lay_out_app(prefix, exports([exported]), tmp_path / "app", train=False)
    models = sorted((tmp_path / "app" / "model").iterdir())
    assert [(each.name, each.resolve()) for each in models] == [("arrays", exported / "arrays"),
                                                                ("raw", exported / "raw")]
    assert (tmp_path / "app" / "main.py").is_file()
    words, variables = start(tmp_path / "app", tmp_path / "studies", "0.0.0.0", 8000, train=False)
    settings = dict(zip(*[iter([word for word in words[words.index("--conf"):] if word != "--conf"])] * 2, strict=True))
    assert settings == {"models": "arrays,raw", "zoo_source": "local", "sam2": "false", "skip_trainers": "true"}
    assert words[:3] == ["-m", "monailabel.main", "start_server"] and "*.nrrd" in json.loads(
        variables["MONAI_LABEL_DATASTORE_FILE_EXT"])
    assert (Path(variables["PYTHONPATH"]) / "sitecustomize.py").is_file()


def test_a_user_says_which_images_the_server_lists(prefix, exported, tmp_path, monkeypatch) -> None:
    lay_out_app(prefix, exports([exported]), tmp_path / "app", train=False)
    monkeypatch.setenv("MONAI_LABEL_DATASTORE_FILE_EXT", '["*.png"]')
    _, variables = start(tmp_path / "app", tmp_path / "studies", "0.0.0.0", 8000, train=False)
    assert variables["MONAI_LABEL_DATASTORE_FILE_EXT"] == '["*.png"]'


def test_exports_that_may_be_trained_are_copies(prefix, exported, tmp_path) -> None:
    lay_out_app(prefix, exports([exported]), tmp_path / "app", train=True)
    model = tmp_path / "app" / "model"
    assert not (model / "raw").is_symlink() and (model / "raw" / "configs" / "train.json").is_file()
    assert not (model / "arrays" / "configs" / "train.json").exists()  # is not offered for training
    assert (exported / "arrays" / "configs" / "train.json").is_file()  # the export itself stays as it was
    words, _ = start(tmp_path / "app", tmp_path, "127.0.0.1", 1, train=True)
    assert words[words.index("skip_trainers") + 1] == "false"


def test_another_environment_is_refused_before_anything_is_written(exported, tmp_path, monkeypatch) -> None:
    with pytest.raises(InputError, match="no environment with MONAI Label"):
        lay_out_app(tmp_path, exports([exported]), tmp_path / "app", train=False)
    assert not (tmp_path / "app").exists()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(InputError, match="no environment with MONAI Label"):
        main([str(exported), "--studies", str(tmp_path)])
