"""Time from a correction to its answer: `python benchmarks/corrections.py`.

A server on this machine reads `examples/photo.jpg`, which is then corrected in each way and set back again. Over HTTP
the time is that of the request, and the CPU's of the server with its process. In the page, by Chromium without a
window, it goes from the last act of the user to the frame in which the trace is drawn anew.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import spread, write_results
from tests.server.browser import CHROMIUM, DRIVER, Page, open_browser
from tests.server.running import PHOTO, running, until

GOAL_MS = 1000.0  # For what needs no network.
_BOUNDARY = "a photo of a paper ECG"
_SHIFT_MM, _SHIFT_PX = 1.0, 3.0


def call(method: str, url: str, body: bytes | None = None, kind: str = "application/json") -> Any:
    """Send a request, and parse its answer."""
    with urlopen(Request(url, body, {"Content-Type": kind}, method=method), timeout=300) as answer:
        return json.load(answer)


def upload(url: str) -> str:
    """Have the photo read, and return the URL of its record."""
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{PHOTO.name}"\r\n\r\n'
    body = head.encode() + PHOTO.read_bytes() + f"\r\n--{_BOUNDARY}--\r\n".encode()
    kind = f'multipart/form-data; boundary="{_BOUNDARY}"'
    return f"{url}/v1/records/{call('POST', f'{url}/v1/records?wait=120', body, kind)['records'][0]['id']}"


def corrections_of(drawing: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """One correction of each kind, by the drawing of the page; the networks must run for the last two."""
    row = drawing["rows"][1]
    left, curve = row["x_mm"][0], row["curve"]
    points = [(curve["x_mm"] + k * curve["step_mm"], y) for k, y in enumerate(curve["y_mm"]) if y is not None]
    x, y = zip(*points[len(points) // 4 : len(points) // 2], strict=True)
    return {
        "gain": {"gain": 20},
        "speed": {"speed": 50},
        "zero line": {"zero_lines": [{"row": 1, "y_mm": row["zero_y_mm"] + _SHIFT_MM}]},
        "lead name": {"names": [{"row": 0, "column": 1, "lead": "V9"}]},
        "layout": {"layout": "6x2"},
        "unused stretch": {"left_out": [{"row": 1, "x_mm": [left + 20, left + 40]}]},
        "redrawn stretch": {"redrawn": [{"row": 1, "x_mm": x, "y_mm": y}]},
        "corners": {"corners": [[x + _SHIFT_PX, y + _SHIFT_PX] for x, y in drawing["corners"]]},
        "layout of strips": {"layout": "strips"},
    }


def cpu_s() -> float:
    """CPU time of all processes below this one, s; 0 on systems without /proc."""
    children: dict[int, list[tuple[int, float]]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It has ended meanwhile.
        ticks = int(fields[11]) + int(fields[12])
        children.setdefault(int(fields[1]), []).append((int(stat.parent.name), ticks / os.sysconf("SC_CLK_TCK")))
    total, pending = 0.0, [os.getpid()]
    while pending:
        for pid, seconds in children.get(pending.pop(), []):
            total += seconds
            pending.append(pid)
    return total


def over_http(url: str, repeats: int) -> dict[str, dict[str, Any]]:
    """Wall and CPU ms of each kind of correction, as requests."""
    record = upload(url)
    found = {}
    for kind, correction in corrections_of(call("GET", f"{record}/drawing")).items():
        wall, cpu = [], []
        for _ in range(repeats):
            start, cpu_start = time.perf_counter(), cpu_s()
            call("PATCH", record, json.dumps(correction).encode())
            wall.append(1e3 * (time.perf_counter() - start))
            cpu.append(1e3 * (cpu_s() - cpu_start))
            call("PATCH", record, b"{}")
        found[kind] = {"wall_ms": spread(wall, 0), "cpu_ms": spread(cpu, 0)}
        print(
            f"HTTP  {kind:16} {found[kind]['wall_ms']['median']:6.0f} ms, CPU {found[kind]['cpu_ms']['median']:6.0f} ms"
        )
    return found


def in_page(url: str, repeats: int, folder: Path) -> dict[str, dict[str, float]]:
    """Wall ms of each kind of correction, and of undoing all of them, in the page."""
    found = {}
    with open_browser(folder) as browser:
        browser.get(url)
        page = Page(browser)
        until(lambda: page.all(".format"))
        page.send(PHOTO)
        until(lambda: page.all(".curve.good"))
        undone: list[float] = []
        for kind, act in _acts(page).items():
            taken = []
            for _ in range(repeats):
                taken.append(act())
                undone.append(page.corrected(page.one("#undo").click))
            found[kind] = spread(taken, 0)
            print(f"page  {kind:16} {found[kind]['median']:6.0f} ms")
    return {**found, "undo": spread(undone, 0)}


def _acts(page: Page) -> dict[str, Callable[[], float]]:
    """Acts of a user for each kind of correction; each returns the ms that it took."""
    flat = page.one("#flat")

    def drawn(tool: str, *steps: tuple[int, int]) -> float:
        page.one(f"[data-tool={tool}]").click()
        return page.drag(flat, *steps, start=(-60, -40))

    def moved() -> float:
        page.one("[data-tool=move]").click()
        return page.drag(page.all(".zero-line .grip")[3], (0, -6), (0, -6))

    return {
        "gain": lambda: page.choose("[data-key=gain]", "20"),
        "speed": lambda: page.choose("[data-key=speed]", "50"),
        "zero line": moved,
        "lead name": lambda: page.rename(1, "V9"),
        "layout": lambda: page.choose("[data-key=layout]", "6x2"),
        "unused stretch": lambda: drawn("leave-out", (40, 0), (30, 2)),
        "redrawn stretch": lambda: drawn("redraw", (20, -15), (20, 25), (20, -10)),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as url:
        content: dict[str, Any] = {"goal_ms": GOAL_MS, "repeats": args.repeats}
        content["http"] = over_http(url, args.repeats)
        if CHROMIUM and DRIVER:
            content["page"] = in_page(url, args.repeats, Path(folder))
        print(write_results("corrections", content, args.output))


if __name__ == "__main__":
    main()
