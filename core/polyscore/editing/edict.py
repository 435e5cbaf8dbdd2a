r"""EDICT: two copies of the state that update each other, so that every step can be undone; two calls a step.

With the DDIM step written as k x + c eps(x, t),

    x' = k x + c eps(y, t),     y' = k y + c eps(x', t),     x <- p x' + (1 - p) y',     y <- p y' + (1 - p) x.

The mixing keeps the two together. k = a_u / a_t, so data are recovered to about 1e-12 in float64, and to 1e-4 in float32.

Source: Wallace et al. 2023, arXiv 2211.12446.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyscore.errors import ConfigError, InputError
from polyscore.processes import GaussianProcess
from polyscore.samplers import Plan, Stage
from polyscore.samplers.builder import Builder, eps_form

__all__ = ["EDICT"]


@dataclass(frozen=True)
class EDICT:
    """The sampler of the module docstring, for `sample`, `encode` and `decode`; a latent holds the two copies.

    Args:
        mixing: p, above 0 and up to 1 (1 does not mix).

    Raises:
        ConfigError: p out of range.
        InputError: a grid that begins where nothing is left of the data (flow matching at t = 1).
    """

    mixing: float = 0.93
    order: int = 1
    opening: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.mixing <= 1:
            raise ConfigError(f"EDICT: mixing {self.mixing}, expected above 0 and up to 1")

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b, p = Builder(process, times), self.mixing
        if np.any(b.nodes[0].a == 0):
            name = type(process).__name__
            raise InputError(f"EDICT: {name} holds nothing of the data at t = {times[0]}; start the grid below it")
        for _, t, u in b.steps:
            k = u.a / t.a
            for into in (0, 1):
                b.call(t, read=1 - into, form=eps_form(t))
                b.move(u, keep={into: k}, preds=[u.s - k * t.s], into=into)
            for into in (0, 1):
                b.move(u, keep={into: p, 1 - into: 1 - p}, into=into, ends=into == 1)
        return b.plan()

    def entry(self, process: GaussianProcess, times: Sequence[float]) -> tuple[Stage, ...]:
        """Nothing: both copies are the data."""
        return ()
