"""How long a window may be: what fits beside everything else in the memory that is free now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = ["fitting_window", "free_memory"]

_SHARE = 0.5  # of the free memory: the estimate is rough, and others run, too


def free_memory(device: torch.device) -> int | None:
    """Free bytes of ``device``; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable")))
    except (OSError, StopIteration, ValueError, IndexError):
        pages = "SC_AVPHYS_PAGES" in os.sysconf_names
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if pages else None


def fitting_window(model: nn.Module, window: float, context: float, frames: tuple[int, float], free: int | None) -> float:
    """``window`` seconds, or less if that many with ``context`` on both sides would take more than half of ``free`` bytes.

    ``frames``: bins of a spectrogram and frames per second. A network says by ``bytes_per_frame(bins)`` what it needs;
    models without such a network, and machines that do not say what is free, keep ``window``. Never less than ``context``.
    """
    bins, rate = frames
    known: list[Any] = [part for part in model.modules() if hasattr(part, "bytes_per_frame")]
    needs: list[int] = [part.bytes_per_frame(bins) for part in known]
    if not needs or free is None:
        return window
    seconds = _SHARE * free / (max(needs) * rate)
    return max(context, min(window, seconds - 2 * context))
