r"""How the past actions of a window enter while the newest one is drawn.

The window is (a_1, ..., a_t); the first t - 1 are known, scaled and clipped, from earlier calls. In training all t carry noise of
one level sigma. Three treatments:

    "redenoise"   the original's: the known actions start clean, are taken for noisy ones, and are moved along by the sampler;
                  what becomes of them is thrown away
    "keep"        they are clean at every call of the network
    "renoise"     they are a_i + sigma n_i at every call, with one n_i an action: what the network was trained on

The last two are a wrapper of the denoiser, so every sampler has them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.guidance.wrapper import Wrapper
from polyscore.state import Given

__all__ = ["HISTORIES", "History", "KnownPast"]

History = Literal["redenoise", "keep", "renoise"]
HISTORIES: tuple[History, ...] = ("redenoise", "keep", "renoise")


@dataclass(frozen=True, eq=False)
class KnownPast(Wrapper):
    """The denoiser sees `past + sigma noise` instead of the first steps of the window, and predicts `past` there.

    Args:
        denoiser: the denoiser of windows (B, t, A).
        process: its process.
        past: (B, t - 1, A), clean.
        noise: (B, t - 1, A), or None for none.
    """

    process: Any
    past: Tensor
    noise: Tensor | None = None

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        known = self.past
        if self.noise is not None:
            known = known + float(self.process.sigma(t)) * self.noise
        prediction = self.denoiser(torch.cat([known, x[:, -1:]], 1), t, given)
        return replace(prediction, x0=torch.cat([self.past, prediction.x0[:, -1:]], 1))
