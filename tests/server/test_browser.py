"""The page in a browser: a photo is dropped, corrected in every way, undone and exported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ecg_trt.errors import NO_DIAGNOSIS
from tests.server.running import PHOTO, running, until

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")

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
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=1600,1000")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path_factory.mktemp("downloads"))})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.downloads = Path(options.experimental_options["prefs"]["download.default_directory"])
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page as its user sees it."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def value(self, expression: str) -> Any:
        return self.browser.execute_script(f"return {expression}")

    def send(self, *paths: Path) -> None:
        count = len(self.all(".item")) + len(paths)
        self.one("#choose").send_keys("\n".join(map(str, paths)))
        until(lambda: len(self.all(".item.done, .item.failed")) >= count)

    def actions(self) -> Any:
        from selenium.webdriver import ActionChains

        return ActionChains(self.browser)

    def drag(self, element: Any, *steps: tuple[int, int], start: tuple[int, int] = (0, 0)) -> None:
        chain = self.actions().move_to_element_with_offset(element, *start).click_and_hold()
        for step in steps:
            chain = chain.move_by_offset(*step)
        self.corrected(chain.release().perform)

    def choose(self, selector: str, value: str) -> None:
        from selenium.webdriver.support.ui import Select

        self.corrected(lambda: Select(self.one(selector)).select_by_value(value))

    def corrected(self, act: Callable[[], Any]) -> None:
        """Act, and wait until the server has applied what follows from it."""
        act()
        until(lambda: self.value("document.body.classList.contains('is-correcting')"), 5)
        until(lambda: not self.value("document.body.classList.contains('is-correcting')"))
        assert not self.all(".toast"), self.one(".toast").text

    def curve_at(self, row: int, column: int) -> str:
        return str(
            self.value(f"document.querySelectorAll('.name-button')[{4 * row + column}].getAttribute('aria-label')")
        )


@pytest.fixture
def page(browser: Any, address: str) -> Page:
    browser.get("about:blank")
    browser.get(f"{address}/#token=word")
    page = Page(browser)
    browser.execute_script("sessionStorage.removeItem('ecg-trt-records')")
    browser.refresh()
    until(lambda: page.all(".format"))
    return page


def test_a_photo_is_read_corrected_undone_and_exported(page: Page) -> None:
    assert "token" not in page.browser.current_url
    assert "not a medical device" in page.one("#notice").text
    page.send(PHOTO)
    until(lambda: page.all(".curve.good"))
    assert page.value("document.querySelector('[data-key=layout]').value") == "3x4+1"

    page.choose("[data-key=gain]", "20")
    assert "set by you" in page.one(".settings").text
    page.all(".name-button")[1].click()
    until(lambda: page.one("#names").is_displayed())
    page.corrected(next(button for button in page.all("#names button") if button.text == "V9").click)
    assert page.curve_at(0, 1).startswith("V9")
    assert "set by you" in page.curve_at(0, 1)

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
    archive = page.browser.downloads / "photo.zip"
    until(archive.exists)
    assert not complaints(page.browser)


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


def test_a_session_is_saved_and_opened(page: Page, tmp_path: Path) -> None:
    page.send(PHOTO)
    until(lambda: page.all(".curve.good"))
    page.choose("[data-key=speed]", "50")
    page.one("[data-action=save-session]").click()
    saved = page.browser.downloads / "ecg_session.json"
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
