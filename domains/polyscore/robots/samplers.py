r"""BESO's samplers under its names: members of the core, and k-diffusion's two solvers that end at the lowest level.

| original name | sampler |
|---|---|
| ddim | `DDIM` |
| euler, heun | `EDMChurn` around Euler or Heun in sigma |
| dpm | `DPM2` |
| dpmpp_2s, dpmpp_2m | `DPMSolverPP2S`, `DPMSolverPP` |
| lms | `LMS` |
| euler_ancestral, ancestral, dpmpp_2s_ancestral | `EulerAncestral`, `DPM2Ancestral`, `DPMSolverPP2SAncestral` |
| dpmpp_sde | `DPMSolverPPSDE`; the original runs it under the name dpmpp_2m_sde as well |
| dpmpp_2m_sde | `SDEDPMSolverPP(order=2)`, what the name says |
| dpm_fast, dpm_adaptive | `DPMFast`, `DPMAdaptive` |

Source: Crowson's k-diffusion (2022); Lu et al. 2022, arXiv:2206.00927 and arXiv:2211.01095; Karras et al. 2022, arXiv:2206.00364.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from polyscore.errors import InputError
from polyscore.processes import GaussianProcess
from polyscore.processes.clocks import LOG_SNR
from polyscore.samplers import (
    DDIM,
    DPM2,
    HALF_GAIN,
    LMS,
    NOISE,
    AdaptiveDPMSolver,
    Builder,
    DPM2Ancestral,
    DPMSolver3,
    DPMSolverPP,
    DPMSolverPP2S,
    DPMSolverPP2SAncestral,
    DPMSolverPPSDE,
    DPMSolverSinglestep,
    EDMChurn,
    EulerAncestral,
    Heun,
    Plan,
    Run,
    RungeKutta,
    SDEDPMSolverPP,
    StepState,
)
from polyscore.samplers.runge_kutta import EULER

__all__ = ["SAMPLERS", "DPMAdaptive", "DPMFast", "make"]

SAMPLERS = (
    "ddim",
    "euler",
    "heun",
    "dpm",
    "dpmpp_2s",
    "dpmpp_2m",
    "lms",
    "euler_ancestral",
    "ancestral",
    "dpmpp_2s_ancestral",
    "dpmpp_sde",
    "dpmpp_2m_sde",
    "dpm_fast",
    "dpm_adaptive",
)


@dataclass(frozen=True)
class DPMFast:
    """DPM-Solver-fast of k-diffusion: `calls` evaluations from the first to the last level above 0, where it ends.

    calls // 3 + 1 steps of equal length in ln sigma, of orders 3, 3, ..., 2, 1 or 3, ..., 3, calls mod 3. The original passes the
    number of levels, one more than the steps it was asked for; that is `extra` = 1.
    """

    extra: int = 1
    order: int = 3

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, [t for t in times if t > 0])
        calls = len(times) - 1 + self.extra
        count = calls // 3 + 1
        orders = [3] * (count - 2) + [2, 1] if calls % 3 == 0 else [3] * (count - 1) + [calls % 3]
        first, last = b.nodes[0], b.nodes[-1]
        ends = [b.between(first, last, k / count, LOG_SNR) for k in range(count + 1)]
        for order, t, u in zip(orders, ends[:-1], ends[1:], strict=True):
            if order == 1:
                b.first_order(t, u)
            else:
                solver = DPMSolver3() if order == 3 else DPMSolverSinglestep(2, NOISE, HALF_GAIN)
                inner = [b.between(t, u, k / order, LOG_SNR) for k in range(1, order)]
                solver.block(b, [t, *inner, u], on_grid=False)
        return b.plan()


@dataclass(frozen=True)
class DPMAdaptive(AdaptiveDPMSolver):
    """Adaptive DPM-Solver of k-diffusion: one error for the whole batch, and an end at the last level above 0.

    The step changes by a factor 1 + atan(E^(-1/3) - 1); a step is taken where it is 0.81 or more.
    """

    form: Literal["x0", "eps"] = "eps"

    def init(self, run: Run, x: Any) -> StepState:
        return super().init(_above_zero(run), x)

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        return super().step(_above_zero(run), state, i)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return super().done(_above_zero(run), state, i)

    def norm(self, ratio: Tensor) -> float:
        return float(ratio.square().mean().sqrt())

    def control(self, error: float) -> tuple[float, bool]:
        factor = 1 + math.atan((1 / (1e-8 + error)) ** (1 / self.order) - 1)
        return factor, factor >= 0.81


def _above_zero(run: Run) -> Run:
    return run._replace(times=tuple(t for t in run.times if t > 0))


def make(
    name: str,
    *,
    eta: float = 1.0,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float | None = None,
) -> Any:
    """The sampler of an original name; `eta` is read by the ancestral ones, the rest by "euler" and "heun".

    Without `s_noise` it is the original's: 1.003 for "heun", 1 for "euler".

    Raises:
        InputError: an unknown name.
    """
    churn: dict[str, Any] = {
        "s_churn": s_churn,
        "s_min": s_tmin,
        "s_max": s_tmax,
        "s_noise": s_noise or (1.003 if name == "heun" else 1.0),
    }
    match name:
        case "ddim":
            return DDIM()
        case "euler":
            return EDMChurn(**churn, inner=RungeKutta(EULER, NOISE))
        case "heun":
            return EDMChurn(**churn, inner=Heun())
        case "dpm":
            return DPM2()
        case "dpmpp_2s":
            return DPMSolverPP2S()
        case "dpmpp_2m":
            return DPMSolverPP(order=2, tail=0)
        case "lms":
            return LMS()
        case "euler_ancestral":
            return EulerAncestral(eta)
        case "ancestral":
            return DPM2Ancestral(eta)
        case "dpmpp_2s_ancestral":
            return DPMSolverPP2SAncestral(eta)
        case "dpmpp_sde":
            return DPMSolverPPSDE(eta)
        case "dpmpp_2m_sde":
            return SDEDPMSolverPP(order=2)
        case "dpm_fast":
            return DPMFast()
        case "dpm_adaptive":
            return DPMAdaptive()
        case _:
            raise InputError(f"sampler {name!r} is unknown; expected one of {', '.join(SAMPLERS)}")
