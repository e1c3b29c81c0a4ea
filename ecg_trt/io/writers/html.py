"""HTML pages that stand alone: no file or address is loaded, and text from outside is escaped by construction."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from importlib.resources import files
from typing import TypeAlias
from urllib.parse import quote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ecg_trt.errors import NOTICE

Content: TypeAlias = "Element | str | Iterable[Element | str]"

_POLICY = "default-src 'none'; img-src {images}; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
BESIDE = "'self' file:"
"""Source of pictures that lie beside a page, on a disk or a server."""


def element(tag: str, *content: Content, **attributes: str) -> Element:
    """Make an element.

    Args:
        tag: such as "td".
        content: text and elements, in order, also in lists.
        attributes: an underscore stands for a hyphen, and one at the end for nothing: ``class_``, ``aria_label``.
    """
    made = Element(tag, {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()})
    for part in content:
        for item in (part,) if isinstance(part, (Element, str)) else part:
            _append(made, item)
    return made


def _append(parent: Element, item: Element | str) -> None:
    if isinstance(item, Element):
        parent.append(item)
    elif len(parent):
        parent[-1].tail = (parent[-1].tail or "") + item
    else:
        parent.text = (parent.text or "") + item


def html_page(title: str, *body: Content, script: str = "", images: str = "data:") -> bytes:
    """Make a page with the package's style.

    Args:
        title: of the window; a heading is part of the body.
        body: what is above the footer, which holds the notice.
        script: name of a file in this folder, empty for none.
        images: from where pictures may be loaded; nothing else is.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY.format(images=images)),
        element("title", title),
        element("style", _asset("report.css")),
    )
    notice = element("p", element("strong", f"{NOTICE}."), class_="notice")
    page = element("body", element("main", *body), element("footer", notice))
    if script:
        page.append(element("script", _asset(script)))
    text = ElementTree.tostring(element("html", head, page, lang="en"), "unicode", method="html")
    # A file name that is not valid UTF-8 reaches us with surrogates; they are escaped and not rejected.
    return f"<!DOCTYPE html>\n{text}\n".encode("utf-8", "backslashreplace")


def picture(data: bytes, media: str, text: str) -> Element:
    """Make a picture whose bytes are in the page.

    Args:
        data: of the file.
        media: MIME type.
        text: read out in place of the picture.
    """
    return element("img", src=f"data:{media};base64,{base64.b64encode(data).decode('ascii')}", alt=text)


def picture_beside(name: str) -> Element:
    """Show a picture that lies beside the page, and adds nothing to the words around it; it is loaded when in view."""
    return element("img", src=_address(name), alt="", loading="lazy")


def link(name: str, text: str | None = None) -> Element:
    """Make a link to a file beside the page; its name is shown unless there is a text."""
    return element("a", name if text is None else text, href=_address(name))


def _address(name: str) -> str:
    return "./" + quote(name.encode("utf-8", "surrogateescape"))


def row(head: Content, *cells: Content, **attributes: str) -> Element:
    """Make a row of a table; its first cell heads it."""
    return element("tr", element("th", head, scope="row"), [element("td", cell) for cell in cells], **attributes)


def table(caption: str, heads: Iterable[str], rows: Iterable[Element]) -> Element:
    """Make a table of `row`s, which scrolls by itself where the window is narrow."""
    head = element("thead", element("tr", [element("th", text, scope="col") for text in heads]))
    made = element("table", element("caption", caption), head, element("tbody", rows))
    return element("div", made, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
