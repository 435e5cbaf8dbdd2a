"""GETMusic's schedule: how many cells of each track are revealed at each of its steps.

Of M hidden cells of a track, floor(M / 99) are revealed at every step t = 99..1. The rest r is spread: while r > 0, one more at
t = 1, 1 + s, 1 + 2s, ... with s = ceil(100 / r). A step at which nothing is due makes no call. (The original draws cells by
weights that differ by at most a factor e and never reveals hidden chords, for which it waits forever; here a track's cells come
in a random order, all alike, and chords are a track like the others.)

Source: Lv et al. 2023 (GETMusic), arXiv 2305.10841.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyscore.denoisers.base import Prediction
from polyscore.errors import InputError
from polyscore.processes.discrete.rows import draw_rows, uniforms
from polyscore.samplers.asked import Asked
from polyscore.samplers.discrete.unmasking import absorbing_only
from polyscore.samplers.stepper import Run, StepState

__all__ = ["ByTrack", "reveal_counts"]

_STEPS = 100


def reveal_counts(hidden: int) -> NDArray[np.int64]:
    """(100,): cells of a track with so many hidden ones that are revealed at t = 0..99; none at t = 0."""
    counts = np.full(_STEPS, hidden // (_STEPS - 1))
    counts[0], rest = 0, hidden % (_STEPS - 1)
    while rest > 0:
        due = np.arange(1, _STEPS, -(-_STEPS // rest))
        counts[due] += 1
        rest -= len(due)
    return counts


@dataclass(frozen=True)
class ByTrack:
    """Reveals the cells of (B, 2 tracks, L) by GETMusic's counts, in 99 steps; the grid of times is not read.

    Raises:
        InputError: a process that is not absorbing, or an odd number of rows.
    """

    def init(self, run: Run, x: Any) -> StepState:
        process = absorbing_only("ByTrack", run, x)
        if x.ndim != 3 or x.shape[1] % 2:
            raise InputError(f"ByTrack: a state {tuple(x.shape)}, expected (B, two rows a track, L)")
        keys = uniforms(process.law, run.noise, x, run.given)
        hidden = (x == process.mask_token) & process.free(x, run.given)
        step = torch.full(x.shape, -1)
        for b in range(len(x)):
            for row in range(0, x.shape[1], 2):
                cells = hidden[b, row : row + 2]
                counts = reveal_counts(int(cells.sum()))[:0:-1]  # t = 99 first
                order = keys[b, row : row + 2][cells].argsort().argsort().cpu()
                due = torch.from_numpy(np.searchsorted(np.cumsum(counts), order.numpy(), side="right"))
                step[b, row : row + 2][cells.cpu()] = due
        return StepState(x, run.times[0], Prediction(None), step.to(x.device))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        process, due = run.process, state.memory == i
        u: Tensor = uniforms(process.law, run.noise, state.x, run.given)
        t = 1 - i / _STEPS
        asked = Asked(run, state.x, t, i)
        cells, out = due.flatten().nonzero().squeeze(1), state.x.flatten().clone()
        if len(cells):
            out[cells] = draw_rows(asked.x0, cells, u.flatten()[cells], process.classes)
        return StepState(out.view_as(state.x), 0.0 if i + 2 == _STEPS else t, asked.made or state.prediction, state.memory)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= _STEPS - 1
