"""The page with every exam: what its rows say, that it tells no more, and how it works in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import Browser, find
from PIL import Image
from written_study import PATIENTS, PRIVATE, edit, write_run

from pipeline.explain.stacks import save_stack
from pipeline.report.analyse import analyse
from pipeline.report.exams import cases, write_exams
from pipeline.report.predictions import load_run

HOSTILE = "E</script><img src=x onerror=alert(1)>\"'&"


def slices(run: Path, exam_id: str, side: str, variant: str = "main", hot: int = 3) -> None:
    """Six slices, of which slice `hot` is warm and slice 2 has a marked centre."""
    image = np.stack([np.full((8, 10), z / 5) for z in range(6)])
    heat = np.zeros((6, 8, 10))
    heat[hot] = 0.9
    save_stack(run / variant / "fold0", {"exam_id": exam_id, "side": side}, image, heat, [(4.0, 5.0, 2)], [1],
               range(30, 18, -2), 40)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose first exam has a hostile name, with slices of that and of another one; and its page."""
    run = write_run(tmp_path_factory.mktemp("exams") / "run")
    for variant in ("main", "base_a", "base_b"):
        edit(run / variant / "fold0" / "predictions.csv", lambda t: t["exam_id"] == "E0t000", "exam_id", HOSTILE)
    slices(run, "E0t001", "L")
    slices(run, "E0t001", "L", variant="base_a", hot=0)  # of two variants' the first one's is shown
    loaded = load_run(run)
    write_exams(loaded, analyse(loaded, 100))
    return run


