"""The page in a browser: a photo is dropped, corrected in every way, undone and exported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ecg_trt.errors import NO_DIAGNOSIS
from tests.server.browser import CHROMIUM, DRIVER, Page, open_browser
from tests.server.running import PHOTO, running, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver on this machine"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with the true digitizer."""
    with running(tmp_path_factory.mktemp("server"), token="word") as address:
        yield address


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[Any]:
    pytest.importorskip("selenium")
    with open_browser(downloads) as driver:
        yield driver


@pytest.fixture
def page(browser: Any, address: str) -> Page:
    browser.get("about:blank")
    browser.get(f"{address}/#token=word")
    page = Page(browser)
    browser.execute_script("sessionStorage.removeItem('ecg-trt-records')")
    browser.refresh()
    until(lambda: page.all(".format"))
    return page


def test_a_photo_is_read_corrected_undone_and_exported(page: Page, downloads: Path) -> None:
    assert "token" not in page.browser.current_url
    assert "not a medical device" in page.one("#notice").text
    page.send(PHOTO)
    until(lambda: page.all(".curve.good"))
    assert page.value("document.querySelector('[data-key=layout]').value") == "3x4+1"

    page.choose("[data-key=gain]", "20")
    assert "set by you" in page.one(".settings").text
    page.rename(1, "V9")
    label = page.value("document.querySelectorAll('.name-button')[1].getAttribute('aria-label')")
    assert label.startswith("V9") and "set by you" in label

    flat = page.one("#flat")
    page.one("[data-tool=leave-out]").click()
    page.drag(flat, (40, 0), (30, 2), start=(-60, -40))
    page.one("[data-tool=redraw]").click()
    page.drag(flat, (20, -15), (20, 25), (20, -10), start=(60, 20))
    page.one("[data-tool=move]").click()
    page.drag(page.all(".zero-line .grip")[3], (0, -6), (0, -6))
    assert [item.text.split(":")[0] for item in page.all(".stretches li")] == ["Not used", "Drawn by you"]
    assert len(page.all(".zero-line.is-set")) == len(page.all(".left-out")) == len(page.all(".redrawn")) == 1

    before = page.value("document.querySelector('#flat image').getAttribute('href')")
    page.drag(page.all(".handle.corner .dot")[3], (-4, 4), (-3, 4))
    assert page.value("document.querySelector('#flat image').getAttribute('href')") != before
    assert not page.all(".left-out")  # It belonged to the page as it lay before.
    page.corrected(page.one("#undo").click)
    assert len(page.all(".left-out")) == 1
    for _ in range(5):
        page.corrected(page.one("#undo").click)
    assert page.one("#undo").get_property("disabled")
    assert not page.all(".badge.set:not([hidden]), .zero-line.is-set, .stretches li")
    page.corrected(page.one("#redo").click)
    assert page.value("document.querySelector('[data-key=gain]').value") == "20"

    page.one("[data-action=export]").click()
    page.one("input[value=edf]").click()
    page.one("#export button[value=export]").click()
    archive = downloads / "photo.zip"
    until(archive.exists)
    assert not complaints(page.browser)


