"""The HTML page of ``polyscore rollout``: numbers, films, latencies and every episode, in one file that needs no network."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["write_page"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
figure { margin: 0 } figcaption { font-size: .8rem } video, img { max-width: 100% }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: .1rem 1rem .1rem 0; text-align: left }
.drawn { fill: #4a78b8; fill-opacity: .55 } svg text { font-size: 10px } details { margin: 1rem 0 }
"""
_TITLES = {
    "grid": "The first episodes: goals as outlines, at the effector draws of the next action; green frames are full successes",
    "best": "The best episode",
    "worst": "The worst episode",
}
_KINDS = {".mp4": "video/mp4", ".gif": "image/gif"}


def write_page(path: Path, report: Mapping[str, Any], *, films: Sequence[Path], latencies: Sequence[float]) -> None:
    """Write the page, whole or not at all.

    Args:
        path: where.
        report: of the rollout.
        films: files named as `_TITLES`; they are embedded.
        latencies: milliseconds of single calls.
    """
    from polyscore.cli.molecule_page import histogram
    from polyscore.hub.files import atomic_path

    metrics, name = report["metrics"], html.escape(Path(str(report["model"])).name)
    latency = metrics["latency_ms"]
    run = f"{metrics['full_success']['n']} episodes from seed {report['seed']}, {report['nfe']:g} network calls an action, "
    parts = [
        f"<h1>Rollout of {name}</h1><p>{run}polyscore {html.escape(str(report['polyscore']))}.</p>",
        _numbers(metrics),
        *(_film(film) for film in films),
        "<h2>Latency of a call, milliseconds</h2>",
        f"<figure>{histogram(latencies)}<figcaption>{len(latencies)} calls with one environment on {report['device']}, "
        f"{report['threads']} thread(s): median {latency['p50']:.1f}, 95 % below {latency['p95']:.1f}, 99 % below "
        f"{latency['p99']:.1f}; {metrics['rate_hz']:.0f} actions a second.</figcaption></figure>",
        _episodes(report["items"]),
    ]
    head = f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Rollout of {name}</title><style>{_STYLE}</style>"
    with atomic_path(path) as temporary:
        temporary.write_text(f"{head}</head><body>{''.join(parts)}</body></html>\n", encoding="utf-8")


def _numbers(metrics: Mapping[str, Any]) -> str:
    rows = []
    for name in ("full_success", "result", "reward", "any_task", "steps"):
        value = metrics[name]
        low, high = value["ci95"] or (float("nan"), float("nan"))
        rows.append((name.replace("_", " "), f"{value.get('share', value.get('mean')):.3f}", f"{low:.3f} to {high:.3f}"))
    orders = ", ".join(f"{order}: {count}" for order, count in metrics["orders"].items())
    rows.append(("order entropy", f"{metrics['order_entropy_bits']:.2f} bits", orders))
    tasks = ", ".join(f"{_name(name)}: {n}" for name, n in metrics["tasks"].items())
    rows.append(("completed", "", tasks))
    cells = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr><th>measure</th><th>value</th><th>95 % interval</th></tr>{cells}</table>"


def _name(task: str) -> str:
    """What was completed, in words; of block push a number, 2 block + target."""
    return f"block {int(task) // 2} in target {int(task) % 2}" if task.isdigit() else task


def _film(path: Path) -> str:
    kind = _KINDS[path.suffix]
    data = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    title = html.escape(_TITLES[path.stem])
    if kind == "image/gif":
        shown = f"<img alt='{title}' src='{data}'>"
    else:
        shown = f"<video controls loop muted playsinline src='{data}'></video>"
    return f"<h2>{title}</h2><figure>{shown}</figure>"


def _episodes(items: Sequence[Mapping[str, Any]]) -> str:
    names = ("input", "asked", "completed", "reward", "result", "steps")
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(_text(item[name]))}</td>' for name in names)}</tr>" for item in items if "asked" in item
    )
    head = "".join(f"<th>{name}</th>" for name in ("episode", *names[1:]))
    return f"<details><summary>Every episode</summary><table><tr>{head}</tr>{rows}</table></details>"


def _text(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