def content(run: Path) -> dict[str, Any]:
    page = (run / "exams.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_a_row_says_what_the_tables_and_the_threshold_say(written: Path) -> None:
    data = content(written)
    assert len(data["cases"]) == 2 * 2 * PATIENTS * 2  # folds, splits, patients, sides
    assert data["variants"] == ["Main", "Base a", "Base b"]
    loaded = load_run(written)
    metrics = analyse(loaded, 100)
    test = loaded.part("main", 1, "test")
    cut = metrics["variants"]["main"]["threshold"][1]
    rows = {(c["exam_id"], c["side"]): c for c in data["cases"]}
    for _, row in test.iterrows():
        case = rows[row["exam_id"], row["side"]]
        assert (case["label"], case["fold"], case["split"]) == (row["label"], 1, "test")
        assert case["scores"][0] == pytest.approx(row["score"], abs=5e-5)
        assert case["calls"][0] == int(row["score"] >= cut)
        assert case["groups"] == {"density": row["group_density"], "age": row["group_age"]}
        others = test.loc[test["label"] != row["label"], "score"]
        wrong = (others > row["score"]) if row["label"] else (others < row["score"])
        assert case["surprise"][0] == pytest.approx(wrong.mean(), abs=0.02)  # ties count half


def test_slices_belong_to_their_case_and_are_those_of_the_first_variant(written: Path) -> None:
    data = content(written)
    (case,) = [c for c in data["cases"] if c["pictures"]]
    assert (case["exam_id"], case["side"]) == ("E0t001", "L")
    (picture,) = [data["pictures"][p] for p in case["pictures"]]
    assert picture["numbers"] == [30, 28, 26, 24, 22, 20] and picture["total"] == 40 and picture["shown"] == 2
    assert picture["points"] == [[4.0, 5.0, 2, 1]]
    strip = np.asarray(Image.open(written / "exams" / f"{picture['file']}_image.png"))
    assert strip.shape == (48, 10) and strip[::8, 0].tolist() == [0, 51, 102, 153, 204, 255]
    heat = np.asarray(Image.open(written / "exams" / f"{picture['file']}_heat.png").convert("RGBA"))
    assert heat[:24, :, 3].max() == 0 and heat[24:32, :, 3].min() > 150  # only slice 3 is covered


def test_boxes_of_every_detector_stand_beside_the_map(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", folds=(0,))
    slices(run, "E0t001", "L")
    thin = [[2.0, 1.0, 0.5, 0.5, 2, 4, 0, 0.2]]  # a voxel of an image that is shown at half its size
    box = [[2.0, 1.0, 4.0, 3.0, 2, 4, 1, 0.93]]
    for variant, boxes in (("base_a", box), ("base_b", thin)):
        save_stack(run / variant / "fold0", {"exam_id": "E0t001", "side": "L"}, np.zeros((6, 8, 10)), None,
                   boxes=np.array(boxes).reshape(-1, 8))
    loaded = load_run(run)
    write_exams(loaded, analyse(loaded, 100))
    data = content(run)
    (case,) = [c for c in data["cases"] if c["pictures"]]
    heat, first, second = (data["pictures"][p] for p in case["pictures"])
    assert [p["variant"] for p in (heat, first, second)] == ["Main", "Base a", "Base b"]
    assert "boxes" not in heat and (first["boxes"], second["boxes"]) == (box, thin) and first["shown"] == 3
    thumb = np.asarray(Image.open(run / "exams" / f"{first['file']}_thumb.jpg").convert("RGB")).astype(int)
    drawn = thumb[:, :, 0] - thumb[:, :, 2] > 60  # orange, on black: 9.6 pixels of the thumbnail are one
    assert drawn[10:38, 18:58].mean() > 0.05 and not drawn[50:].any() and not drawn[:, 70:].any()
    assert not (run / "exams" / f"{first['file']}_heat.png").exists()


def test_views_of_an_exam_are_all_its_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", folds=(0,))
    for variant in ("main", "base_a", "base_b"):
        path = run / variant / "fold0" / "predictions.csv"
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table[table["side"] == "L"].assign(side="").to_csv(path, index=False)
    for view in ("L-CC", "R-MLO"):
        save_stack(run / "main" / "fold0" / "regions", {"exam_id": "E0t001", "side": view[0], "image_id": view},
                   np.ones((1, 8, 10)), None)
    loaded = load_run(run)
    (case,) = [c for c in cases(loaded, analyse(loaded, 100)) if c["stacks"]]
    assert [path.stem for path in case["stacks"]] == ["E0t001_L_L-CC", "E0t001_R_R-MLO"]


def test_no_patient_no_path_and_nothing_from_elsewhere(written: Path) -> None:
    page = (written / "exams.html").read_text(encoding="utf-8")
    for private in ("SECRET", PRIVATE, str(written)):
        assert private not in page
    assert not re.search(r'(src|href)="(?!report\.html)', page) and "http" not in page.replace(
        "http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert HOSTILE not in page and page.count("</script>") == 2
    assert all("E0t001" not in path.name for path in (written / "exams").iterdir())


def test_pictures_are_kept_where_they_are_right_and_removed_where_not(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    slices(run, "E0t001", "L")
    slices(run, "E0t002", "L")
    loaded = load_run(run)
    metrics = analyse(loaded, 100)
    write_exams(loaded, metrics)
    before = {path: path.stat().st_mtime_ns for path in (run / "exams").iterdir()}
    (run / "main" / "fold0" / "stacks" / "E0t002_L.npz").unlink()
    (run / "exams" / "mine.txt").write_text("left alone")
    write_exams(loaded, metrics)
    after = {path: path.stat().st_mtime_ns for path in (run / "exams").iterdir() if path.suffix != ".txt"}
    assert len(before) == 6 and len(after) == 3 and after.items() <= before.items()
    assert (run / "exams" / "mine.txt").is_file()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if find() is None:
        pytest.skip("no Chromium is installed")
    started = Browser(tmp_path / "profile")
    yield started
    started.close()


COLUMN = "[...document.querySelectorAll('tbody tr')].map(row => row.cells[{0}].textContent)"


@pytest.mark.e2e
def test_in_a_browser_sorting_filters_slices_and_keys(written: Path, browser: Browser) -> None:
    browser.open(written / "exams.html")
    surprise = [float(text) for text in browser.run(COLUMN.format(4))]
    assert surprise == sorted(surprise, reverse=True) and len(surprise) == 150  # more come with the scroll
    assert browser.run("[share(1), share(null), number(5)]") == ["1.000", "", "5"]  # readers give whole numbers
    browser.click("thead th:nth-child(6) button")  # Main's score
    down = [float(text) for text in browser.run(COLUMN.format(5))]
    browser.click("thead th:nth-child(6) button")
    up = [float(text) for text in browser.run(COLUMN.format(5))]
    assert down == sorted(down, reverse=True) and up == sorted(up)
    assert browser.run("document.querySelector('th[aria-sort]').textContent") == "Main"
    # A filter by words and one by outcome
    browser.click("#find")
    browser.write("no such exam")
    assert browser.run("document.getElementById('count').textContent") == "0 of 480"
    browser.run("document.getElementById('find').value = ''")
    browser.write("e0t001 l")
    assert browser.run(COLUMN.format(1)) == ["E0t001 L"]
    browser.run("(() => { document.getElementById('find').value = ''; const o = document.getElementById('outcome'); "
                "o.value = 'FN'; o.dispatchEvent(new Event('input', {bubbles: true})); })()")
    assert set(browser.run(COLUMN.format(3))) == {"FN"} and set(browser.run(COLUMN.format(2))) == {"malignant"}
    browser.run("document.getElementById('outcome').value = ''")
    browser.click("#find")
    browser.write("e0t001 l")
    # Of a validation case no slices are kept, and that is said
    browser.run("(() => { document.getElementById('find').value = 'e0v001 l'; "
                "const s = document.getElementById('split'); "
                "s.value = ''; s.dispatchEvent(new Event('input', {bubbles: true})); })()")
    browser.click("tbody tr")
    assert browser.run("document.getElementById('slice').textContent").endswith("keeps those of test cases.")
    browser.press("Escape", 27)
    browser.run("document.getElementById('find').value = ''")
    browser.click("#find")
    browser.write("e0t001 l")
    # The keyboard opens it, moves through its slices, and closes it
    browser.run("document.querySelector('tbody tr').focus()")
    browser.press("Enter", 13, "\r")
    assert browser.run("document.getElementById('viewer').open") is True
    said = "document.getElementById('slice').textContent"
    assert browser.run(said) == "Slice 26 of 0–39, as the exam’s file counts"
    assert browser.run("document.querySelectorAll('#marks circle').length") == 1
    browser.run("document.getElementById('close').focus()")
    browser.press("ArrowRight", 39)
    assert browser.run(said).startswith("Slice 24 of") and not browser.run(
        "document.querySelectorAll('#marks circle').length")
    browser.run("document.getElementById('opacity').focus()")
    browser.press("Home", 36)
    assert browser.run("document.getElementById('heat').style.opacity") == "0"
    browser.run("document.getElementById('bright').focus()")
    browser.press("End", 35)
    assert browser.run("document.getElementById('image').style.filter") == "brightness(5)"
    shown = browser.run("new Promise(done => { const i = new Image(); i.onload = () => done(i.naturalHeight); i.src = "
                        "getComputedStyle(document.getElementById('heat')).backgroundImage.slice(5, -2); })")
    assert shown == 48
    browser.press("Escape", 27)
    assert browser.run("document.getElementById('viewer').open") is False
    assert not browser.said and all(address.startswith("file://") for address in browser.asked)


@pytest.mark.e2e
def test_in_a_browser_boxes_have_class_and_score_and_the_score_s_variant_is_shown(tmp_path: Path,
                                                                                  browser: Browser) -> None:
    run = write_run(tmp_path / "run", folds=(0,))
    slices(run, "E0t001", "L")
    boxes = np.array([[2.0, 1, 4, 3, 2, 4, 1, 0.93], [0, 0, 2, 2, 4, 5, 0, 0.5]])
    save_stack(run / "base_a" / "fold0", {"exam_id": "E0t001", "side": "L"}, np.zeros((6, 8, 10)), None, boxes=boxes)
    loaded = load_run(run)
    write_exams(loaded, analyse(loaded, 100))
    browser.open(run / "exams.html")
    browser.run("(() => { const v = document.getElementById('variant'); v.value = '1'; "
                "v.dispatchEvent(new Event('input', {bubbles: true})); })()")
    browser.click("#find")
    browser.write("e0t001 l")
    browser.click("tbody tr")
    texts = "[...document.querySelectorAll('#marks text')].map(text => text.textContent)"
    assert browser.run("document.querySelector('#pictures [aria-pressed=true]').textContent") == "Base a"
    assert browser.run(texts) == ["malignant 0.93"]
    assert browser.run("document.querySelectorAll('#marks rect').length") == 1
    assert browser.run("document.getElementById('slice').textContent").endswith("1 of the detector’s 2 boxes")
    browser.press("ArrowRight", 39)
    assert browser.run(texts) == ["benign 0.50", "malignant 0.93"]  # the surest lies on top
    browser.click("#pictures button")
    assert browser.run(texts) == [] and browser.run("document.querySelectorAll('#marks circle').length") == 1
    assert not browser.said


@pytest.mark.e2e
def test_in_a_browser_a_hostile_exam_id_is_a_text(written: Path, browser: Browser) -> None:
    browser.open(written / "exams.html")
    browser.click("#find")
    browser.write("onerror")
    assert set(browser.run(COLUMN.format(1))) == {f"{HOSTILE} L", f"{HOSTILE} R"}
    browser.run("document.querySelector('tbody tr').focus()")
    browser.press("Enter", 13, "\r")
    assert HOSTILE in browser.run("document.getElementById('name').textContent")
    assert browser.run("document.querySelectorAll('img[src=x]').length") == 0 and not browser.said


@pytest.mark.e2e
def test_in_a_browser_a_thousand_exams_open_within_a_second(written: Path, tmp_path: Path, browser: Browser) -> None:
    page = (written / "exams.html").read_text(encoding="utf-8")
    data = content(written)
    data["cases"] = [{**data["cases"][i % len(data["cases"])], "exam_id": f"E{i // 2:04d}", "side": "LR"[i % 2],
                      "split": "test"}
                     for i in range(2000)]
    text = json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e")
    start = page.index('id="data">') + len('id="data">')
    (tmp_path / "exams.html").write_text(page[:start] + text + page[page.index("</script>", start):], encoding="utf-8")
    browser.open(tmp_path / "exams.html")
    assert browser.run("document.getElementById('count').textContent") == "2000 of 2000"
    timing = browser.run("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert timing < 1000, f"{timing:.0f} ms"
