"""How long a window may be, and how many go through the network at once: what fits in the memory that is free now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = ["fitting_batch", "fitting_window", "free_memory"]

_SHARE = 0.5  # of the free memory: the estimate is rough, and others run, too
_MOST = 32  # windows in a batch: more fill no accelerator better


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
    need = _bytes_a_second(model, frames)
    if need is None or free is None:
        return window
    return max(context, min(window, _SHARE * free / need - 2 * context))


def fitting_batch(model: nn.Module, seconds: float, frames: tuple[int, float], device: torch.device) -> int:
    """How many windows of ``seconds`` go through the network at once: 1 on a CPU, which gains nothing by more.

    On other devices as many as take half of the free memory, at most 32; ``frames`` as in `fitting_window`.
    """
    need, free = _bytes_a_second(model, frames), free_memory(device)
    if device.type == "cpu" or need is None or free is None:
        return 1
    return max(1, min(_MOST, int(_SHARE * free / (need * seconds))))


def _bytes_a_second(model: nn.Module, frames: tuple[int, float]) -> float | None:
    bins, rate = frames
    known: list[Any] = [part for part in model.modules() if hasattr(part, "bytes_per_frame")]
    needs: list[int] = [part.bytes_per_frame(bins) for part in known]
    return max(needs) * rate if needs else None
