"""One run of a diffusers scheduler in its own loop, and of what `from_diffusers` reads from its configuration.

Both call the same function of the scaled state and the timestep as network, start from the same unit noise and get the same
draws, so their states agree only if levels, timesteps, input scaling, update and the order of draws do. The network is a
denoiser, the posterior mean of Gaussian data plus a bounded non-linear error, put into the output form the scheduler expects:
as with a trained network, errors of rounding are not amplified.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from tests.core.diffusers_patched import default_dtype, load
from torch import Tensor

from polyscore.interchange import Scheduler, read_scheduler
from polyscore.interchange.diffusers import DiffusersDenoiser
from polyscore.interchange.free_grids import EDMSteps
from polyscore.interchange.processes import SineProcess, UnitFlow, UnitTable
from polyscore.interchange.readout import BoundaryReadout, EDMReadout
from polyscore.interchange.sa_solver import SASolver
from polyscore.noise import Noise, Recorded
from polyscore.samplers import sample

__all__ = ["SHAPE", "Network", "draws_of", "relative_error", "run_diffusers", "run_polyscore", "scheduler_of"]

SHAPE = (2, 3, 4)
_VARIANCE = 0.4
_MIX = torch.tensor(
    [[0.5, 0.2, -0.1, 0.0], [0.1, 0.6, 0.3, -0.2], [-0.3, 0.1, 0.5, 0.2], [0.2, -0.2, 0.1, 0.7]], dtype=torch.float64
)


class Network:
    """`network(scaled x, timestep)` for a scheduler, in the dtype of x."""

    def __init__(self, parts: Scheduler) -> None:
        self.parts = parts
        self.kind = getattr(parts.readout, "predicts", "epsilon")

    def sigma(self, told: float) -> float:
        """The noise level s / a that the network takes a timestep for."""
        process, grid = self.parts.process, self.parts.grid
        if isinstance(process, UnitTable):
            return float(np.exp(np.interp(told, np.arange(len(process)), np.log(np.minimum(process.sigmas, 1e5)))))
        if isinstance(process, UnitFlow):
            s = told / float(grid.total)  # type: ignore[attr-defined]
            return s / max(1 - s, 1e-9)
        angle = isinstance(process, SineProcess) or (isinstance(grid, EDMSteps) and grid.told == "angle")
        if angle:
            return math.tan(min(told, 1 - 1e-9) * math.pi / 2)
        return math.exp(told / 250 if isinstance(grid, EDMSteps) and grid.told == "log1000" else 4 * told)

    def __call__(self, x: Tensor, timestep: Tensor, **_: Any) -> Tensor:
        told = float(torch.as_tensor(timestep).reshape(-1)[0])
        sigma, phases = self.sigma(told), torch.arange(4, dtype=x.dtype)
        if isinstance(self.parts.readout, EDMReadout | BoundaryReadout):
            sd = self.parts.readout.sigma_data
            norm = math.hypot(sigma, sd)
            z = x * norm
            skip, out = (sd / norm) ** 2, sigma * sd / norm
            f = (self.denoise(z, 1.0, sigma, phases + told / 80) - skip * z) / out
            return -f if self.kind == "v_prediction" else f
        flow = isinstance(self.parts.process, UnitFlow)
        a = 1 / (1 + sigma) if flow else 1 / math.hypot(1, sigma)
        s = max(sigma * a, 1e-6)
        clean = self.denoise(x, a, s, phases + told / 80)
        match self.kind:
            case "sample":
                return clean
            case "epsilon":
                return (x - a * clean) / s
            case "v_prediction":
                return (a * x - (a * a + s * s) * clean) / s
            case _:
                return (x - clean) / s

    def denoise(self, x: Tensor, a: float, s: float, phase: Tensor) -> Tensor:
        """An imperfect E[x0 | x] for data N(0, _VARIANCE)."""
        spread = a * a * _VARIANCE + s * s
        return a * _VARIANCE / spread * x + 0.2 * s / math.hypot(1, s) * torch.tanh(
            x @ _MIX.to(x.dtype) / spread**0.5 + torch.sin(phase)
        )


def draws_of(seed: int, count: int = 200) -> list[Tensor]:
    """Unit noise: the start, then the draws of the run."""
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn((count, *SHAPE), generator=generator, dtype=torch.float64))


def scheduler_of(config: Mapping[str, Any], options: Mapping[str, Any], mu: float | None = None) -> Scheduler:
    """What is read from a configuration, with options of diffusers' `step` in the sampler and mu in the grid."""
    parts = read_scheduler(config)
    parts = dataclasses.replace(parts, sampler=dataclasses.replace(parts.sampler, **options)) if options else parts  # type: ignore[type-var]
    return parts if mu is None else dataclasses.replace(parts, grid=dataclasses.replace(parts.grid, mu=mu))  # type: ignore[type-var]


def run_diffusers(
    config: Mapping[str, Any],
    steps: int,
    draws: list[Tensor],
    network: Callable[..., Tensor],
    *,
    double: bool,
    options: Mapping[str, Any] | None = None,
    mu: float | None = None,
) -> Tensor:
    """The final state of the pipeline loop, in float32 as shipped or in float64."""
    name, dtype = config["_class_name"], torch.float64 if double else torch.float32
    made, source = load(name, double=double)
    rest = iter([draw.to(dtype) for draw in draws[1:]])
    source.source = lambda: next(rest)
    with default_dtype(dtype):
        scheduler = made.from_config(dict(config))
        scheduler.set_timesteps(steps, **({} if mu is None else {"mu": mu}))
        x = draws[0].to(dtype) * torch.as_tensor(getattr(scheduler, "init_noise_sigma", 1.0)).to(dtype)
        timesteps = scheduler.timesteps
        for i, t in enumerate(timesteps):
            given = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
            more = dict(options or {})
            if name == "UnCLIPScheduler" and i + 1 < len(timesteps):
                more["prev_timestep"] = timesteps[i + 1]
            x = scheduler.step(network(given, t), t, x, **more).prev_sample
    return x.double()


def run_polyscore(parts: Scheduler, steps: int, draws: list[Tensor], network: Callable[..., Tensor]) -> Tensor:
    """The final state of `sample`, in float64."""
    clock = parts.grid.clock(parts.process, steps)
    denoiser = DiffusersDenoiser(network, parts.process, parts.readout, timesteps=clock)
    times = parts.grid(parts.process, steps).tolist()
    noise: Noise = ByStep(draws, times) if isinstance(parts.sampler, SASolver) else Recorded(draws)
    like = torch.zeros(SHAPE, dtype=torch.float64)
    out: Tensor = sample(parts.sampler, denoiser, parts.process, like, steps=steps, grid=parts.grid, noise=noise)
    return out


class ByStep:
    """The start, then one draw for the step from each time: SASolverScheduler draws even where it adds no noise."""

    def __init__(self, draws: list[Tensor], times: list[float]) -> None:
        self.draws, self.times, self.started = draws, times, False

    def __call__(self, like: Tensor, t: Any = None, u: Any = None) -> Tensor:
        if not self.started:
            self.started = True
            return self.draws[0]
        return self.draws[1 + self.times.index(t)]


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference over the largest entry, or over 1, the scale of the data, where that is larger.

    diffusers adds noise of standard deviation 1e-10 to the last step of its ancestral schedulers; 1 keeps it below the tolerance.
    """
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1))
