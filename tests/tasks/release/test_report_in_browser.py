"""The report in a real Chromium: it renders alone, by keyboard, on a phone, on paper, and for assistive technology."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.report_screenshot import FLAGS, HEIGHT, LARGEST, PICTURE, WIDTH, chromium, screenshot
from tasks.release.report import render_report
from tests.conftest import ROOT
from tests.tiny_pipeline import CONDITIONS, TinyPipeline, publish_tiny
from warehouse.errors import EinthovenError
from warehouse.release.content import ReleaseDescription, gather
from warehouse.release.worst_conditions import WORST_SHOWN
from warehouse.storage.manifest import MANIFEST
from warehouse.storage.store import Store

DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 375, "height": 812}
MARGIN_MM = 10
A4_PX = {"width": 718, "height": 1047}
"""What margins leave of A4, at the 96 pixels an inch of CSS."""
MANY = 300
"""Rows of single conditions, as a cohort of a hundred statements has them."""
FOCUSABLE = "a[href], summary, [tabindex='0']"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a cohort whose evaluation has hundreds of rows of single conditions."""
    folder = tmp_path_factory.mktemp("report")
    store = Store(str(folder / "warehouse"))
    inputs = TinyPipeline(store).commit()
    description = ReleaseDescription("tiny", "Tiny cohort", "CC-BY-4.0", "Tests", "Nobody 2026", steward="Ada Example")
    content = gather(store, description, inputs, "v3", "0123456789abcdef", datetime(2026, 1, 2, tzinfo=UTC))
    about: dict[str, Any] = {"aspect": "fidelity", "subject": "synthetic, rule", "unit": "share", "n": 20, "seed": 1}
    ends = {"low": 0.4, "high": 0.6, "reference": 0.5, "flag": None}
    rows = [
        {**about, **ends, "condition": list(CONDITIONS)[number % 3], "metric": f"rule {number}", "value": number / MANY}
        for number in range(MANY)
    ]
    content = replace(content, evaluation=[*content.evaluation, *rows])
    path = folder / "report.html"
    path.write_text(render_report(store, content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as engines:
        opened = engines.chromium.launch(executable_path=chromium(), headless=True, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """The report at the width of a desk; whatever it says or asks for is in `page.said` and `page.asked`."""
    with browser.new_context(viewport=DESKTOP) as context:
        opened = context.new_page()
        opened.said, opened.asked = [], []  # type: ignore[attr-defined]
        opened.on("console", lambda message: opened.said.append(message.text))  # type: ignore[attr-defined]
        opened.on("pageerror", lambda error: opened.said.append(str(error)))  # type: ignore[attr-defined]
        opened.on("request", lambda request: opened.asked.append(request.url))  # type: ignore[attr-defined]
        opened.goto(report.as_uri())
        yield opened


def overflowing(page: Page, selector: str) -> list[str]:
    """Elements that are wider than what shows them."""
    script = "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    return page.eval_on_selector_all(selector, script)


def test_it_renders_without_an_error_and_asks_for_nothing_but_itself(page: Page, report: Path) -> None:
    assert page.said == []  # type: ignore[attr-defined]
    outside = [url for url in page.asked if not url.startswith("data:")]  # type: ignore[attr-defined]
    assert outside == [report.as_uri()]
    broken = "all => all.filter(image => !image.complete || image.naturalWidth < 100).map(image => image.alt)"
    assert page.eval_on_selector_all("img", broken) == []
    assert page.locator("img").count() >= len(CONDITIONS) + 4


def test_the_first_screen_gives_the_verdict_and_the_steward(page: Page) -> None:
    for shown in ("Verdict: passed.", "Steward: Ada Example", "Who signed what", "What may still go wrong"):
        found = page.get_by_text(shown).first
        box = found.bounding_box()
        assert box and box["y"] + box["height"] <= DESKTOP["height"], shown


def test_hundreds_of_rows_of_conditions_are_a_folded_table_of_the_farthest(page: Page) -> None:
    folded = page.locator("details", has_text=f"{WORST_SHOWN} of {MANY} rows of single conditions")
    assert folded.count() == 1 and not folded.locator("table").is_visible()
    folded.locator("summary").click()
    assert folded.locator("tbody tr").count() == WORST_SHOWN
    assert folded.locator("tbody tr").first.locator("td").first.inner_text() == "rule 0, synthetic, rule"
    assert page.locator("table tbody").filter(has_text="rule 150").count() == 0


def test_the_keyboard_reaches_everything_in_the_order_of_the_page_and_shows_where_it_is(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    marked = "all => all.forEach((element, number) => element.dataset.order = number)"
    page.eval_on_selector_all(FOCUSABLE, marked)
    count = page.locator(FOCUSABLE).count()
    assert count > 20
    reached = []
    for _ in range(count):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("Number(document.activeElement.dataset.order)"))
        seen = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(seen) != "none", page.evaluate("document.activeElement.outerHTML.slice(0, 80)")
    assert reached == list(range(count))


def test_the_skip_link_and_a_folded_table_work_by_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.locator(".skip").bounding_box()["x"] > 0  # type: ignore[index]
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.get_attribute("open") is not None


def test_a_phone_scrolls_down_only(page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.evaluate("scrollTo(200, 0)")
    assert page.evaluate("scrollX") == 0
    small = "all => all.filter(e => parseFloat(getComputedStyle(e).fontSize) < 11).map(e => e.outerHTML.slice(0, 80))"
    assert page.eval_on_selector_all("p, li, td, th, small, figcaption", small) == []


def test_it_prints_on_a4_with_nothing_cut(page: Page, tmp_path: Path) -> None:
    page.set_viewport_size(A4_PX)  # type: ignore[arg-type]
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= A4_PX["width"]
    assert overflowing(page, ".scroll, pre, figure") == []
    margins: Any = dict.fromkeys(("top", "right", "bottom", "left"), f"{MARGIN_MM}mm")
    printed = page.pdf(path=tmp_path / "report.pdf", format="A4", margin=margins)
    pages = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)
    assert 4 <= len(pages) <= 20
    assert {(round(float(width)), round(float(height))) for width, height in pages} <= {(596, 843), (595, 842)}


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_violation(page: Page, viewport: dict[str, int]) -> None:
    page.set_viewport_size(viewport)  # type: ignore[arg-type]
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = Axe().run(page).response
    assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found["violations"]] == []


def test_the_screenshot_in_the_documents_is_taken_of_a_simulated_release_only(report: Path, tmp_path: Path) -> None:
    for name, simulated in (("simulated", True), ("people", False)):
        store = Store(str(tmp_path / f"warehouse of {name}"))
        release = publish_tiny(store, TinyPipeline(store, simulated=simulated).commit(), name)
        (tmp_path / name).mkdir()
        (tmp_path / name / MANIFEST).write_bytes((release / MANIFEST).read_bytes())
        (tmp_path / name / "report.html").write_bytes(report.read_bytes())
    taken = tmp_path / "report.png"
    command = [sys.executable, "-m", "benchmarks.report_screenshot", str(tmp_path / "simulated"), "--out", str(taken)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for picture in (taken, PICTURE):
        with Image.open(picture) as opened:
            assert opened.size == (WIDTH, HEIGHT) and len(opened.getcolors() or []) > 10
        assert picture.stat().st_size < LARGEST
    with pytest.raises(EinthovenError, match="learned from recordings of people"):
        screenshot(tmp_path / "people", tmp_path / "refused.png")
    assert not (tmp_path / "refused.png").exists()
