"""Which sampler, grid and number of steps a graph model runs with.

| name | what it is | network calls at N steps |
|---|---|---|
| `pc` | reverse diffusion or Euler, and Langevin, as published | 2 N (N without corrector) |
| `s4` | symmetric splitting | N |
| `ancestral` | the exact reverse step | N |
| `multistep` | DPM-Solver++ 2M on the system | N |
| `multistep-sde` | the same on the reverse SDE | N |
| `flow` | probability flow by Euler steps, the original's option | N |

A Langevin step takes its size from the norms of noise and score: of every graph by itself ("sample"), or their means over the
batch ("batch"), as the original did, where a graph changes with its batch.

Source: Jo et al. 2022 (GDSS), arXiv 2202.02514; Lu et al. 2022, arXiv 2211.01095.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from polyscore.errors import InputError
from polyscore.graphs.s4 import S4
from polyscore.samplers import (
    DDIM,
    DPMSolverPP,
    Langevin,
    PredictorCorrector,
    ReverseDiffusion,
    SDEDPMSolverPP,
    grids,
    per_count,
    score_sde_alphas,
    score_sde_tables,
)

__all__ = ["SAMPLERS", "Method", "Settings", "choose"]

SAMPLERS = ("pc", "s4", "ancestral", "multistep", "multistep-sde", "flow")


@dataclass(frozen=True)
class Settings:
    """How a model is sampled, as numbers and words that a configuration holds.

    Attributes:
        sampler: a name of `SAMPLERS`.
        steps: N.
        predictor: of `pc`: "reverse" or "euler".
        corrector: of `pc`: whether Langevin steps are made.
        snr: signal-to-noise ratio of a Langevin step.
        scale: factor of its noise.
        end: the last time but 0.

    Raises:
        InputError: an unknown name, or a number out of its range.
    """

    sampler: str = "pc"
    steps: int = 1000
    predictor: str = "reverse"
    corrector: bool = True
    snr: float = 0.2
    scale: float = 0.7
    end: float = 1e-4

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS or self.predictor not in ("reverse", "euler"):
            raise InputError(
                f"sampler {self.sampler!r} with predictor {self.predictor!r}; expected one of {', '.join(SAMPLERS)}, "
                "and reverse or euler"
            )
        if self.steps < 1 or not 0 < self.end < 1 or self.snr < 0 or self.scale < 0:
            raise InputError(
                f"steps {self.steps}, end {self.end}, snr {self.snr}, scale {self.scale}; expected at least one step, an end "
                "between 0 and 1, and no negative number"
            )


@dataclass(frozen=True)
class Method:
    """A sampler with its grid and number of steps.

    Attributes:
        name: what it is called in `SAMPLERS`.
        sampler: a solver or stepper.
        steps: number of steps.
        grid: time grid.
        nfe: joint network calls per graph.
    """

    name: str
    sampler: Any
    steps: int
    grid: Any
    nfe: int

    def __str__(self) -> str:
        return f"sampler {self.name}, {self.steps} steps, {self.nfe} network calls"


def choose(
    presets: Mapping[str, Settings],
    preset: str,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    norm: Literal["sample", "batch"] = "sample",
) -> Method:
    """The method of a preset, with another sampler or number of steps where given.

    Raises:
        InputError: an unknown preset or sampler, or no steps.
    """
    if preset not in presets:
        raise InputError(f"preset {preset!r} is unknown; expected one of {', '.join(presets)}")
    settings = presets[preset]
    settings = replace(settings, sampler=sampler or settings.sampler, steps=settings.steps if steps is None else steps)
    grid, n = grids.SGMSE(settings.end), settings.steps
    langevin = Langevin(settings.snr, reduce=norm, scale=settings.scale, alphas=score_sde_alphas)
    tables = score_sde_tables if settings.predictor == "reverse" else per_count
    match settings.sampler:
        case "pc":
            corrector = langevin if settings.corrector else None
            return Method("pc", PredictorCorrector(ReverseDiffusion(tables), corrector), n, grid, n * (2 if corrector else 1))
        case "s4":
            return Method("s4", S4(langevin), n, grid, n)
        case "ancestral":
            return Method("ancestral", DDIM(1.0), n, grid, n)
        case "multistep":
            return Method("multistep", DPMSolverPP(2), n, grid, n)
        case "multistep-sde":
            return Method("multistep-sde", SDEDPMSolverPP(2), n, grid, n)
        case _:
            return Method("flow", PredictorCorrector(ReverseDiffusion(tables, eta=0.0), None), n, grid, n)
