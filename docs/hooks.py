"""What the site has besides the pages of this folder.

A line ``<!-- table: NAME -->`` becomes the table of that name, made from the records;
``<!-- picture: NAME -->`` becomes the picture, drawn from a run; CHANGELOG.md and CONTRIBUTING.md
are pages too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pictures
import tables
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ("CHANGELOG.md", "CONTRIBUTING.md")
MARK = re.compile(r"^<!-- (table|picture): ([\w-]+) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the project's own pages and the pictures."""
    for name in PROJECT:
        files.append(File.generated(config, name.lower(), abs_src_path=str(ROOT / name)))
    for name, picture in pictures.drawn().items():
        files.append(File.generated(config, f"pictures/{name}.png", content=picture.png))
    return files


def on_page_markdown(markdown: str, **given: Any) -> str:
    """Put tables and pictures where a page asks for them."""

    def made(mark: re.Match[str]) -> str:
        kind, name = mark.groups()
        if kind == "table":
            return tables.TABLES[name]()
        picture = pictures.drawn()[name]
        return f'![{picture.alt}](pictures/{name}.png){{ width="{picture.width}" }}'

    return MARK.sub(made, markdown)
