"""Every linear solver, once, with its true order; what the tests of the samplers run over."""

from __future__ import annotations

from polyscore.processes.clocks import ANGLE, LOG_SNR, NOISE_LEVEL, TIME
from polyscore.samplers import (
    DATA,
    DDIM,
    DDPM,
    DEIS,
    DPM2,
    GHVB,
    HALF_CURVATURE,
    HALF_STEP,
    LMS,
    NOISE,
    PLMS,
    PNDM,
    VELOCITY,
    DataForm,
    DPM2Ancestral,
    DPMSolver,
    DPMSolver3,
    DPMSolverPP,
    DPMSolverPP2S,
    DPMSolverPP2SAncestral,
    DPMSolverPPSDE,
    DPMSolverSinglestep,
    EDMChurn,
    Euler,
    EulerAncestral,
    ExponentialAdams,
    Heun,
    Midpoint,
    RungeKutta,
    SDEDPMSolverPP,
    Solver,
    UniP,
    UniPC,
)
from polyscore.samplers.runge_kutta import EULER, HEUN, KUTTA3, RK4

__all__ = ["DETERMINISTIC", "LEVEL_BASED", "STOCHASTIC", "name_of"]

# (solver, observed order). Multistep methods of order p start at order 1, whose single step leaves an error of order 2, unless
# Runge-Kutta steps start them; the published third-order multistep formulas halve a moment and are of order 2; singlestep
# DPM-Solver on the grid ends with a step of order 1, `DPMSolver3` is of order 3 throughout.
DETERMINISTIC: list[tuple[Solver, int]] = [
    (DDIM(), 1),
    (Euler(), 1),
    (RungeKutta(EULER, NOISE), 1),
    (Midpoint(), 2),
    (Heun(), 2),
    (DPM2(), 2),
    (RungeKutta(KUTTA3), 3),
    (RungeKutta(KUTTA3, NOISE), 3),
    (RungeKutta(RK4), 3),
    (RungeKutta(RK4, NOISE), 3),
    (RungeKutta(RK4, DATA, LOG_SNR), 2),
    (DPMSolverPP2S(), 2),
    (DPMSolver3(), 3),
    (DPMSolver3(form=DATA), 3),
    (DPMSolver3(last=(0, 1, 2)), 3),
    (DPMSolver(order=1), 1),
    (DPMSolver(), 2),
    (DPMSolver(order=3), 2),
    (DPMSolverPP(order=1), 1),
    (DPMSolverPP(), 2),
    (DPMSolverPP(rule=HALF_CURVATURE), 2),
    (DPMSolverPP(order=3, tail=0), 2),
    (DPMSolverSinglestep(order=2), 2),
    (DPMSolverSinglestep(order=3), 2),
    (DPMSolverSinglestep(order=3, form=DATA), 2),
    (ExponentialAdams(clock=ANGLE), 2),
    (ExponentialAdams(clock=TIME), 2),
    (ExponentialAdams(form=NOISE, clock=NOISE_LEVEL), 2),
    (ExponentialAdams(form=VELOCITY), 2),
    (ExponentialAdams(order=3, clock=ANGLE, start=KUTTA3), 3),
    (ExponentialAdams(order=3, clock=LOG_SNR, start=KUTTA3), 3),
    (LMS(order=2), 2),
    (LMS(order=3, start=KUTTA3), 3),
    (DEIS(order=2), 2),
    (DEIS(order=3, clock=NOISE_LEVEL, start=KUTTA3), 3),
    (DEIS(order=4), 2),
    (UniP(order=1), 1),
    (UniP(), 2),
    (UniP(order=3), 2),
    (UniPC(), 2),
    (UniPC(tail=0), 3),
    (UniPC(tail=0, bh=HALF_STEP), 3),
    (UniPC(tail=0, form=NOISE), 3),
    (UniPC(order=3, tail=0), 3),
    (PNDM(), 2),
    (PLMS(), 2),
    (GHVB(order=1), 1),
    (GHVB(), 2),
    (GHVB(beta=0.5, start=HEUN, starts=1), 2),
]
STOCHASTIC: list[Solver] = [
    DDPM(),
    DDIM(0.5),
    EulerAncestral(),
    DPM2Ancestral(),
    DPMSolverPP2SAncestral(),
    DPMSolverPPSDE(),
    EDMChurn(s_noise=1.0),
    SDEDPMSolverPP(),
    SDEDPMSolverPP(order=3),
    ExponentialAdams(form=DataForm(0.5), clock=ANGLE),
]
# Solvers that know the process through sigma = s / a alone: the change of variables x / a maps one process to another.
LEVEL_BASED: list[Solver] = [
    DDIM(),
    Heun(),
    DPM2(),
    DPMSolverPP2S(),
    DPMSolver3(),
    DPMSolver(order=3),
    DPMSolverPP(order=3),
    DPMSolverSinglestep(),
    ExponentialAdams(order=3, clock=ANGLE),
    ExponentialAdams(clock=LOG_SNR),
    LMS(),
    DEIS(),
    UniPC(order=3),
    UniPC(form=NOISE, bh=HALF_STEP),
    PLMS(),
    GHVB(),
    EulerAncestral(),
    DPM2Ancestral(),
    DPMSolverPP2SAncestral(),
    DPMSolverPPSDE(),
    SDEDPMSolverPP(),
    EDMChurn(),
]


def name_of(solver: object) -> str:
    """Class and the arguments that are not its defaults."""
    changed = (
        f"{key}={value}" for key, value in vars(solver).items() if value != getattr(type(solver)(), key, None)
    )
    return f"{type(solver).__name__}({', '.join(changed)})"[:60]
