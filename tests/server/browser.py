"""The page in a headless Chromium, as its user sees it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.server.running import until

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
_ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
# Notes in `corrections` the ms from the last act of the user before each correction to the frame after its redrawing.
_WATCH = """
if (window.corrections) return;
window.corrections = [];
let [acted, start, was] = [0, 0, false];
for (const type of ["pointerup", "change", "click", "keydown"]) {
  addEventListener(type, (event) => { acted = event.timeStamp; }, true);
}
new MutationObserver(() => {
  const is = document.body.classList.contains("is-correcting");
  if (is && !was) start = acted;
  if (was && !is) requestAnimationFrame(() => setTimeout(() => window.corrections.push(performance.now() - start)));
  was = is;
}).observe(document.body, { attributes: true, attributeFilter: ["class"] });
"""


@contextmanager
def open_browser(downloads: Path, *, size: tuple[int, int] = (1600, 1000)) -> Iterator[Any]:
    """Open a browser that is driven by selenium, and close it.

    Args:
        downloads: folder of the files that it saves.
        size: (width, height) of its window, px.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in (*_ARGUMENTS, "--window-size={},{}".format(*size)):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page as its user sees it.

    Args:
        browser: that shows it.
    """

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

    def drag(self, element: Any, *steps: tuple[int, int], start: tuple[int, int] = (0, 0)) -> float:
        chain = self.actions().move_to_element_with_offset(element, *start).click_and_hold()
        for step in steps:
            chain = chain.move_by_offset(*step)
        return self.corrected(chain.release().perform)

    def choose(self, selector: str, value: str) -> float:
        from selenium.webdriver.support.ui import Select

        return self.corrected(lambda: Select(self.one(selector)).select_by_value(value))

    def rename(self, lead: int, name: str) -> float:
        """Give the lead of a number, in the order of the page, another name."""
        self.all(".name-button")[lead].click()
        until(lambda: self.one("#names").is_displayed())
        return self.corrected(next(button for button in self.all("#names button") if button.text == name).click)

    def corrected(self, act: Callable[[], Any]) -> float:
        """Act, wait until what follows from it is drawn, and return the ms that this took."""
        self.browser.execute_script(_WATCH)
        before = self.value("corrections.length")
        act()
        until(lambda: self.value("corrections.length") > before)
        until(lambda: not self.value("document.body.classList.contains('is-correcting')"))
        assert not self.all(".toast"), self.one(".toast").text
        return float(self.value("corrections.at(-1)"))
