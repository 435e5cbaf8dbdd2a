r"""Weak-to-strong reflection: the difference of two models moves the state, not only the prediction.

At x_t the strong model steps down to u = (1 - gap) t, the weak one steps back up, and the strong model is asked again there:

    x' = x + (a_u s / s_u - a) (x0(strong) - x0(weak)),

which is what DDIM down by one model and up by the other leaves over: for equal models x' = x. (The inverse of the weak step is
implicit in x'; it is solved from x by one iteration. The published code uses the weak model's noise at u, which leaves the error
of DDIM inversion even for equal models.) The samplers go on from x': the prediction is the strong model's there, with the noise
that belongs to it.

Source: Bai et al. 2025, arXiv 2502.00473.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers.base import Denoiser, Prediction
from polyscore.errors import InputError
from polyscore.guidance.wrapper import Wrapper, each_leaf, held, real
from polyscore.state import Given, LeafTime, State, Time

__all__ = ["Reflection"]


@dataclass(frozen=True)
class Reflection(Wrapper):
    """The strong denoiser at the reflected state (module docstring); three calls.

    Args:
        denoiser: the strong model; or one with more guidance, a finetuned one, ...
        weak: the weak model: smaller, less trained, with less guidance, ...
        process: the process of the run.
        gap: which part of the time is walked down and up, in [0, 1); 0 is the strong model, bit for bit.

    Raises:
        InputError: a gap outside [0, 1), or a strong model that brings its own eps (put it inside: the noise is the state's).
    """

    weak: Denoiser
    process: Any
    gap: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.gap < 1:
            raise InputError(f"Reflection: a gap of {self.gap}; expected a part of the time in [0, 1)")

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        strong = self.denoiser(x, t, given)
        if self.gap == 0.0:
            return strong
        if strong.eps is not None:
            raise InputError("Reflection: the strong denoiser brings its own eps; put the reflection inside of it")
        weak = self.weak(x, t, given)
        moved = each_leaf(self._reflected, self.process, x, t, given, strong.x0, weak.x0)
        if isinstance(moved, Mapping):  # leaves held at t = 0 are data
            moved = {name: leaf if held(t, name) else moved[name] for name, leaf in dict(x).items()}
        again = self.denoiser(moved, t, given)
        eps = each_leaf(lambda p, x, t, given, x0: p.eps(x, x0, t, given=given), self.process, moved, t, given, again.x0)
        return Prediction(again.x0, eps, again.extra)

    def _reflected(self, process: Any, x: Tensor, t: LeafTime, given: Given, strong: Tensor, weak: Tensor) -> Tensor:
        a, _, s = (real(c, t, x) for c in process.coefs_of(t))
        u = (1 - self.gap) * t
        au, _, su = (real(c, u, x) for c in process.coefs_of(u))
        shift = torch.where(s > 0, au * s / su - a, torch.zeros_like(s))
        return x + shift * (strong - weak)
