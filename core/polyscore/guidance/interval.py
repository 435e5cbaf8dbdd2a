"""Guidance in a limited interval of noise levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers.base import Denoiser, Prediction
from polyscore.errors import InputError
from polyscore.guidance.wrapper import Wrapper
from polyscore.state import Given, State, Time, map_state

__all__ = ["Interval"]


@dataclass(frozen=True)
class Interval(Wrapper):
    """`denoiser` (a guided one) where low < level <= high, `plain` elsewhere (Kynkaanniemi et al. 2024, arXiv 2404.07724).

    Guidance hurts at high noise and is useless at low noise; outside the interval one evaluation is saved too.

    Args:
        denoiser: the guided denoiser, such as `CFG(model, ...)`.
        plain: the denoiser outside, usually the model itself.
        low, high: the interval.
        clock: the level of a time; default t itself. The paper's intervals are in sigma: `process.sigma`.

    A time for each sample is decided sample by sample (both denoisers are called).

    Raises:
        InputError: a time for each token or leaf, or a time for each sample with a denoiser that brings its own eps.
    """

    plain: Denoiser
    low: float
    high: float
    clock: Callable[[Any], Any] | None = None

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        if isinstance(t, Mapping):
            moving = {float(time) for time in t.values() if not isinstance(time, Tensor) and time != 0.0}
            if len(moving) != 1 or any(isinstance(time, Tensor) for time in t.values()):
                raise InputError("Interval: leaves at different times; expected one time for all that are not held at t = 0")
            return (self.denoiser if self._inside(moving.pop()) else self.plain)(x, t, given)
        if not isinstance(t, Tensor):
            return (self.denoiser if self._inside(t) else self.plain)(x, t, given)
        if t.ndim > 1:
            raise InputError(f"Interval: a time of shape {tuple(t.shape)}, expected a number or one for each sample")
        inside = self._inside(t)
        guided, plain = self.denoiser(x, t, given), self.plain(x, t, given)
        if guided.eps is not None or plain.eps is not None:
            raise InputError(
                "Interval: a time for each sample with a denoiser that brings its own eps; expected one time for all"
            )

        def chosen(a: Tensor, b: Tensor) -> Tensor:
            return torch.where(torch.as_tensor(inside, device=a.device).reshape(-1, *[1] * (a.ndim - 1)), a, b)

        return Prediction(map_state(chosen, guided.x0, plain.x0))

    def _inside(self, t: Any) -> Any:
        level = t if self.clock is None else self.clock(t)
        inside = (level > self.low) & (level <= self.high)
        return inside if isinstance(t, Tensor) else bool(inside)
