"""How MONAI Label 0.8.5 asks and trains a bundle, without a server: its `BundleInferTask` and `BundleTrainTask`.

The end-to-end tests ask the real one; this is what of it fits into the tests' environment.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import monai.bundle
import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import decollate_batch


def infer(bundle: Path, image: Any, **request: Any) -> dict[str, Any]:
    """The data after all transforms: `result`, and the map under `pred`."""
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser.config.update({"bundle_root": str(bundle)})
    network = parser.get_parsed_content("network_def", instantiate=True)
    meta = json.loads((bundle / "configs" / "metadata.json").read_text())["network_data_format"]
    assert next(iter(meta["inputs"])) == "image" and next(iter(meta["outputs"])) == "pred"
    data = copy.deepcopy({"model": bundle.name, "device": "cpu", "image": str(image), "image_path": str(image),
                          **request})
    parser.config.update({"device": "cpu"})
    for transform in parser.get_parsed_content("preprocessing", instantiate=True).transforms:
        data = transform(data)
    inferer = parser.get_parsed_content("inferer", instantiate=True)
    served = copy.deepcopy(network)
    (model,) = [min((bundle / "models").glob("*.pt"), key=lambda path: len(path.name))]
    served.load_state_dict(torch.load(model), strict=False)
    served.eval()
    with torch.no_grad():
        outputs = inferer(data["image"][None], served)
    data["pred"] = decollate_batch(outputs)[0] if isinstance(outputs, dict) else outputs[0]
    for transform in parser.get_parsed_content("postprocessing", instantiate=True).transforms:
        data = transform(data)
    # Its `Restored` would resize a map of another grid, voxel by voxel; and its writer takes this affine.
    assert tuple(data["pred"].shape[1:]) == tuple(np.asarray(data["image"].meta["spatial_shape"]))
    np.testing.assert_allclose(data["pred"].affine, data["image"].meta["original_affine"])
    json.dumps(data["result"])
    return data


def train(bundle: Path, exams: Sequence[dict[str, str]], validation: Sequence[dict[str, str]], epochs: int = 1) -> None:
    """A `POST /train`: raw exams with paths of `image` and `label`, from the model that is served."""
    config = bundle / "configs" / "train.json"
    parser = ConfigParser()
    parser.read_config(str(config))
    handlers = parser.get("train#handlers")
    assert not [each for each in handlers if each.get("_target_") == "CheckpointLoader"]
    handlers.insert(0, {"_target_": "CheckpointLoader", "load_path": str(bundle / "models" / "model.pt"),
                        "load_dict": {"model": "$@network"}, "strict": False})
    monai.bundle.run(run_id="run", init_id=None, final_id=None, meta_file=str(bundle / "configs" / "metadata.json"),
                     config_file=str(config), **{
                         "bundle_root": str(bundle), "train#trainer#max_epochs": epochs, "device": torch.device("cpu"),
                         "train#dataset#data": list(exams), "validate#dataset#data": list(validation),
                         "train#handlers": handlers})
