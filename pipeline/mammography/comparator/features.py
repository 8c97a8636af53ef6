"""What the frozen four-view network makes of examinations, computed once (§3.5): 'Pretrained' scores and features.

The adapted variant trains nothing below its head, so that an examination's hidden features are all it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from pipeline.errors import InputError
from pipeline.files.store import ArrayStore, file_digest, key_of
from pipeline.mammography.comparator.exams import ExamWindows
from pipeline.mammography.comparator.view_maps import ViewHeatMaps
from pipeline.networks.checkpoint import load_weights
from pipeline.networks.four_view import OUTCOMES, WIDTHS, FourViewNetwork, load_four_view

SCHEMA = "breast-bundles/four-view-features/2"
SIZE = 4 * WIDTHS[-1]  # hidden features of an examination, CC then MLO
_MALIGNANT = [i for i, name in enumerate(OUTCOMES) if name.endswith("malignant")]
_REMEDY = "download the four-view weights from their authors and name the file with --four_view"


class FourViewFeatures:
    """Scores and hidden features of examinations, from a folder where they are known.

    Names of files in it come of both checkpoints, the settings, and the prepared arrays' digests.

    Args:
        checkpoint: file of the four-view network's weights.
        folder: where results are kept, a small file an examination. Folds and variants share it.
        classifier: file of the patch classifier's weights; None: the image-only form of one channel.
        heat_maps: folder where heat maps are kept.
        scale, augment, seed: of `ExamWindows`.
        precision: of the heat maps, see `pipeline.mammography.comparator.patch_maps`.
        device: where the networks run.

    Raises:
        InputError: no such file, or the weights of another network.
    """

    def __init__(self, checkpoint: Path | str, folder: Path | str, classifier: Path | str | None = None,
                 heat_maps: Path | str = "heat_maps", scale: float = 1.0, augment: int = 0, seed: int = 0,
                 precision: str = "auto", device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        network = load_four_view(FourViewNetwork(1 if classifier is None else 3), checkpoint)
        self.network = network.to(self.device).eval()
        maps = None if classifier is None else ViewHeatMaps(classifier, heat_maps, precision, device)
        self.windows = ExamWindows(scale, augment, maps, seed)
        self.store = ArrayStore(folder)
        self.about = (SCHEMA, file_digest(checkpoint, _REMEDY), None if maps is None else maps.about, float(scale),
                      int(augment), int(seed))

    def __call__(self, exams: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Examinations of `comparator.exams.exams` with `score` (0–1) and `image`, the features `(1024,)`.

        The score is the larger of the two breasts' probabilities of a malignant finding; with random windows, both
        probabilities and features are means over them.
        """
        result, computed = [], 0
        for exam in tqdm(list(exams), "four-view network", disable=None):
            views = [(view["sha256"], tuple(view["frame"])) for _, view in sorted(exam["views"].items())]
            key = key_of(*self.about, *views)
            found = self.store.get(key)
            if found is None or found.keys() != {"features", "chances"} or found["features"].shape != (SIZE,):
                features, chances = self._compute(exam)
                self.store.put(key, features=features.numpy(), chances=chances.numpy())
                computed += 1
            else:
                features, chances = torch.from_numpy(found["features"]), torch.from_numpy(found["chances"])
            result.append({**exam, "image": features, "score": float(chances[_MALIGNANT].max())})
        known = len(result) - computed
        print(f"four-view network: {len(result)} exams, {known} known, {computed} computed", flush=True)
        return result

    @torch.no_grad()
    def _compute(self, exam: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Features `(1024,)` and probabilities `(4,)` of the network's outcomes."""
        features, chances = [], []
        for views in self.windows(exam):
            cc, mlo = self.network.hidden({name: view.to(self.device) for name, view in views.items()})
            features.append(torch.cat([cc, mlo], dim=1)[0])
            chances.append(self.network.probabilities(cc, mlo)[0])
        return torch.stack(features).mean(dim=0).cpu(), torch.stack(chances).mean(dim=0).cpu()


def labelled(exams: Iterable[Mapping[str, Any]], split: str) -> list[dict[str, Any]]:
    """The examinations of a split.

    Raises:
        InputError: there is none with cancer, or none without.
    """
    found = [dict(exam) for exam in exams if exam["split"] == split]
    if len({exam["label"] for exam in found}) < 2:
        raise InputError(f"no exams of both classes with four views in {split}; check the datalist's labels and views")
    return found


@torch.inference_mode()
def adapted_scores(head: nn.Module, weights: Path | str, exams: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Examinations with the adapted head's probability of cancer as `score`.

    Args:
        head: `pipeline.networks.four_view.adapted_head`; its weights are replaced.
        weights: file of the best epoch's.
        exams: with their features.
    """
    head = load_weights(head, weights, missing="no epoch had a step; cases_per_epoch must reach batch_size").eval()
    device = next(head.parameters()).device
    return [{**exam, "score": float(head(exam["image"].to(device)[None]).softmax(dim=1)[0, 1])} for exam in exams]
