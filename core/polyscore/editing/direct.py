r"""Direct inversion: the source of an edit goes back along its inversion path exactly, whatever guidance makes of the steps.

Batches are pairs (`polyscore.editing.pairs`). With z* the path of `invert`, and x_u = d x_t + c x0 + e y the DDIM step, the
prediction of the source is the one that leads to the path's next state,

    x0 = (z*_u - d x_t - e y) / c,

while that of the target stays. In the published form the difference z*_u - step(x_t) is added after the step: the same states
without a change of the loop. The target gains wherever the model lets it look at the source, which it then sees as it was.

Source: Ju et al. 2024 (PnP inversion), arXiv 2310.01506.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from polyscore.denoisers.base import Prediction
from polyscore.editing.pairs import halves, joined
from polyscore.editing.path import Path
from polyscore.guidance.wrapper import Wrapper, each_leaf, real
from polyscore.processes import GaussianProcess
from polyscore.state import Given, LeafTime

__all__ = ["DirectInversion"]


@dataclass(frozen=True, eq=False)
class DirectInversion(Wrapper):
    """The rule of the module docstring, for `DDIM()` on the path's times; no call more than without it.

    Args:
        denoiser: of the doubled batch, with guidance or without.
        process: of the run.
        path: of the source, (B, ...) states.
    """

    process: Any
    path: Path

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        i = self.path.index(t)
        prediction = self.denoiser(x, t, given)
        u, there = self.path.times[i + 1], self.path.states[i + 1]

        def leading(process: GaussianProcess, x: Tensor, t: LeafTime, given: Given, goal: Tensor) -> Tensor:
            keep, data, end, _ = (real(c, t, x) for c in process.step(t, u, eta=0.0))
            rest: Tensor = goal - keep * x
            return (rest if given.y is None else rest - end * given.y[: len(x)]) / data

        source = each_leaf(leading, self.process, halves(x)[0], t, given, there)
        return replace(prediction, x0=joined(source, halves(prediction.x0)[1]), eps=None)
