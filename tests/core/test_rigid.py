"""The rigid process: its ends, its marginals, its posterior, and the schedule of DiffusionReg."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.denoisers import Denoiser, Prediction
from polyscore.errors import InputError
from polyscore.hub import build, config_of
from polyscore.lie import geodesic, inverse, se3_exp, se3_log
from polyscore.noise import Recorded, Silent
from polyscore.processes import VP, BetaTable, Product, Rigid, cosine_betas, linear_betas
from polyscore.samplers import Ancestral, sample, trajectory
from polyscore.state import Given

PROCESS = Rigid(BetaTable(cosine_betas(20)), rotation_std=0.1, translation_std=0.01)
START = torch.eye(4, dtype=torch.float64)


def motions(n: int, *, seed: int = 0, size: float = 0.8) -> Tensor:
    return se3_exp(size * torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def exact(x0: Any) -> Denoiser:
    return lambda x, t, given: Prediction(x0)


def test_at_time_zero_the_data_are_kept() -> None:
    x0 = motions(6)
    torch.testing.assert_close(PROCESS.perturb(x0, 0.0, noise=1).x, x0)
    torch.testing.assert_close(PROCESS.transition(motions(6, seed=1), Prediction(x0), 0.4, 0.0, noise=2), x0)


@pytest.mark.parametrize("end", [None, 7])
def test_without_noise_the_state_walks_the_geodesic_to_the_end_point(end: int | None) -> None:
    x0 = motions(5)
    y = None if end is None else motions(5, seed=end)
    for t in (0.05, 0.3, 0.8):
        a = float(PROCESS.schedule.coefs_of(t).a)
        found = PROCESS.perturb(x0, t, given=Given(y=y), noise=Silent()).x
        torch.testing.assert_close(found, geodesic(x0, START.expand(5, 4, 4) if y is None else y, 1 - a))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_mean_of_a_step_stays_on_the_screw(eta: float) -> None:
    x0, y = motions(5, size=0.5), motions(5, seed=3, size=0.3)
    given = Given(y=y)
    now = PROCESS.perturb(x0, 0.7, given=given, noise=Silent()).x
    then = PROCESS.transition(now, Prediction(x0), 0.7, 0.25, eta=eta, given=given, noise=Silent())
    if eta == 0:  # the deterministic step keeps the noise, here none
        torch.testing.assert_close(then, PROCESS.perturb(x0, 0.25, given=given, noise=Silent()).x)
    whole, first = (se3_log(g @ inverse(y)) for g in (x0, then))
    ratio = (whole * first).sum(-1, keepdim=True) / whole.square().sum(-1, keepdim=True)
    torch.testing.assert_close(first, ratio * whole)
    torch.testing.assert_close(ratio, PROCESS.schedule.coefs_of(0.25).a.expand(5, 1))


def test_the_tangent_noise_has_the_stated_spread() -> None:
    x0 = motions(1).expand(20_000, 4, 4)
    for t in (0.2, 0.9):
        clean = PROCESS.perturb(x0, t, noise=Silent()).x
        noisy, eps = PROCESS.perturb(x0, t, noise=3)
        twist = se3_log(noisy @ inverse(clean))
        s = float(PROCESS.schedule.coefs_of(t).s)
        std = torch.tensor([0.1] * 3 + [0.01] * 3, dtype=torch.float64)
        torch.testing.assert_close(twist, s * std * eps, atol=1e-12, rtol=0)
        torch.testing.assert_close(twist.std(0), s * std, rtol=0.03, atol=0)
        assert torch.corrcoef(twist.T).fill_diagonal_(0).abs().max() < 0.04


def test_a_chain_of_posteriors_has_the_forward_marginal() -> None:
    """H_0 = H_T: all is noise, so the reverse chain started from the prior must keep the forward spread s_t at every time."""
    process = Rigid(BetaTable(cosine_betas(20)), rotation_std=0.01, translation_std=0.02)
    x0 = START.expand(20_000, 4, 4)
    for frame in trajectory(Ancestral(), exact(x0), process, x0, steps=10, noise=5):
        s = float(process.schedule.coefs_of(frame.t).s)
        spread = se3_log(frame.x).std(0) / torch.tensor([0.01] * 3 + [0.02] * 3, dtype=torch.float64)
        torch.testing.assert_close(spread, torch.full((6,), s, dtype=torch.float64), rtol=0.03, atol=1e-9)


def test_the_prior_surrounds_the_end_point() -> None:
    y = motions(1, seed=4).expand(4000, 4, 4)
    twist = se3_log(PROCESS.prior(y, given=Given(y=y), noise=0) @ inverse(y))
    torch.testing.assert_close(twist.std(0), torch.tensor([0.1] * 3 + [0.01] * 3, dtype=torch.float64), rtol=0.05, atol=0)
    assert (twist.mean(0).abs() < torch.tensor([0.006] * 3 + [0.0006] * 3)).all()


def test_sampling_ends_at_what_the_denoiser_says_and_sample_i_depends_on_seed_i() -> None:
    x0 = motions(4)
    torch.testing.assert_close(sample(Ancestral(), exact(x0), PROCESS, x0, steps=5, noise=1), x0)
    whole = PROCESS.perturb(x0, torch.tensor([0.1, 0.4, 0.6, 1.0]), noise=8).x
    alone = PROCESS.perturb(x0[2:3], 0.6, noise=10).x
    torch.testing.assert_close(whole[2:3], alone)


def test_times_differ_by_sample_in_a_transition() -> None:
    x, x0 = motions(3), motions(3, seed=1)
    t, u = torch.tensor([0.9, 0.5, 0.3]), torch.tensor([0.4, 0.4, 0.0])
    joint = PROCESS.transition(x, Prediction(x0), t, u, noise=2)
    for i in range(3):
        one = PROCESS.transition(x[i : i + 1], Prediction(x0[i : i + 1]), float(t[i]), float(u[i]), noise=2 + i)
        torch.testing.assert_close(joint[i : i + 1], one, atol=1e-6, rtol=0)  # float32 times


def test_a_motion_beside_a_vector_in_one_product() -> None:
    x0 = {"pose": motions(3), "size": torch.ones(3, 2, dtype=torch.float64)}
    process = Product(pose=PROCESS, size=VP())
    out = sample(Ancestral(), exact(x0), process, x0, steps=4, noise=0)
    torch.testing.assert_close(out["pose"], x0["pose"])
    assert (out["size"] - 1).abs().max() < 0.2


def test_gradients_reach_the_prediction() -> None:
    x0 = motions(2).requires_grad_()
    out = PROCESS.transition(START.expand(2, 4, 4), Prediction(x0), 1.0, 0.5, noise=0)  # takes the log of the identity
    (slope,) = torch.autograd.grad(out.sum(), x0)
    assert torch.isfinite(slope).all() and slope.abs().max() > 0


def test_the_configuration_is_the_constructor_call() -> None:
    assert build(config_of(PROCESS)) == PROCESS


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"state is \(2, 3, 4\)"):
        PROCESS.perturb(torch.zeros(2, 3, 4), 0.5)
    with pytest.raises(InputError, match="rotation_std -1"):
        Rigid(rotation_std=-1)


@pytest.mark.parametrize(
    ("name", "betas"),
    [
        ("test_cosine5", cosine_betas(5)),
        ("train_cosine200", cosine_betas(200)),
        ("linear200", linear_betas(200, 1e-4, 0.05)),
    ],
)
def test_the_originals_schedule(reference: Path, name: str, betas: tuple[float, ...]) -> None:
    golden = np.load(reference / "shapes" / "golden" / "diffreg_schedule.npz")
    n = len(betas)
    table = BetaTable(betas)
    t = torch.arange(n + 1, dtype=torch.float64) / n
    a, _, s = table.coefs(t)
    np.testing.assert_allclose((a**2).numpy(), golden[f"{name}_alpha_bars"], rtol=2e-5, atol=1e-7)
    np.testing.assert_allclose([0, *betas], golden[f"{name}_betas"], rtol=2e-6)
    step = table.step(t[2:], t[1:-1])
    # The original adds float32 logarithms, and its 1 - abar_1 has lost digits.
    for found, key in ((step.data, "gamma0"), (step.keep, "gamma1"), (step.noise**2, "gamma2")):
        np.testing.assert_allclose(found.numpy(), golden[f"{name}_{key}"][2:], rtol=2e-3, atol=2e-6, err_msg=key)
    assert math.isclose(float(s[0]), 0.0)


def test_the_originals_last_step(reference: Path) -> None:
    golden = {k: torch.from_numpy(v) for k, v in np.load(reference / "shapes" / "golden" / "diffreg_official_ckpt.npz").items()}
    process = Rigid(BetaTable(cosine_betas(5)), rotation_std=0.1, translation_std=0.01)
    now, then = golden["traj_sto"][3:4], golden["traj_sto"][4:]
    found = process.transition(now, Prediction(golden["H0_sto"][None]), 0.4, 0.2, noise=Recorded([golden["noise"][3]]))
    torch.testing.assert_close(found, then, atol=2e-6, rtol=0)
