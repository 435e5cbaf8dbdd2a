"""How an enhancement model is run: named presets and samplers, each a sampler, a time grid and a number of steps.

| sampler | what it is | calls for N steps |
|---|---|---|
| "multistep" | exponential integrator of order 2 on the probability flow, with the ends of `polyscore.audio.few_steps` | N + 1, bridges N |
| "ode" | the same of order 1: DDIM, the bridge's ODE sampler | N |
| "sde" | the exact posterior, DDIM with eta 1: the bridge's SDE sampler | N |
| "pc" | reverse diffusion with a step of annealed Langevin dynamics (SGMSE's `ald`) before each | 2 N |
| "langevin" | the same with Langevin steps sized by norms, per sample | 2 N |
| "predictor" | reverse diffusion alone | N |
| "pc-2023" | "pc" with the steps of 1 / N on any grid, as SGMSE had until 2023 and StoRM has | 2 N |
| "predictor-2023" | "predictor" with those steps | N |
| "regression" | no diffusion: the estimate of a StoRM model's predictor | 0 |
| "rk45" | adaptive Runge-Kutta on the probability flow (errors 1e-5), then a denoising; has no number of steps | as needed |
| "ode-upstream", "sde-upstream" | the bridge samplers of the original code: the network sees the state with the *next* time | N |

Langevin steps have the checkpoint's snr and are one a step, or what is asked for. A StoRM model adds one call of its predictor to
each. On a mean-reverting process "multistep" begins with a call that recentres the state. "multistep", "ode" and "sde" have times
that are dense near the data and end at t_eps (`PowerGrid`), the others the originals'.
"pc", "langevin", "predictor", their variants of 2023 and "rk45" need a drift that is finite at t = 1, which bridges lack.

| preset | mean-reverting process (OUVE, OUVP) | bridge | predictor |
|---|---|---|---|
| "fast" | multistep, 4 steps (5 calls) | ode, 1 step | one call |
| "balanced" | multistep, 9 steps (10 calls) | ode, 2 steps | one call |
| "paper" | what the checkpoint names: pc, 30 steps, snr 0.5; trained on reverberation, 50 and 0.33; StoRM pc-2023, 50 | ode-upstream, 50 steps or the checkpoint's N | one call |

Source: Richter et al. 2023, arXiv:2208.05830; Jukic et al. 2024, arXiv:2407.16074; Lu et al. 2022, arXiv:2211.01095.
"""  # noqa: E501 - rows of a table

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from polyscore.audio.few_steps import ExtrapolatedEnd, PowerGrid, Recentred
from polyscore.audio.storm import OUVPWithoutRoot, original_ouvp_steps
from polyscore.errors import InputError
from polyscore.processes import GaussianProcess, grids
from polyscore.processes.bridge import Bridge
from polyscore.processes.clocks import LOG_SNR, TIME
from polyscore.samplers import DDIM, ExponentialAdams, Plan, Solver
from polyscore.samplers.adaptive import RK45
from polyscore.samplers.langevin import AnnealedLangevin, Langevin, PredictorCorrector
from polyscore.samplers.reverse import ReverseDiffusion, per_count

__all__ = ["PRESETS", "SAMPLERS", "BridgeGrid", "EvaluateAtTarget", "Method", "choose"]

PRESETS = ("fast", "balanced", "paper")
SAMPLERS = (
    "multistep", "ode", "sde", "pc", "langevin", "predictor", "pc-2023", "predictor-2023", "regression", "rk45", "ode-upstream",
    "sde-upstream",
)  # fmt: skip


@dataclass(frozen=True)
class BridgeGrid:
    """linspace(1, end, n + 1): the original bridge samplers stop at t = 1e-4."""

    end: float = 1e-4

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        """The n + 1 times."""
        return torch.linspace(1, self.end, n + 1, dtype=torch.float64)


@dataclass(frozen=True)
class EvaluateAtTarget:
    """A one-call-a-step solver that tells the network the time it steps to, with the state of the time it comes from."""

    solver: Solver

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        """The solver's plan with every evaluation moved to the end of its step."""
        plan = self.solver.plan(process, times)
        return replace(plan, stages=tuple(replace(stage, at=stage.ends) for stage in plan.stages))


@dataclass(frozen=True)
class Method:
    """A sampler with its grid and number of steps; without a sampler, the one call of a predictor.

    Attributes:
        name: what it is called in `SAMPLERS`, or "predictor call" without a sampler.
        sampler: a solver or stepper of `polyscore.samplers`, or None.
        steps: number of steps.
        grid: time grid.
        nfe: network calls per window; None where the sampler finds out.
    """

    name: str = "predictor call"
    sampler: Any = None
    steps: int = 1
    grid: Any = None
    nfe: int | None = 1

    def __str__(self) -> str:
        if self.sampler is None:
            return "the predictor's estimate, no diffusion" if self.name == "regression" else "one call of a predictor"
        if self.nfe is None:
            return f"sampler {self.name}, as many network calls as it needs"
        return f"sampler {self.name}, {self.steps} steps, {self.nfe} network calls"


