"""Steppers and likelihoods against other libraries' numbers on an analytic mixture, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from polyscore.evaluation import log_likelihood
from polyscore.noise import Recorded
from polyscore.processes import EDM, VP, Flow
from polyscore.samplers import (
    RK45,
    Langevin,
    PredictorCorrector,
    ReverseDiffusion,
    ScoreSDEAncestral,
    sample,
    score_sde_alphas,
    score_sde_tables,
    trajectory,
)
from polyscore.state import NONE
from polyscore.testing import GMMDenoiser, Mixture


def load(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def problem(reference: Path) -> tuple[Mixture, list[Tensor]]:
    arrays = load(reference / "core" / "gmm.npz")
    mixture = Mixture(*(torch.tensor(arrays[key]) for key in ("weights", "means", "covs")))
    return mixture, list(torch.tensor(arrays["noise_long"]))


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        ("ancestral_sampling_none", PredictorCorrector(ScoreSDEAncestral(), None)),
        (
            "reverse_diffusion_langevin",
            PredictorCorrector(
                ReverseDiffusion(score_sde_tables), Langevin(0.16, reduce="batch", alphas=score_sde_alphas)
            ),
        ),
    ],
)
@pytest.mark.parametrize("n", [50, 100, 200])
def test_score_sde(
    name: str, sampler: PredictorCorrector, n: int, reference: Path, problem: tuple[Mixture, list[Tensor]]
) -> None:
    """Every state of the run but the last, which the library keeps noisy, and the mean it returns."""
    mixture, draws = problem
    arrays = load(reference / "core" / f"scoresde__{name}__vp.npz")
    case = {key.split("/")[1]: torch.tensor(value) for key, value in arrays.items() if key.startswith(f"n{n}/")}
    process, noise = VP(0.1, 20.0), Recorded(draws)
    frames = list(
        trajectory(
            sampler,
            GMMDenoiser(mixture, process),
            process,
            case["x_init"],
            steps=n,
            grid=[*case["t"].tolist(), 0.0],
            noise=noise,
            init=case["x_init"],
        )
    )
    assert noise.used == int(case["n_noise"])
    for frame, expected in zip(frames[:-1], case["traj"], strict=False):
        torch.testing.assert_close(frame.x, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(frames[-1].x, case["x_mean_final"], rtol=0, atol=1e-10)


def test_dopri5(reference: Path, problem: tuple[Mixture, list[Tensor]]) -> None:
    """torchdiffeq's dopri5 at 1e-10 interpolates its end point and is 2e-9 from the exact flow, which RK45 meets to 1e-10."""
    arrays = load(reference / "core" / "flowmatching__dopri5__condot.npz")
    process, denoiser = Flow(), GMMDenoiser(problem[0], Flow())
    x, expected = (torch.tensor(arrays[f"n5/{key}"]) for key in ("x_init", "x_final"))
    ends = [float(arrays["n5/sigma"][k]) for k in (0, -1)]

    def slope(t: float, flat: Any) -> Any:
        point = torch.from_numpy(flat.reshape(x.shape))
        return process.velocity(point, denoiser(point, t, NONE).x0, t).numpy().ravel()

    exact = solve_ivp(slope, ends, x.numpy().ravel(), method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1].reshape(x.shape)
    found = sample(RK45(1e-12, 1e-12), denoiser, process, x, steps=1, grid=ends, init=x)
    np.testing.assert_allclose(found.numpy(), exact, rtol=0, atol=1e-10)
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-9)


LEVELS = [("logp_data", 1e-4), *((f"logp_ve_sigma_{s}", float(s)) for s in ("0.01", "0.1", "1.0", "10.0"))]


@pytest.mark.parametrize(("key", "sigma"), LEVELS)
def test_exact_log_density(key: str, sigma: float, reference: Path, problem: tuple[Mixture, list[Tensor]]) -> None:
    """Density of x0 + sigma eps, in nats, also far out in the tails; the data themselves from a level of 1e-4."""
    arrays = load(reference / "core" / "exact_logp.npz")
    process = EDM(sigma_max=1e4)
    x = torch.tensor(arrays["x"])
    found = log_likelihood(GMMDenoiser(problem[0], process), process, x, start=sigma / 1e4)
    torch.testing.assert_close(found, torch.tensor(arrays[key]), rtol=0, atol=1e-3)
