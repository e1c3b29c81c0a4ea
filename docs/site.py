"""Hook of MkDocs: make files of the clone to which a page links parts of the site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_OUTSIDE = re.compile(r"(?<=\]\()\.\./([\w/.-]+)")  # Target of a link from docs/ to a file beside that folder.


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files to which pages link, at the paths that they have in the clone."""
    from mkdocs.structure.files import File

    root = Path(config["docs_dir"]).parent
    for page in files.documentation_pages():
        for path in _OUTSIDE.findall(page.content_string):
            if files.get_file_from_path(path) is None:
                files.append(File.generated(config, path, abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to these files lead to where they are in the site."""
    return _OUTSIDE.sub(r"\1", markdown) if "/" not in page.file.src_uri else markdown
