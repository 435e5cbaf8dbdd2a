"""Piano rolls: time to the right, pitch upwards, a colour a track, new notes hatched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import MissingExtraError
from polyscore.hub.files import atomic_path
from polyscore.music.score import Score

__all__ = ["COLOURS", "draw"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c6d31", "#5f5f5f")
"""One a track, in turn: Okabe and Ito's, which colour-blind people tell apart."""

_BARS, _ROWS = 16, 8


def draw(
    path: str | os.PathLike[str], score: Score, *, new: Mapping[int, NDArray[np.bool_]] | None = None, title: str = ""
) -> None:
    """Draw a score as a PNG file, sixteen bars a row (more where eight rows would not do).

    Args:
        path: of the file.
        score: the piece.
        new: for tracks by their index, which of their notes were made: they are hatched.
        title: above the picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
        PolyscoreError: the place cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("piano rolls are drawn with matplotlib: pip install 'polyscore[music]'") from error
    lines = score.bars()
    rows = min(-(-len(lines) // _BARS), _ROWS)
    stride = -(-len(lines) // rows)
    pitched = [track.notes["pitch"] for track in score.tracks if len(track)]
    low, high = (int(min(p.min() for p in pitched)), int(max(p.max() for p in pitched))) if pitched else (60, 72)
    height = min(max(1.2, 0.055 * (high - low + 4)), 5.0)
    width = min(3 + 0.75 * min(stride, len(lines)), 20)
    figure = Figure(figsize=(width, 0.9 + rows * (height + 0.35)), dpi=100, layout="constrained")
    axes: Any = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for row, ax in enumerate(axes):
        first = row * stride
        stop = first + stride
        end = int(lines[stop]) if stop < len(lines) else _end(score, lines)
        _row(ax, score, new or {}, lines[first:stop], (int(lines[first]), end), first + (0 if score.pickup else 1))
        ax.set_ylim(low - 1.5, high + 1.5)
    _legend(axes[0], score, new or {})
    if title:
        figure.suptitle(title)
    canvas: Any = FigureCanvasAgg(figure)
    with atomic_path(path) as name:
        canvas.print_png(os.fspath(name))


def _end(score: Score, lines: NDArray[np.int64]) -> int:
    last = int(lines[-1])
    return max(last + round(score.bar_length(score.meter_at(last))), score.end)


def _row(
    ax: Any,
    score: Score,
    new: Mapping[int, NDArray[np.bool_]],
    lines: NDArray[np.int64],
    span: tuple[int, int],
    number: int,
) -> None:
    """The notes that sound within a span of ticks."""
    from matplotlib.collections import PolyCollection

    for place, track in enumerate(score.tracks):
        begin, end = track.notes["start"], track.notes["start"] + track.notes["duration"]
        shown = (begin < span[1]) & (end > span[0])
        made = np.asarray(new.get(place, np.zeros(len(track), dtype=bool)), dtype=bool)
        colour = COLOURS[place % len(COLOURS)]
        for which, hatch in ((shown & ~made, None), (shown & made, "//////")):
            if which.any():
                boxes: Any = _boxes(begin[which], end[which], track.notes["pitch"][which])
                style: dict[str, Any] = {"facecolor": colour, "edgecolor": "black" if hatch is None else "white"}
                ax.add_collection(PolyCollection(boxes, linewidth=0.4, hatch=hatch, alpha=0.9, zorder=2 + place, **style))
    ax.set_xlim(*span)
    every = -(-len(lines) // 24)
    ax.set_xticks(lines[::every], [str(number + i) for i in range(0, len(lines), every)])
    ax.grid(axis="x", color="0.6", linewidth=0.8)
    ax.yaxis.set_major_locator(_octaves())
    ax.yaxis.set_major_formatter(lambda pitch, _: f"C{round(pitch) // 12 - 1}")
    ax.grid(axis="y", color="0.85", linewidth=0.6)
    ax.set_axisbelow(True)


def _octaves() -> Any:
    from matplotlib.ticker import MultipleLocator

    return MultipleLocator(12)


def _boxes(begin: NDArray[np.int64], end: NDArray[np.int64], pitch: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rectangles (N, 4, 2) around notes."""
    low, high = pitch - 0.45, pitch + 0.45
    return np.stack([np.stack(corner, -1) for corner in ((begin, low), (begin, high), (end, high), (end, low))], 1)


def _legend(ax: Any, score: Score, new: Mapping[int, NDArray[np.bool_]]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=COLOURS[i % len(COLOURS)], edgecolor="black", label=track.name or f"track {i + 1}")
        for i, track in enumerate(score.tracks[:12])
    ]
    if any(np.asarray(made).any() for made in new.values()):
        handles.append(Patch(facecolor="0.6", edgecolor="white", hatch="//////", label="new"))
    if handles:
        ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(handles), frameon=False, fontsize="small")
