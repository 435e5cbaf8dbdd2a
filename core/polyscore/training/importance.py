r"""Importance-sampled times, learned from the losses met so far.

[0, 1] is cut into K intervals. The probability of interval k is

    p_k = (1 - mix) sqrt(E_k[l^2]) / sum_j sqrt(E_j[l^2]) + mix / K

with the mean over the last `history` losses of each, and the loss is multiplied by 1 / (K p_k), so its mean is that of uniform
times and its variance is the least that a choice of p can reach (Nichol and Dhariwal 2021, arXiv 2102.09672, section 3.3). Until
every interval has a full history the times are uniform.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.processes import GaussianProcess
from polyscore.training.times import TimeDensity

__all__ = ["Importance"]


class Importance(TimeDensity):
    """Times in proportion to the root mean square loss of their interval.

    The state is explicit: `losses` (intervals, history) float64, a ring a row, and `count` (intervals,), how many losses each
    interval has met. `polyscore.training.ScoreTraining` keeps it in its checkpoints and shows every process the losses of all.

    Raises:
        InputError: fewer than one interval or loss, or a share `mix` outside (0, 1].
    """

    def __init__(self, intervals: int = 20, history: int = 10, mix: float = 1e-3) -> None:
        if intervals < 1 or history < 1 or not 0 < mix <= 1:
            raise InputError(
                f"Importance: intervals {intervals}, history {history}, mix {mix}; expected at least 1, at least 1, and in (0, 1]"
            )
        self.intervals, self.history, self.mix = intervals, history, mix
        self.losses = torch.zeros(intervals, history, dtype=torch.float64)
        self.count = torch.zeros(intervals, dtype=torch.long)

    @property
    def adaptive(self) -> bool:
        return True

    def probabilities(self) -> Tensor:
        """p_k, (intervals,) float64."""
        root = self.losses.square().mean(1).sqrt()
        total = float(root.sum())
        if total == 0 or bool((self.count < self.history).any()):
            return torch.full((self.intervals,), 1 / self.intervals, dtype=torch.float64)
        return (1 - self.mix) * root / total + self.mix / self.intervals

    def quantile(self, u: Tensor, process: GaussianProcess) -> Tensor:
        p = self.probabilities()
        top = p.cumsum(0)
        k = torch.searchsorted(top, u).clamp(max=self.intervals - 1)
        inside = ((u - (top[k] - p[k])) / p[k]).clamp(1e-4, 1)  # not 0: that is data without noise, or the interval before
        return (k + inside) / self.intervals

    def correction(self, t: Tensor) -> Tensor:
        return 1 / (self.intervals * self.probabilities()[self._interval(t)])

    def observe(self, t: Tensor, loss: Tensor) -> None:
        for k, value in zip(self._interval(t).tolist(), loss.detach().double().tolist(), strict=True):
            self.losses[k, int(self.count[k]) % self.history] = value
            self.count[k] += 1

    def state_dict(self) -> dict[str, Tensor]:
        return {"losses": self.losses.clone(), "count": self.count.clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        if state["losses"].shape != self.losses.shape:
            raise InputError(
                f"Importance: the saved losses are {tuple(state['losses'].shape)}, expected {tuple(self.losses.shape)}; "
                "keep `intervals` and `history` when a run goes on"
            )
        self.losses, self.count = state["losses"].clone(), state["count"].clone()

    def _interval(self, t: Tensor) -> Tensor:
        return (t.cpu() * self.intervals).ceil().long().clamp(1, self.intervals) - 1
