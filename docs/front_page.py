"""A hook of mkdocs: the front page is the README, its links and pictures as they are seen from `docs/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[1] / "README.md"


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The text of a page before it is rendered; `docs/index.md` is what follows the README."""
    if page.file.src_uri != "index.md":
        return markdown
    return f"{README.read_text(encoding='utf-8').replace('](docs/', '](')}\n{markdown}"
