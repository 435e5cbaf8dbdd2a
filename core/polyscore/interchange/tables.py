"""Beta tables of the diffusers schedulers, in float64.

Besides the tables of `polyscore.processes.table`: sigmoid (GeoDiff; Xu et al. 2022, arXiv 2203.02923), Laplace (Hang et al.
2024, arXiv 2407.03297), exponential, and CogVideoX's SNR shift abar -> abar / (k + (1 - k) abar) (Yang et al. 2024, arXiv
2408.06072).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from polyscore.interchange.config import SchedulerConfig
from polyscore.processes import cosine_betas, linear_betas, scaled_linear_betas

__all__ = ["betas_of", "exponential_betas", "laplace_betas", "shifted_betas", "sigmoid_betas"]

_USUAL = ("linear", "scaled_linear", "squaredcos_cap_v2")


def _from_abar(abar: Callable[[float], float], n: int, limit: float = 0.999) -> tuple[float, ...]:
    return tuple(min(1 - abar((i + 1) / n) / abar(i / n), limit) for i in range(n))


def exponential_betas(n: int) -> tuple[float, ...]:
    """abar(t) = exp(-12 t)."""
    return _from_abar(lambda t: math.exp(-12 * t), n)


def laplace_betas(n: int) -> tuple[float, ...]:
    """abar(t) = sqrt(snr / (1 + snr)), ln snr = -sign(1/2 - t) ln(1 - |1 - 2 t|) / 2."""

    def abar(t: float) -> float:
        snr = math.exp(-0.5 * math.copysign(1, 0.5 - t) * math.log(1 - 2 * abs(0.5 - t) + 1e-6))
        return math.sqrt(snr / (1 + snr))

    return _from_abar(abar, n)


def sigmoid_betas(n: int, start: float, end: float) -> tuple[float, ...]:
    """beta = start + (end - start) sigmoid(u), u linear from -6 to 6."""
    line = torch.sigmoid(torch.linspace(-6, 6, n, dtype=torch.float64))
    return tuple((line * (end - start) + start).tolist())


def shifted_betas(betas: Sequence[float], scale: float, *, zero_snr: bool = False) -> tuple[float, ...]:
    """The table whose abar is abar / (scale + (1 - scale) abar); `zero_snr`: sqrt(abar) then ends at 0, its start kept."""
    abar = torch.cumprod(1 - torch.tensor(betas, dtype=torch.float64), 0)
    abar = abar / (scale + (1 - scale) * abar)
    if zero_snr:
        root = abar.sqrt()
        abar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    return tuple((1 - abar / torch.cat([abar.new_ones(1), abar[:-1]])).tolist())


def betas_of(config: SchedulerConfig, *extra: str) -> tuple[float, ...]:
    """The table named by `trained_betas`, or by `beta_schedule`, `beta_start`, `beta_end` and `num_train_timesteps`.

    Args:
        config: a scheduler with a table.
        extra: schedules this class knows besides linear, scaled_linear and squaredcos_cap_v2.

    Raises:
        ConfigError: a schedule the class does not know, or a table of the wrong length.
    """
    n = config.count("num_train_timesteps")
    trained = config.get("trained_betas")
    if trained is not None:
        if len(trained) != n or not all(0 < float(beta) <= 1 for beta in trained):
            raise config.refuse("trained_betas", f"expected num_train_timesteps = {n} numbers in (0, 1]")
        return tuple(float(beta) for beta in trained)
    schedule = config.one_of("beta_schedule", *_USUAL, *extra)
    if schedule == "squaredcos_cap_v2":
        return cosine_betas(n)
    if schedule == "exp":
        return exponential_betas(n)
    if schedule == "laplace":
        return laplace_betas(n)
    start, end = config.number("beta_start", low=0, high=1), config.number("beta_end", low=0, high=1)
    if schedule == "linear":
        return linear_betas(n, start, end)
    return scaled_linear_betas(n, start, end) if schedule == "scaled_linear" else sigmoid_betas(n, start, end)
