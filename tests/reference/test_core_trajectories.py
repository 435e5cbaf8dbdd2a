"""Other libraries' trajectories on an analytic mixture, replayed by plans: final states to 1e-10 in float64.

The libraries and their versions are in each file's meta; levels come from the files, never from a library's rounded timesteps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.noise import Recorded
from polyscore.processes import EDM, VP, BetaTable, Cosine, Flow, GaussianProcess
from polyscore.processes.clocks import LOG_SNR
from polyscore.samplers import (
    DDIM,
    DDPM,
    DEIS,
    LMS,
    PNDM,
    DPMSolver,
    DPMSolverPP,
    DPMSolverPPSDE,
    DPMSolverSinglestep,
    EDMChurn,
    EulerAncestral,
    ExponentialAdams,
    Heun,
    Midpoint,
    SDEDPMSolverPP,
    Solver,
    UniPC,
    execute,
)
from polyscore.testing import GMMDenoiser, Mixture

Case = dict[str, Any]
TABLE = BetaTable()  # 1000 betas from 1e-4 to 0.02


def vp_sigmas(case: Case) -> tuple[GaussianProcess, list[float]]:
    """Levels s / a on the beta table's process, whose angle is continuous in t."""
    sigmas = torch.tensor(case["scheduler_sigmas"])
    times = torch.where(sigmas > 0, TABLE.time_at_sigma(sigmas), torch.zeros_like(sigmas))
    return TABLE, times.tolist()


def ve_sigmas(case: Case) -> tuple[GaussianProcess, list[float]]:
    """Levels of x0 + sigma eps."""
    process = EDM(sigma_max=200.0)
    sigmas = case["scheduler_sigmas"] if "scheduler_sigmas" in case else case["sigmas"]
    return process, process.time_at_sigma(torch.tensor(sigmas)).tolist()


def indices(case: Case) -> tuple[GaussianProcess, list[float]]:
    """Integer indices of the beta table at which the model was called, then clean data."""
    n = len(case["traj"]) if "timesteps" in case else 0
    return TABLE, [*TABLE.time(torch.tensor(case["timesteps"][:n])).tolist(), 0.0]


def pndm_indices(case: Case) -> tuple[GaussianProcess, list[float]]:
    """Every N-th index; the last step stays at index 0, as with set_alpha_to_one=False."""
    n = int(case["nfe"]) - 9
    places = [1000 // n * k for k in range(n - 1, -1, -1)]
    return TABLE, [*TABLE.time(torch.tensor(places)).tolist(), float(TABLE.time(0))]


def flow_sigmas(case: Case) -> tuple[GaussianProcess, list[float]]:
    """t is sigma."""
    return Flow(), [float(s) for s in case["scheduler_sigmas"]]


def mirrored(case: Case) -> tuple[GaussianProcess, list[float]]:
    """flow_matching counts t from noise to data."""
    return Flow(), [float(s) for s in case["sigma"]]


def cosine(case: Case) -> tuple[GaussianProcess, list[float]]:
    return Cosine(1e-3, 1e-3), [float(t) for t in case["t"]]


def azula_vp(case: Case) -> tuple[GaussianProcess, list[float]]:
    """alpha = m^(t^2) with m = 1e-3 is VP with beta_min = 0 and beta_max = -4 ln m."""
    return VP(0.0, -4 * float(np.log(1e-3)), 1e-3), [float(t) for t in case["t"]]


Grid = Callable[[Case], tuple[GaussianProcess, list[float]]]
CASES: list[tuple[str, Solver, Grid]] = [
    ("diffusers__ddim_eta0_trailing", DDIM(), indices),
    ("diffusers__ddim_eta1_leading", DDIM(1.0), indices),
    ("diffusers__ddpm_fixed_small", DDPM(), indices),
    ("diffusers__deis2", DEIS(order=2), vp_sigmas),
    ("diffusers__dpm_2m", DPMSolver(order=2), vp_sigmas),
    ("diffusers__dpm_3s", DPMSolverSinglestep(order=3), vp_sigmas),
    ("diffusers__dpmpp_2m_karras", DPMSolverPP(), vp_sigmas),
    ("diffusers__dpmpp_2m_midpoint_zero", DPMSolverPP(), vp_sigmas),
    ("diffusers__sde_dpmpp_2m", SDEDPMSolverPP(), vp_sigmas),
    ("diffusers__unipc2_bh2_x0", UniPC(), vp_sigmas),
    ("diffusers__pndm", PNDM(), pndm_indices),
    ("diffusers__euler_karras", DDIM(), ve_sigmas),
    ("diffusers__euler_ancestral", EulerAncestral(), ve_sigmas),
    ("diffusers__flow_euler", DDIM(), flow_sigmas),
    ("kdiffusion__dpmpp_2m__karras", DPMSolverPP(tail=0), ve_sigmas),
    ("kdiffusion__dpmpp_sde__karras", DPMSolverPPSDE(), ve_sigmas),
    ("kdiffusion__heun__karras", Heun(), ve_sigmas),
    ("kdiffusion__heun__karras", EDMChurn(s_churn=0.0), ve_sigmas),
    ("kdiffusion__lms4__karras", LMS(), ve_sigmas),
    ("azula__ddim_eta0__cosine", DDIM(), cosine),
    ("azula__xeab2__vp", ExponentialAdams(clock=LOG_SNR), azula_vp),
    ("flowmatching__midpoint__condot", Midpoint(), mirrored),
]


def read(path: Path) -> dict[str, Case]:
    """`{n}` -> arrays, and the numbers of nothing else."""
    out: dict[str, Case] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            if "/" in key:
                group, name = key.split("/")
                out.setdefault(group, {})[name] = file[key]
        json.loads(file["meta"].item())
    return out


@pytest.fixture(scope="module")
def problem(reference: Path) -> tuple[Mixture, list[Tensor]]:
    with np.load(reference / "core" / "gmm.npz", allow_pickle=False) as file:
        mixture = Mixture(*(torch.tensor(file[k]) for k in ("weights", "means", "covs")))
        return mixture, list(torch.tensor(file["noise_long"]))


@pytest.mark.parametrize(("name", "solver", "grid"), CASES, ids=[f"{name}-{type(solver).__name__}" for name, solver, _ in CASES])
def test_trajectory(name: str, solver: Solver, grid: Grid, reference: Path, problem: tuple[Mixture, Sequence[Tensor]]) -> None:
    mixture, draws = problem
    for group, case in read(reference / "core" / f"{name}.npz").items():
        process, times = grid(case)
        plan = solver.plan(process, times)
        assert plan.nfe == int(case["nfe"]), f"{name} {group}: {plan.nfe} evaluations, the original makes {case['nfe']}"
        x = torch.tensor(case["x_init"])
        levels = [stage.level for stage in plan.stages if stage.at is not None]
        for found, key in zip(zip(*levels, strict=True), ("eval_alpha", None, "eval_sigma"), strict=True):
            if key is not None:
                np.testing.assert_allclose(np.array(found), case[key], atol=1e-12, rtol=1e-10, err_msg=f"{name} {group} {key}")
        out = execute(plan, GMMDenoiser(mixture, process), process, x, noise=Recorded(draws))
        error = float((out - torch.tensor(case["x_final"])).abs().max())
        assert error <= 1e-10, f"{name} {group}: {error:.2g}"
