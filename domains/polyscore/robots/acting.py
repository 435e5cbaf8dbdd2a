r"""A denoiser for acting: the coefficients of its few levels are made once.

At batch 1 the float64 arithmetic of c_skip, c_out, c_in and c_noise takes as long as a tenth of the network. The levels of a
sampler's table are always the same numbers, so they are remembered.

    x0 = c_skip x + c_out F(c_in x, c_noise)                                              (Karras et al. 2022, arXiv:2206.00364)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from polyscore.denoisers import Precondition, Prediction
from polyscore.robots.networks.packed import packed
from polyscore.state import NONE, Given

__all__ = ["Acting"]

_KEPT = 1000  # levels: an adaptive sampler never meets one again


class _Level(NamedTuple):
    skip: float
    out: float
    inp: float
    noise: Tensor


class Acting(Precondition):
    """The same denoiser with its present weights, without gradients and faster; see `polyscore.robots.networks.packed`.

    Args:
        denoiser: which.
    """

    def __init__(self, denoiser: Precondition) -> None:
        super().__init__(
            packed(denoiser.network),
            denoiser.process,
            predicts=denoiser.predicts,
            time=denoiser.time,
            sigma_data=denoiser.sigma_data,
            steps=denoiser.steps,
        )
        self._levels: dict[tuple[float, torch.device], _Level] = {}

    @torch.no_grad()
    def forward(self, x: Tensor, t: Any, given: Given = NONE) -> Prediction:
        """x0 = c_skip x + c_out F."""
        if not isinstance(t, float) or x.dtype != torch.float32 or given.y is not None:
            return super().forward(x, t, given)
        level = self._levels.get((t, x.device)) or self._level(x, t)
        out = self.network(x * level.inp, level.noise.expand(len(x)), given)
        return Prediction(torch.add(x * level.skip, out, alpha=level.out))

    def _level(self, x: Tensor, t: float) -> _Level:
        skip, out, inp = (float(c) for c in self.scalings(t, x))
        if len(self._levels) == _KEPT:
            self._levels.clear()
        found = self._levels[t, x.device] = _Level(skip, out, inp, self.noise_input(t, x)[:1])
        return found
