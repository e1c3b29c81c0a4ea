"""Documentation: every page is in the site's navigation, every link leads somewhere, tables are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ecg_trt.io.readers import format_names
from ecg_trt.io.writers import WRITERS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [*sorted((ROOT / "docs").glob("*.md")), README, ROOT / "CONTRIBUTING.md", ROOT / "train" / "README.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors_of(page: Path) -> set[str]:
    """Anchors that GitHub and MkDocs give the headings of a page."""
    text = FENCE.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def between(text: str, mark: str) -> str:
    return text.split(f"<!-- {mark} -->")[1].split(f"<!-- /{mark} -->")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors_of(target), f"{page.name} links to {link}"


def test_every_page_is_in_the_navigation():
    nav = re.findall(r"^ +- .+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= set(nav)
    assert len(nav) == len(set(nav))


def test_the_index_names_every_page():
    text = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= set(LINK.findall(text))


def test_readme_lists_what_is_read():
    assert between(README.read_text("utf-8"), "formats") == format_names()


def test_readme_lists_what_is_written(request):
    """With --update-golden the table is written anew."""
    rows = [
        f"| `{writer.name}` | {', '.join(f'`{suffix}`' for suffix in writer.suffixes)} | {writer.summary} "
        f"| {f'`{writer.extra}`' if writer.extra else ''} |"
        for writer in WRITERS.values()
    ]
    table = "\n".join(["", "", "| `--format` | files | content | extra |", "|---|---|---|---|", *rows, "", ""])
    text = README.read_text("utf-8")
    if request.config.getoption("--update-golden"):
        before, after = text.split("<!-- written -->")[0], text.split("<!-- /written -->")[1]
        README.write_text(f"{before}<!-- written -->{table}<!-- /written -->{after}", "utf-8")
    assert between(README.read_text("utf-8"), "written") == table
