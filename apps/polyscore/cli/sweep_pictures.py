"""Pictures of a sweep: heat maps of success, and reward and result over the scale of guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyscore.errors import MissingExtraError

__all__ = ["guidance", "heat_maps"]

_ACROSS, _DOWN = "steps", "cfg"

Rows = Sequence[Mapping[str, Any]]


def heat_maps(path: Path, rows: Rows) -> None:
    """Full success in per cent over steps (across) and guidance (down), with 95 % intervals; a panel for every other choice.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = _figure()
    panels = _by(rows, (_ACROSS, _DOWN))
    across, down = (sorted({row.get(axis) for row in rows}, key=_order) for axis in (_ACROSS, _DOWN))
    size = (0.9 + len(panels) * (0.5 + 1.0 * len(across)), 1.3 + 0.75 * len(down))
    whole = figure(figsize=size, layout="constrained")
    shown = None
    for place, (title, cells) in enumerate(panels.items()):
        axes = whole.add_subplot(1, len(panels), place + 1)
        values = [[_share(cells, x, y) for x in across] for y in down]
        shown = axes.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        for (i, y), (j, x) in ((a, b) for a in enumerate(down) for b in enumerate(across)):
            found = cells.get((x, y))
            if found is not None:
                value, (low, high) = found["full_success"]["share"], found["full_success"]["ci95"]
                text = f"{100 * value:.0f}\n{100 * low:.0f}-{100 * high:.0f}"
                axes.text(j, i, text, ha="center", va="center", fontsize=8, color="black" if value > 0.6 else "white")
        axes.set_xticks(range(len(across)), [_label(x) for x in across])
        axes.set_yticks(range(len(down)), [_label(y) for y in down] if place == 0 else [""] * len(down))
        axes.set_xlabel(_ACROSS)
        axes.set_title(title, fontsize=9)
        if place == 0:
            axes.set_ylabel("guidance")
    whole.colorbar(shown, ax=whole.axes, label="full success")
    _save(whole, path)


def guidance(path: Path, rows: Rows) -> None:
    """Reward and result with their 95 % intervals over the scale of guidance, a panel for every other choice."""
    figure = _figure()
    panels = _by(rows, (_DOWN,))
    whole = figure(figsize=(0.5 + 3.4 * len(panels), 3.2), layout="constrained")
    for place, (title, cells) in enumerate(panels.items()):
        axes = whole.add_subplot(1, len(panels), place + 1)
        scales = sorted(scale for (scale,) in cells)
        for name, colour in (("reward", "tab:orange"), ("result", "tab:blue")):
            found = [cells[scale,][name] for scale in scales]
            middle = [value["mean"] for value in found]
            ends = [value["ci95"] or (value["mean"], value["mean"]) for value in found]
            axes.fill_between(scales, [low for low, _ in ends], [high for _, high in ends], color=colour, alpha=0.2, lw=0)
            axes.plot(scales, middle, "o-", color=colour, label=name, ms=4)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("guidance (0 unconditional, 1 conditional)")
        axes.set_title(title, fontsize=9)
        axes.grid(alpha=0.3)
        axes.legend()
    _save(whole, path)


def _by(rows: Rows, within: tuple[str, ...]) -> dict[str, dict[tuple[Any, ...], Mapping[str, Any]]]:
    """Panels by the settings that are not `within`; in each, the rows by those that are."""
    settings = ("sampler", "steps", "schedule", "history", "cfg")
    panels: dict[str, dict[tuple[Any, ...], Mapping[str, Any]]] = {}
    for row in rows:
        title = ", ".join(
            f"{row[name]} steps" if name == "steps" else str(row[name]) for name in settings if name in row and name not in within
        )
        panels.setdefault(title, {})[tuple(row.get(name) for name in within)] = row
    return panels


def _share(cells: Mapping[tuple[Any, ...], Mapping[str, Any]], x: Any, y: Any) -> float:
    return float(cells[x, y]["full_success"]["share"]) if (x, y) in cells else float("nan")


def _order(value: Any) -> float:
    return float("-inf") if value is None else float(value)


def _label(value: Any) -> str:
    return "own" if value is None else f"{value:g}"


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing a sweep needs the package matplotlib: pip install matplotlib") from error
    return Figure


def _save(figure: Any, path: Path) -> None:
    from polyscore.hub.files import atomic_path

    with atomic_path(path) as name:
        figure.savefig(name, format="png", dpi=110)
