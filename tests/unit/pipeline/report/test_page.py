"""The report's page: its numbers, and that it needs and tells nothing else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from pipeline.report.page import complete, count_text, duration, number, p_text, plus_minus, summary_text


def test_page_shows_the_numbers_of_metrics_json(metrics: Any, page: str) -> None:
    for entry in metrics["variants"].values():
        assert plus_minus(entry["auroc"]) in page
        assert plus_minus(entry["accuracy"]) in page
    assert number(metrics["comparisons"][0]["difference"]) in page
    for text in ("A &lt;study&gt; &amp; more", "2 of 5 folds", "synthetic", "Not comparable to the paper",
                 "not run here", "0.89 ± 0.01", "0 errors, 3 warnings", "E1t001 L", "Youden"):
        assert text in page


class Collector(HTMLParser):
    """Notes what a page would fetch, which tags are left open, ids, and pictures without a description."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.undescribed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.fetched += [values[key] for key in ("src", "href", "xlink:href") if key in values]
        self.ids += [values["id"]] if "id" in values else []
        if (tag == "img" and not values.get("alt")) or (tag == "svg" and not values.get("aria-label")):
            self.undescribed.append(tag)
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open = self.open[:-1] if tag not in ("meta", "img", "br", "link") else self.open

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_self_contained_well_formed_and_described(page: str, two_tasks: Path) -> None:
    for text in (page, (two_tasks / "report.html").read_text()):
        check(text)


def check(page: str) -> None:
    collector = Collector()
    collector.feed(page)
    assert all(target.startswith(("#", "data:image/png")) or target == "exams.html" for target in collector.fetched)
    assert all(target[1:] in collector.ids for target in collector.fetched if target.startswith("#"))
    assert len(collector.ids) == len(set(collector.ids))
    assert not collector.open
    assert not collector.undescribed
    assert not re.search(r"@import|<script|https?://(?!www\.w3\.org)", page)


def test_a_page_of_two_tasks_shows_both_and_the_curve(two_tasks: Path) -> None:
    page, metrics = (two_tasks / "report.html").read_text(), json.loads((two_tasks / "metrics.json").read_text())
    for found in (metrics, metrics["tasks"]["benign"]):
        for entry in found["variants"].values():
            assert plus_minus(entry["auroc"]) in page and plus_minus(entry["accuracy"]) in page
        assert number(found["comparisons"][0]["difference"]) in page
    for text in ("Paired tests: malignant", "Paired tests: benign", "malignant 80 breasts", "benign 60 breasts",
                 "AUROC: Share of the training exams", "10%: t2-t0, 0.1; 50%: t2-t0, 0.5; 100%: t2-t0.",
                 "<td>0.849</td>", "<td>0.727</td>", "Observed share benign"):
        assert text in page, text


def test_how_numbers_are_written() -> None:
    assert number(-0.1234) == "−0.123"
    assert number(None) == "–"
    assert plus_minus([0.89, 0.01], 2) == "0.89 ± 0.01"
    assert plus_minus([0.93, None], 2) == "0.93"
    assert plus_minus([0.93], 2) == "0.93"
    assert p_text(0.0009995) == "< 0.001"
    assert p_text(0.0415) == "0.042"
    assert count_text(2658170) == "2\u202f658\u202f170"
    assert [duration(s) for s in (31.2, 600, 7200)] == ["31 s", "10 min", "2.0 h"]


def test_the_title_says_what_labels_rest_on_and_the_end_where_the_list_comes_from() -> None:
    source = {"converter": "vindr-mammo", "version": "0.1.0", "label_rule": "BI-RADS 4 and 5", "split": "held out",
              "counts": {"exams": 12}, "left_out": {"repeated views": 3}, "licence": "credentialed"}
    study = complete({"title": "A study", "dataset": {"truth": "birads", "source": source}})
    assert study["title"] == "A study, labels by BI-RADS of readers, not by pathology"
    assert study["positive"] == "suspicious"
    assert study["source"] == {"Datalist": "converter vindr-mammo, version 0.1.0", "Label rule": "BI-RADS 4 and 5",
                               "Split": "held out", "Licence of the data": "credentialed", "In the list": "exams 12",
                               "Left out": "repeated views 3"}
    assert complete({"title": "A study"})["title"] == "A study"


def test_one_fold_is_one_fold() -> None:
    found = {"n": 9, "malignant": 4, "label": "A", "auroc": {"mean": 0.8, "ci95": [0.7, 0.9]}}
    for folds, total, says in (([0], 1, "1 fold was run; it tests 9"), ([0], 5, "1 of 5 folds was run; it tests 9"),
                               ([0], None, "1 fold was run; it tests"), ([0, 1], 2, "All 2 folds were run; together"),
                               ([0, 1], 5, "2 of 5 folds were run; together they test 9")):
        study = complete({"title": "t", "fold_count": total})
        assert says in summary_text(study, {"folds": folds, "variants": {"a": found}})