def test_a_key_that_is_held_moves_a_zero_line_by_all_its_steps(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.send(PHOTO)
    until(lambda: page.all(".curve.good"))
    height = "Number(document.querySelector('.zero-line').getAttribute('aria-valuenow'))"
    before = page.value(height)
    page.browser.execute_script("document.querySelector('.zero-line').focus()")
    keys = page.actions()
    for _ in range(20):
        keys = keys.send_keys(Keys.ARROW_DOWN).pause(0.03)
    page.corrected(keys.perform)
    until(lambda: page.value(height) == pytest.approx(before + 20 * 0.25, abs=0.06), 10)
    page.corrected(page.one("#undo").click)
    assert page.value(height) == before and page.one("#undo").get_property("disabled")


def test_a_page_is_analyzed_when_it_is_asked_for(page: Page) -> None:
    page.send(PHOTO)
    until(lambda: page.all(".curve.good"))
    page.one("[data-key=analyze]").click()
    until(lambda: len(page.all("#analysis img")) == 2)
    until(lambda: page.value("[...document.querySelectorAll('#analysis img')].every((image) => image.naturalWidth)"))
    text = page.one("#analysis").text
    assert NO_DIAGNOSIS in text and "S is not reliable" in text and "QRS axis" in text
    page.one("#analysis button[value=close]").click()
    until(lambda: not page.one("#analysis").is_displayed())
    assert not complaints(page.browser)


def test_a_session_is_saved_and_opened(page: Page, downloads: Path) -> None:
    page.send(PHOTO)
    until(lambda: page.all(".curve.good"))
    page.choose("[data-key=speed]", "50")
    page.one("[data-action=save-session]").click()
    saved = downloads / "ecg_session.json"
    until(saved.exists)
    session = json.loads(saved.read_text())
    assert session["photos"][0]["pages"][0]["corrections"]["speed"] == 50
    page.one("[aria-label='Delete this record']").click()
    until(lambda: not page.all(".item"))
    page.one("#choose-session").send_keys(str(saved))
    until(lambda: page.all("[data-key=speed]"))
    until(lambda: page.value("document.querySelector('[data-key=speed]').value") == "50")
    assert not complaints(page.browser)


def test_what_fails_has_a_reason_and_may_be_tried_again(page: Page, tmp_path: Path) -> None:
    noise, text = tmp_path / "noise.png", tmp_path / "notes.txt"
    Image.fromarray(np.random.default_rng(0).integers(120, 140, (500, 700, 3), np.uint8)).save(noise)
    text.write_text("no picture")
    page.send(noise, text)
    # The panel may be drawn anew between two questions of the driver: its text is taken in one.
    poor = "document.querySelector('#panel .card.poor')?.innerText ?? ''"
    until(lambda: "No ECG page found" in page.value(poor))
    assert len(until(lambda: page.all(".handle.corner"))) == 4
    assert page.one("#rotation").get_property("disabled") and not page.one(".layers").is_displayed()
    page.one("#panel button[type=submit]").click()
    until(lambda: page.all(".toast"))
    page.all(".item")[1].click()
    until(lambda: "notes.txt is not an image" in page.value("document.querySelector('#panel').innerText"))


def test_two_fingers_zoom_wherever_they_begin(page: Page) -> None:
    page.send(PHOTO)
    until(lambda: page.all(".curve.good"))
    before = page.value("document.querySelector('#flat').viewBox.baseVal.width")
    found = (".name-button:nth-child(6)", ".zero-line:nth-child(3) .grip")
    label, line = (page.value(f"document.querySelector('{f}').getBoundingClientRect().toJSON()") for f in found)
    (ax, ay), (bx, by) = ((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in (label, line))

    def touch(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
        page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    touch("touchStart", (ax, ay))
    touch("touchStart", (ax, ay), (bx, by))
    for step in range(1, 11):
        touch("touchMove", (ax - 5 * step, ay - 5 * step), (bx + 5 * step, by + 5 * step))
    touch("touchEnd")
    assert page.value("document.querySelector('#flat').viewBox.baseVal.width") < 0.9 * before
    assert page.one("#undo").get_property("disabled")  # Neither the name nor the zero line was touched.
    assert not page.one("#names").get_property("open")


def test_the_page_asks_for_a_token(browser: Any, address: str) -> None:
    browser.get("about:blank")
    browser.get(address)
    browser.execute_script("sessionStorage.clear()")
    browser.refresh()
    page = Page(browser)
    until(lambda: page.one("#token").is_displayed())
    page.one("#token-value").send_keys("word")
    page.one("#token button[value=ok]").click()
    until(lambda: page.all(".format"))


def complaints(browser: Any) -> list[str]:
    """Errors of the console, such as of the policy for scripts and styles."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
