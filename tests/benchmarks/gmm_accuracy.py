"""Distance of few-step samplers to the exact end of the probability flow, on an analytic Gaussian mixture.

    python -m tests.benchmarks.gmm_accuracy [--steps 5 10 20 50] [--report FILE.json]

The mixture is two-dimensional with data standard deviation about 1; the exact end comes from DOP853 at 1e-12 in the angle
atan2(s, a), in which the flow of every process is the same and regular at both ends. Figures are root mean squares over 256
starts, one plan per number of steps; nfe may exceed the number of steps.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from polyscore.processes import EDM, OUVE, VP, Flow, GaussianProcess
from polyscore.samplers import (
    DDIM,
    DEIS,
    DPM2,
    GHVB,
    LMS,
    NOISE,
    PLMS,
    PNDM,
    VELOCITY,
    DPMSolver,
    DPMSolver3,
    DPMSolverPP,
    DPMSolverPP2S,
    DPMSolverSinglestep,
    ExponentialAdams,
    Heun,
    Midpoint,
    RungeKutta,
    Solver,
    UniPC,
    execute,
    grids,
    times_of,
)
from polyscore.state import NONE, Given
from polyscore.testing import GMMDenoiser, Mixture

__all__ = ["exact_end", "mixture", "rms_error", "starts"]

F64 = torch.float64


def mixture() -> Mixture:
    """Five Gaussians of unequal weight, orientation and width; total standard deviation about 1 per axis."""
    angles = torch.arange(5, dtype=F64) * (2 * math.pi / 5)
    means = 1.3 * torch.stack([angles.cos(), angles.sin()], -1) * torch.tensor([[1.0], [0.8], [1.1], [0.9], [0.5]], dtype=F64)
    turn = torch.stack([torch.stack([angles.cos(), -angles.sin()], -1), torch.stack([angles.sin(), angles.cos()], -1)], -2)
    widths = torch.tensor([[0.02, 0.05], [0.03, 0.02], [0.06, 0.02], [0.02, 0.02], [0.04, 0.08]], dtype=F64)
    return Mixture(torch.tensor([0.3, 0.25, 0.2, 0.15, 0.1], dtype=F64), means, turn @ torch.diag_embed(widths) @ turn.mT)


def starts(process: GaussianProcess, n: int = 256) -> tuple[Tensor, Given]:
    """States at t = 1 and what they are given."""
    y = torch.tensor([0.9, 0.4], dtype=F64).expand(n, 2)
    given = Given(y=y) if float(process.coefs_of(1.0).b) else NONE
    return process.prior(torch.empty(n, 2, dtype=F64), given=given, noise=0), given


def exact_end(data: Mixture, process: GaussianProcess, x: Tensor, given: Given, *, t: float = 1.0) -> Tensor:
    """Data end of the probability flow from x at t.

    w = z / sqrt(a^2 + s^2) obeys w' = cos(q) eps - sin(q) D in the angle q = atan2(s, a).
    """
    a, b, s = (float(c) for c in process.coefs_of(t))
    z = x if given.y is None else x - b * given.y

    def split(q: float, w: Any) -> tuple[Tensor, Tensor]:
        cos, sin = (torch.tensor(f(q), dtype=F64) for f in (math.cos, math.sin))
        state = torch.as_tensor(w).reshape(x.shape)
        x0 = data.log_prob_and_mean(state, cos, sin)[1]
        return x0, (cos * (state - cos * x0) / sin - sin * x0).flatten()

    start, end = math.atan2(s, a), 1e-6
    flow = solve_ivp(
        lambda q, w: split(q, w)[1].numpy(),
        (start, end),
        (z / math.hypot(a, s)).flatten().numpy(),
        "DOP853",
        rtol=1e-12,
        atol=1e-12,
    )
    return split(end, flow.y[:, -1])[0]


def rms_error(solver: Solver, data: Mixture, process: GaussianProcess, times: Sequence[float], exact: Tensor) -> float:
    """Root mean square distance per coordinate to the exact end; NaN where the plan is unstable enough to overflow."""
    x, given = starts(process, len(exact))
    end = execute(solver.plan(process, times), GMMDenoiser(data, process), process, x, given=given)
    return float((end - exact).square().mean().sqrt())


SOLVERS: dict[str, Solver] = {
    "DDIM": DDIM(),
    "Heun (sigma)": Heun(),
    "DPM-Solver-2": DPM2(),
    "midpoint (t)": Midpoint(),
    "RK4 (t)": RungeKutta(),
    "DPM-Solver-3": DPMSolver3(),
    "DPM-Solver single-3 on the grid": DPMSolverSinglestep(),
    "DPM-Solver 2M": DPMSolver(),
    "DPM-Solver++ 2S": DPMSolverPP2S(),
    "DPM-Solver++ 2M": DPMSolverPP(),
    "DPM-Solver++ 3M": DPMSolverPP(order=3),
    "DEIS 2": DEIS(order=2),
    "DEIS 3": DEIS(),
    "LMS 4": LMS(),
    "PNDM": PNDM(),
    "PLMS": PLMS(),
    "GHVB 2, beta .8": GHVB(),
    "UniPC 2, x0": UniPC(),
    "UniPC 2, eps": UniPC(form=NOISE),
    "UniPC 3, x0": UniPC(order=3),
    "Adams 2, own clock": ExponentialAdams(),
    "Adams 3, own clock": ExponentialAdams(order=3),
    "Adams 2, velocity": ExponentialAdams(form=VELOCITY),
}
SETTINGS: dict[str, tuple[GaussianProcess, grids.Grid | None]] = {
    "VP, own grid": (VP(), None),
    "VP, log-SNR": (VP(), grids.LogSNR(end=1e-2)),
    "EDM, Karras": (EDM(), None),
    "Flow, uniform": (Flow(), None),
    "OUVE, uniform": (OUVE(), None),
}


def measure(steps: Sequence[int]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """setting -> solver -> {"rms": one figure per number of steps, "nfe": ...}."""
    data, table = mixture(), dict[str, dict[str, dict[str, list[float]]]]()
    for name, (process, grid) in SETTINGS.items():
        exact = exact_end(data, process, *starts(process))
        rows = table[name] = {}
        for label, solver in SOLVERS.items():
            runs = [times_of(process, n, grid) for n in steps]
            rows[label] = {
                "rms": [rms_error(solver, data, process, times, exact) for times in runs],
                "nfe": [solver.plan(process, times).nfe for times in runs],
            }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="few-step accuracy on an analytic mixture")
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 20, 50])
    parser.add_argument("--report", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = measure(args.steps)
    for name, rows in table.items():
        print(f"\n{name:34}" + "".join(f"{f'n = {n}':>16}" for n in args.steps))
        for label, row in rows.items():
            cells = (f"{rms:.4f} ({nfe:g})" for rms, nfe in zip(row["rms"], row["nfe"], strict=True))
            print(f"{label:34}" + "".join(f"{cell:>16}" for cell in cells))
    if args.report is not None:
        args.report.write_text(json.dumps({"steps": args.steps, "rms": table}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