def choose(
    process: GaussianProcess | None,
    *,
    preset: str = "balanced",
    steps: int | None = None,
    sampler: str | None = None,
    snr: float = 0.5,
    corrector_steps: int = 1,
    t_eps: float = 0.03,
    paper_steps: int = 30,
    paper_sampler: str | None = None,
) -> Method:
    """The method that a preset, or a sampler and a number of steps, mean for ``process`` (None: a predictor).

    ``snr`` and ``corrector_steps`` are of the Langevin steps, where the sampler has them. ``t_eps`` is the smallest time the
    network was trained at; ``paper_steps`` and ``paper_sampler`` are the number of steps and the sampler of the preset "paper"
    (None: "pc", "ode-upstream" on a bridge).

    Raises:
        InputError: an unknown preset or sampler, a number of steps below 1, an snr that is not positive, or a sampler the process
            does not have.
    """
    if preset not in PRESETS:
        raise InputError(f"preset {preset!r} is unknown; expected one of {', '.join(PRESETS)}")
    if sampler is not None and sampler not in SAMPLERS:
        raise InputError(f"sampler {sampler!r} is unknown; expected one of {', '.join(SAMPLERS)}")
    if steps is not None and steps < 1:
        raise InputError(f"steps is {steps}; expected at least 1")
    if corrector_steps < 1 or not 0 < snr < math.inf:
        raise InputError(f"corrector_steps is {corrector_steps}, snr {snr}; expected at least 1 and a positive number")
    if process is None:
        return Method()
    if sampler == "regression":
        return Method(sampler, None, 1, None, 0)
    if isinstance(process, Bridge):
        paper = (paper_sampler or "ode-upstream", paper_steps)
        name, count = {"fast": ("ode", 1), "balanced": ("ode", 2), "paper": paper}[preset]
        return _on_bridge(sampler or name, steps or count, PowerGrid(t_eps))
    paper = (paper_sampler or "pc", paper_steps)
    name, count = {"fast": ("multistep", 4), "balanced": ("multistep", 9), "paper": paper}[preset]
    ald = AnnealedLangevin(snr=snr, steps=corrector_steps)
    return _on_mean_reverting(process, sampler or name, steps or count, (grids.SGMSE(t_eps), ald))


def _on_bridge(name: str, steps: int, grid: PowerGrid) -> Method:
    match name:
        case "multistep":
            return Method(name, ExtrapolatedEnd(ExponentialAdams(2, clock=TIME)), steps, grid, steps)
        case "ode" | "sde":
            return Method(name, DDIM(1.0 if name == "sde" else 0.0), steps, grid, steps)
        case "ode-upstream" | "sde-upstream":
            return Method(name, EvaluateAtTarget(DDIM(1.0 if name[0] == "s" else 0.0)), steps, BridgeGrid(), steps)
    raise InputError(f"sampler {name!r} does not exist for bridges; expected multistep, ode, sde, ode- or sde-upstream")


def _on_mean_reverting(
    process: GaussianProcess, name: str, steps: int, settings: tuple[grids.SGMSE, AnnealedLangevin]
) -> Method:
    grid, ald = settings
    dense = PowerGrid(grid.end)
    corrected = steps * (ald.steps + 1)
    match name:
        case "multistep":
            # Near the data s of StoRM's variance-preserving process is linear in t, not in its root: there t itself is the clock.
            clock = TIME if isinstance(process, OUVPWithoutRoot) else LOG_SNR
            solver = Recentred(ExtrapolatedEnd(ExponentialAdams(2, clock=clock)))
            return Method(name, solver, steps, dense, steps + 1)
        case "ode" | "sde":
            return Method(name, DDIM(1.0 if name == "sde" else 0.0), steps, dense, steps)
        case "predictor":
            return Method(name, PredictorCorrector(corrector=None), steps, grid, steps)
        case "pc":
            return Method(name, PredictorCorrector(corrector=ald), steps, grid, corrected)
        case "langevin":
            return Method(name, PredictorCorrector(corrector=Langevin(ald.snr, ald.steps)), steps, grid, corrected)
        case "pc-2023" | "predictor-2023":
            increments = original_ouvp_steps if isinstance(process, OUVPWithoutRoot) else per_count
            corrector = ald if name == "pc-2023" else None
            sampler = PredictorCorrector(ReverseDiffusion(increments), corrector)
            return Method(name, sampler, steps, grid, corrected if corrector else steps)
        case "rk45":
            return Method(name, RK45(end=grid.end), 1, grids.uniform, None)
    known = ", ".join(known for known in SAMPLERS if "upstream" not in known)
    raise InputError(f"sampler {name!r} is for bridges; expected one of {known}")
