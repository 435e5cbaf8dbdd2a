"""A network of short windows on a grid of any length: every position is predicted by the window in whose middle it lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.denoisers.base import Denoiser
from polyscore.errors import InputError
from polyscore.state import Given, Time

__all__ = ["Windowed", "window_starts"]


def window_starts(length: int, window: int, hop: int) -> list[int]:
    """Where windows begin: every `hop` positions, the last one at the end."""
    return [*range(0, max(length - window, 0), hop), max(length - window, 0)]


class Windowed:
    """Predicts (B, V, L) in windows of `window` positions that begin every `hop`, all in one call of the denoiser.

    A position takes the prediction of the window whose middle is nearest, so windows that overlap agree about what both see, and
    nothing is written twice. Grids that fit into one window are passed on.

    Args:
        denoiser: of categories.
        window: its length in positions.
        hop: distance of windows, a whole number of bars where the network was trained on bars.

    Raises:
        InputError: a hop that leaves gaps.
    """

    def __init__(self, denoiser: Denoiser, window: int, hop: int) -> None:
        if not 0 < hop <= window:
            raise InputError(f"Windowed: hop {hop} of windows of {window}; expected between 1 and the window")
        self.denoiser, self.window, self.hop = denoiser, window, hop

    def __call__(self, x: Tensor, t: Time, given: Given) -> Prediction:
        length = x.shape[-1]
        if length <= self.window:
            return self.denoiser(x, t, given)
        starts = window_starts(length, self.window, self.hop)
        place = torch.tensor(starts, device=x.device).unsqueeze(1) + torch.arange(self.window, device=x.device)
        states = x[..., place].movedim(-2, 1).flatten(0, 1)  # (B W, V, window)
        cond = {name: self._cut(row, place, len(x)) for name, row in _rows(given.cond).items()}
        logits: Any = self.denoiser(states, t, given._replace(cond=cond, mask=None)).x0
        parts = logits.unflatten(0, (len(x), len(starts)))  # (B, W, V, window, K)
        which, inside = self._nearest(length, starts, x.device)
        return Prediction(parts[:, which, :, inside].movedim(0, 2))

    def _cut(self, row: Tensor, place: Tensor, batch: int) -> Tensor:
        return row.expand(batch, -1)[:, place].flatten(0, 1)

    def _nearest(self, length: int, starts: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """For every position the window and the place in it."""
        first = torch.tensor(starts, device=device)
        position = torch.arange(length, device=device)
        away = (position.unsqueeze(1) - first - (self.window - 1) / 2).abs()
        which = away.argmin(1)
        return which, position - first[which]


def _rows(cond: Any) -> Mapping[str, Tensor]:
    return {} if cond is None else cond
