"""The HTML report of ``polyscore enhance``: per recording two players and two spectrograms, all inside one file.

Sound is embedded as FLAC of at most a minute, pictures as PNG, so the page needs no network and can be mailed. Pictures need
matplotlib; without it there are the players alone.
"""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AudioPage"]

_SECONDS = 60  # of sound per recording
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
section { border-top: 1px solid #ccc; padding: 1rem 0 } h2 { font-size: 1.1rem; overflow-wrap: anywhere }
.pair { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: 0; flex: 1 1 18rem } audio, img { width: 100% }
table { border-collapse: collapse } td { padding: .1rem 1rem .1rem 0 } .failed { color: #a00 }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #161616 } .failed { color: #f77 } }
"""


class AudioPage:
    """Collects recordings and writes the page at the end, whole or not at all.

    Raises:
        PolyscoreError: the place cannot be written.
    """

    def __init__(self, path: Path) -> None:
        from polyscore.hub.files import check_writable

        check_writable(path)
        self.path = path
        self._parts: dict[str, str] = {}

    def add(self, name: str, before: Tensor, after: Tensor, rate: int, *, doubt: Tensor | None = None) -> None:
        """Embed a recording (C, L) before and after, and their spectrograms."""
        players = "".join(
            f"<figure><figcaption>{title}</figcaption><audio controls preload='none' src='{_sound(wave, rate)}'></audio></figure>"
            for title, wave in (("before", before), ("after", after))
        )
        short = before.shape[-1] > _SECONDS * rate
        note = f"<p>The players hold the first {_SECONDS} seconds.</p>" if short else ""
        picture = _picture(before, after, rate, doubt)
        image = f"<img alt='spectrograms of {html.escape(name)} before and after' src='{picture}'>" if picture else ""
        self._parts[name] = f"<div class='pair'>{players}</div>{note}{image}"

    def write(self, report: Mapping[str, Any], method: str) -> None:
        """Write the page: what was run, then every input in its order, with the error of those that failed."""
        from polyscore.hub.files import atomic_path

        facts = {
            "model": report["model"],
            "method": method,
            "device": report["device"],
            "seed": report["seed"],
            "polyscore": report["polyscore"],
            "seconds": f"{report['seconds']:.1f}",
        }
        rows = "".join(f"<tr><td>{key}</td><td>{html.escape(str(value))}</td></tr>" for key, value in facts.items())
        sections = "".join(self._section(item) for item in report["items"])
        text = (
            "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
            f"<title>polyscore enhance</title><style>{_STYLE}</style></head><body><h1>Before and after</h1>"
            f"<table>{rows}</table>{sections}</body></html>\n"
        )
        with atomic_path(self.path) as name:
            name.write_text(text, encoding="utf-8")

    def _section(self, item: Mapping[str, Any]) -> str:
        name = str(item["input"])
        head = f"<h2>{html.escape(name)}</h2>"
        if item["status"] != "done":
            reason = html.escape(str(item["error"]).removeprefix(f"{name}: "))
            return f"<section>{head}<p class='{item['status']}'>{item['status']}: {reason}</p></section>"
        seconds = item["audio_seconds"]
        speed = f"; {item['seconds'] / seconds:.2f} s a second" if seconds >= 1 else ""
        what = f"{seconds:.3g} s, {item['sample_rate']} Hz, {item['channels']} channels{speed}"
        if "missing_samples" in item:
            what += f"; cut off, {item['missing_samples']} samples are missing"
        doubt = f"; mean doubt of {item['samples']} draws {item['mean_doubt']:.2f}" if "samples" in item else ""
        output = html.escape(str(item["output"]))
        return f"<section>{head}<p>{what}{doubt} -&gt; {output}</p>{self._parts.get(name, '')}</section>"


def _sound(wave: Tensor, rate: int) -> str:
    from polyscore.audio.io import AudioFormat, encode

    part = wave[:, : _SECONDS * rate]
    # Players know one and two channels; clipping is what the file itself would do.
    part = (part if part.shape[0] <= 2 else part.mean(0, keepdim=True)).clamp(-1, 1)
    data = encode(part, AudioFormat(rate, part.shape[0], "FLAC", "PCM_16"))
    return f"data:audio/flac;base64,{base64.b64encode(data).decode('ascii')}"


def _picture(before: Tensor, after: Tensor, rate: int, doubt: Tensor | None) -> str | None:
    from polyscore.audio.spectrogram_plot import draw_before_after
    from polyscore.errors import MissingExtraError

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spectrograms.png"
        try:
            draw_before_after(path, before, after, rate, doubt=doubt)
        except MissingExtraError:
            return None
        return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
