"""The HTML page of ``polyscore demo``: of every part its pictures, sounds and films, the command, and the key figure.

Everything is inside the one file, so it needs no network and can be mailed; files larger than 8 MB are named instead.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from polyscore.cli.demo_parts import Part

__all__ = ["write"]

_LARGEST = 8 << 20  # bytes of one file
_TYPES = {
    ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg",
    ".png": "image/png", ".gif": "image/gif", ".mp4": "video/mp4",
}  # fmt: skip
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
section { border-top: 1px solid #ccc; padding: 1rem 0 } nav a { margin-right: 1rem } figure { margin: 1rem 0 }
img, video { max-width: 100%; min-width: min(100%, 24rem); height: auto; image-rendering: auto } audio { width: 100% }
pre { overflow-x: auto; padding: .5rem; background: #f3f3f3 } figcaption { font-size: .8rem } .failed { color: #a00 }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #161616 } pre { background: #262626 } .failed { color: #f77 } a { color: #9cf }
}
"""


def write(path: Path, report: Mapping[str, Any], parts: Sequence[Part]) -> None:
    """Write the page, whole or not at all.

    Args:
        path: where.
        report: of the demo, an item for every part.
        parts: in the same order.
    """
    from polyscore.hub.files import atomic_path

    seed, seconds = report["seed"], report["seconds"]
    run = f"polyscore {report['polyscore']}, torch {report['torch']}, {report['device']}, seed {seed}, {seconds:.0f} s in all."
    links = "".join(f"<a href='#{part.name}'>{html.escape(part.name)}</a>" for part in parts)
    sections = "".join(_section(part, item, path.parent) for part, item in zip(parts, report["items"], strict=True))
    text = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>polyscore demo</title><style>{_STYLE}</style></head><body><h1>What the shipped models do</h1>"
        f"<p>{html.escape(run)}</p><nav>{links}</nav>{sections}</body></html>\n"
    )
    with atomic_path(path) as name:
        name.write_text(text, encoding="utf-8")


def _section(part: Part, item: Mapping[str, Any], folder: Path) -> str:
    head = f"<section id='{part.name}'><h2>{html.escape(part.title)}</h2><p>{html.escape(part.about)}</p>"
    shell = "".join(f"<pre><code>{html.escape(line)}</code></pre>" for line in item.get("commands", ()))
    if item["status"] != "done":
        return f"{head}{shell}<p class='{item['status']}'>{item['status']}: {html.escape(str(item['error']))}</p></section>"
    figure = f"<p>{html.escape(item['figure'])}; {item['seconds']:.0f} s.</p>"
    shown = "".join(_figure(Path(name), part.title) for name in item["shown"])
    return f"{head}{shell}{figure}{shown}<p>Files: {_files(folder / part.name, folder)}</p></section>"


def _figure(path: Path, title: str) -> str:
    name, kind = html.escape(path.name), _TYPES.get(path.suffix.lower())
    if kind is None or path.stat().st_size > _LARGEST:
        return f"<figure><figcaption>{name}: too large for this page, or unknown to browsers</figcaption></figure>"
    data = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    match kind.partition("/")[0]:
        case "audio":
            shown = f"<audio controls src='{data}'></audio>"
        case "video":
            shown = f"<video controls autoplay loop muted playsinline src='{data}'></video>"
        case _:
            shown = f"<img alt='{html.escape(title)}: {name}' src='{data}'>"
    return f"<figure>{shown}<figcaption>{name}</figcaption></figure>"


def _files(folder: Path, root: Path) -> str:
    """Links to what lies beside the page."""
    names = sorted(path.relative_to(root).as_posix() for path in folder.iterdir() if path.is_file())
    return ", ".join(f"<a href='{quote(name)}'>{html.escape(name)}</a>" for name in names)
