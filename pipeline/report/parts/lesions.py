"""Pictures of the lesions that a study of lesions tested: in all contrasts, and how they take up contrast."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.files.tables import read_results
from pipeline.report.figures import STYLE, colour, svg
from pipeline.report.gallery import data_uri
from pipeline.report.predictions import AGAIN, Run

PHASES = ("pre", "post1", "post2", "post3", "post4")


def contrast_pictures(run: Run) -> list[dict[str, Any]]:
    """One malignant test lesion in every contrast: `name` and `uri`; empty where no evaluation left one."""
    path = next(iter(sorted((run.folder / run.homes[run.variants[0]]).glob("fold*/contrasts.npz"))), None)
    if path is None:
        return []
    with np.load(path) as content:
        patch, names = content["patch"].astype(np.float32), [str(name) for name in content["names"]]
    found = []
    for name, plane in zip(names, patch, strict=True):
        low, high = np.percentile(plane, [1, 99.5])
        grey = np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
        found.append({"name": name, "uri": data_uri(np.repeat(np.kron(grey, np.ones((3, 3)))[..., None], 3, axis=2))})
    return found


def load_curves(run: Run) -> pd.DataFrame | None:
    """Enhancement relative to the first phase of every test lesion: `label` and a column a phase; None without any.

    Raises:
        InputError: a table that is none.
    """
    parts = []
    for fold in run.folds:
        path = run.place(run.variants[0], fold) / "curves.csv"
        if path.is_file():
            parts.append(read_results(path, ("label", *PHASES), AGAIN, usecols=["label", *PHASES]))
    if not parts:
        return None
    table = pd.concat(parts, ignore_index=True)
    table = table[table["pre"] > 0]
    enhancement = table[list(PHASES)].div(table["pre"], axis=0) - 1
    return enhancement.assign(label=table["label"].astype(int))


def curve_figure(curves: pd.DataFrame) -> str:
    """Median enhancement of malignant and benign lesions over the phases, with quartiles."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.0), layout="constrained")
        axes = figure.add_subplot()
        for i, (label, name) in enumerate(((1, "malignant"), (0, "benign"))):
            own = curves.loc[curves["label"] == label, list(PHASES)]
            if own.empty:
                continue
            low, middle, high = own.quantile([0.25, 0.5, 0.75]).to_numpy()
            axes.fill_between(range(len(PHASES)), low, high, color=colour(1 - i), alpha=0.16, linewidth=0)
            axes.plot(range(len(PHASES)), middle, color=colour(1 - i), linewidth=1.7, marker="o", markersize=3.5,
                      label=f"{name} ({len(own)})")
        axes.set_xticks(range(len(PHASES)), PHASES)
        axes.set_ylabel("Enhancement, relative to pre")
        axes.legend(loc="upper left")
    return svg(figure, "curves", "Median enhancement over the phases of malignant and of benign lesions.")
