r"""BDIA: a DDIM step that also looks back, and can therefore be undone, at one call a step.

With D(z -> t) the DDIM step of z to t, and the call at z_i used for both directions,

    z_{i-1} = g (z_{i+1} - D(z_i -> t_{i+1})) + D(z_i -> t_{i-1}),
    z_{i+1} = (z_{i-1} - D(z_i -> t_{i-1})) / g + D(z_i -> t_{i+1}).

The first step is plain DDIM. g = 0 is DDIM, bit for bit; g = 1 averages the error of the step up with that of the step down, and
keeps rounding errors as they are (below 1 the inverse lets them grow by 1 / g a step).

Source: Zhang et al. 2023, arXiv 2307.10829.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polyscore.errors import ConfigError
from polyscore.processes import GaussianProcess
from polyscore.samplers import Plan, Stage
from polyscore.samplers.builder import Builder, eps_form

__all__ = ["BDIA"]


@dataclass(frozen=True)
class BDIA:
    """The sampler of the module docstring, for `sample`, `encode` and `decode`.

    The state at node i of the grid is in register i mod 2; a latent holds the states at the grid's first two times.

    Args:
        gamma: g, from 0 (not invertible) to 1.

    Raises:
        ConfigError: g out of range.
    """

    gamma: float = 1.0
    order: int = 1
    opening: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise ConfigError(f"BDIA: gamma {self.gamma}, expected 0 to 1")

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for i, t, u in b.steps:
            now, other = i % 2, 1 - i % 2
            down = process.step(t.t, u.t, eta=0.0)
            keep, data = down.keep.numpy(), down.data.numpy()
            back = {}
            if i:
                up = process.step(t.t, b.nodes[i - 1].t, eta=0.0)
                keep, data = keep - self.gamma * up.keep.numpy(), data - self.gamma * up.data.numpy()
                back = {other: self.gamma}
            b.call(t, read=now)
            b.move(u, keep={**back, now: keep}, preds=[data], into=other, ends=True)
        return b.plan()

    def entry(self, process: GaussianProcess, times: Sequence[float]) -> tuple[Stage, ...]:
        """The step up from the data by the published DDIM inversion, which is finite there."""
        b = Builder(process, [times[-1], times[-2]])
        u, t = b.nodes
        now = (len(times) - 1) % 2
        b.call(t, read=now, form=eps_form(t))
        b.move(t, keep={now: t.a / u.a}, preds=[t.s - t.a * u.s / u.a], into=1 - now, ends=True)
        return b.plan().stages
