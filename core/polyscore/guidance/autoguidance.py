"""Autoguidance: a model guided by a bad version of itself."""

from __future__ import annotations

from dataclasses import dataclass

from polyscore.denoisers.base import Denoiser, Prediction
from polyscore.guidance.wrapper import Wrapper, between
from polyscore.state import Given, State, Time

__all__ = ["Autoguidance"]


@dataclass(frozen=True)
class Autoguidance(Wrapper):
    """x0 = x0(bad) + scale (x0(denoiser) - x0(bad)) (Karras et al. 2024, arXiv 2406.02507).

    `bad` is a smaller or less trained model of the same data and condition: what it gets wrong more than the good one is pushed
    away. scale = 1 is the good model alone, bit for bit. `extra` holds the two x0 as "cond" and "null".

    Args:
        denoiser: the good model.
        bad: the worse one.
        scale: strength.
    """

    bad: Denoiser
    scale: float = 2.0

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        good = self.denoiser(x, t, given)
        if self.scale == 1.0:
            return good
        bad = self.bad(x, t, given)
        return Prediction(between(bad.x0, good.x0, self.scale), None, {**good.extra, "cond": good.x0, "null": bad.x0})
