"""Charts as inline SVG: text stays text, and the same numbers give the same bytes."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by the colour-blind; a variant keeps its colour and dash in every chart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#A6488A", "#7A5C00", "#444444")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)), "-", (0, (3, 1)))
MOST = 6  # variants in one chart: more cannot be told apart
MARKERS = ("D", "s", "^", "v", "P", "X")
STYLE: Any = {  # for mpl.rc_context, whose type names every key there is
    "svg.fonttype": "none",
    "svg.hashsalt": "breast-bundles",
    "font.family": "DejaVu Sans",  # measured with this one; the page sets its own
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.grid": True,
    "grid.color": "#e4e6e9",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def drawn(metrics: dict[str, Any]) -> list[str]:
    """Names of the variants that charts draw, in the table's order; their places give their colours and dashes.

    Where there are more than `MOST`, the first and those that are compared go before the others, and points of a curve
    over a setting, which has a chart of its own, come last.

    Args:
        metrics: what `analyse` returned.
    """
    names = list(metrics["variants"])
    compared = names[:1] + [row[side] for row in metrics.get("comparisons") or [] for side in ("first", "second")]
    points = [point["variant"] for curve in metrics.get("curves", {}).values() for point in curve["points"]]
    wanted = sorted(names, key=lambda name: 0 if name in compared else 2 if name in points else 1)
    return [name for name in names if name in wanted[:MOST]]


def colour(index: int | None) -> str:
    """The colour of the variant at that place among those `drawn`; the others share a grey."""
    return COLOURS[index] if index is not None else "#b8bec5"


def svg(figure: Figure, name: str, description: str) -> str:
    """A figure as an `<svg>` that scales with the page, with a description for those who cannot see it.

    Args:
        figure: the chart.
        name: prefix of its ids, which would otherwise clash between charts of one page.
        description: what is to be seen, plain text.
    """
    buffer = io.StringIO()
    unnamed = dict.fromkeys(("Date", "Creator", "Type", "Format"))  # they would change from run to run
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", bbox_inches="tight", pad_inches=0.04, metadata=unnamed)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups()  # type: ignore[union-attr]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    text = text.replace("'DejaVu Sans'", "system-ui, 'Helvetica Neue', Arial")
    opening = (f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{_attribute(description)}" '
               f'style="max-width:{float(width) * 4 / 3:.0f}px">')
    return re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def roc_figure(metrics: dict[str, Any], name: str = "roc") -> str:
    """Mean ROC curves over folds, a band of one standard deviation around each, readers as points."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 4.3), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=(0, (2, 3)))
        for i, variant in enumerate(drawn(metrics)):
            entry = metrics["variants"][variant]
            roc = entry["roc"]
            if roc["mean"][0] is None:
                continue
            rate, mean, sd = (np.asarray(roc[k], dtype=float) for k in ("false_positive_rate", "mean", "sd"))
            if len(metrics["folds"]) > 1:
                axes.fill_between(rate, np.clip(mean - sd, 0, 1), np.clip(mean + sd, 0, 1), color=colour(i),
                                  alpha=0.16, linewidth=0)
            # from the origin upwards: the first point of the mean may lie above it
            axes.plot(np.r_[0, rate], np.r_[0, mean], color=colour(i), linewidth=1.7, linestyle=DASHES[i % 6],
                      label=f"{entry['label']} ({_number(entry['auroc']['mean'])})")
        for i, (who, reader) in enumerate(metrics["readers"].items()):
            if reader["sensitivity"] and reader["specificity"]:
                axes.plot(1 - reader["specificity"]["value"], reader["sensitivity"]["value"], MARKERS[i % 6],
                          color="#111111", markersize=6, markeredgecolor="white", linestyle="none",
                          label=f"Reader: {who}")
        axes.set(xlim=(-0.01, 1), ylim=(0, 1.01), aspect="equal")
        axes.set(xlabel="1 − specificity", ylabel="Sensitivity")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(title="Mean AUROC over folds in ( )", title_fontsize=8, alignment="left",
                        labelspacing=0.8, loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0,
                        handlelength=2.6)
    areas = ", ".join(f"{e['label']} {_number(e['auroc']['mean'])}" for e in metrics["variants"].values())
    return svg(figure, name, f"ROC curves, mean over folds. AUROC: {areas}.")


def ranking_figure(metrics: dict[str, Any], variants: dict[str, Any], prefix: str = "ranking") -> str:
    """Every variant's mean AUROC with its 95 % interval, the largest on top; the paper's as a ring.

    Args:
        metrics: what `analyse` returned, variants in their order.
        variants: the study's, for the paper's figures.
        prefix: of the drawing's ids.
    """
    entries = {name: entry for name, entry in metrics["variants"].items() if entry["auroc"]["mean"] is not None}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 0.19 * len(entries) + 0.9), layout="constrained")
        axes = figure.add_subplot()
        rows = range(len(entries) - 1, -1, -1)
        for row, (name, entry) in zip(rows, entries.items(), strict=True):
            low, high = entry["auroc"]["ci95"]
            if low is not None:
                axes.plot([low, high], [row, row], color=colour(0), linewidth=1.1)
            axes.plot(entry["auroc"]["mean"], row, "o", color=colour(0), markersize=4)
            paper = ((variants[name].get("paper") or {}).get("auroc") or [None])[0]
            if paper is not None:
                axes.plot(paper, row, "o", markerfacecolor="none", color=colour(1), markersize=5)
        axes.set_yticks(list(rows), [entry["label"] for entry in entries.values()])
        axes.axvline(0.5, color="#999999", linewidth=0.8, linestyle=(0, (2, 3)))
        axes.set(xlabel="AUROC, mean over folds, 95 % interval; ring: the paper", ylim=(-0.7, len(entries) - 0.3))
        axes.grid(axis="y", visible=False)
    areas = ", ".join(f"{e['label']} {_number(e['auroc']['mean'])}" for e in entries.values())
    return svg(figure, prefix, f"Variants by mean AUROC: {areas}.")


def calibration_figure(metrics: dict[str, Any], positive: str = "malignant", name: str = "calibration") -> str:
    """Reliability of each variant: observed share of positive cases against the mean score of a bin."""
    entries = [metrics["variants"][variant] for variant in drawn(metrics)]
    columns = min(len(entries), 3)
    rows = -(-len(entries) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.45 * columns + 0.4, 2.75 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in panels.flat[len(entries) :]:
            axes.set_axis_off()
        for i, (axes, entry) in enumerate(zip(panels.flat, entries, strict=False)):
            _reliability_panel(axes, entry, colour(i))
        for axes in panels[:, 0]:
            axes.set_ylabel(f"Observed share {positive}")
        figure.supxlabel("Mean score of the bin", fontsize=8.5, color="#222222")
    errors = ", ".join(f"{e['label']} {_number(e['calibration_error'])}" for e in entries)
    return svg(figure, name, f"Reliability: observed share {positive} against the mean score, "
               f"with 95 % Wilson intervals. Expected calibration error: {errors}.")


def _reliability_panel(axes: Axes, entry: dict[str, Any], shade: str) -> None:
    bins = entry["calibration"]
    score, share, low, high = (np.array([b[key] for b in bins]) for key in ("score", "share", "low", "high"))
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=(0, (2, 3)))
    reach = np.clip([share - low, high - share], 0, None)
    axes.errorbar(score, share, yerr=reach, color=shade, linewidth=1.3, elinewidth=0.9, capsize=2, marker="o",
                  markersize=3.5)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes.set_title(entry["label"], fontsize=8.5, color="#222222", loc="left")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
