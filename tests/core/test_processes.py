"""Processes against their SDEs, their laws and their published forms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.stats import beta as beta_law
from scipy.stats import kstest
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.noise import Masked, Normal, Recorded, Seeded, Silent, Symmetric
from polyscore.processes import (
    EDM,
    IRSDE,
    OUVE,
    OUVP,
    RDDM,
    VE,
    VP,
    BetaTable,
    Coefs,
    Cosine,
    Flow,
    FlowToEndPoint,
    GaussianProcess,
    GMaxBridge,
    LinearInterpolant,
    PFGMPlusPlus,
    Product,
    Resfusion,
    ResShift,
    ShortestPath,
    SubVP,
    TrigonometricInterpolant,
    VEBridge,
    cosine_betas,
    linear_betas,
    scaled_linear_betas,
    zero_terminal_snr,
)
from polyscore.state import Given
from polyscore.testing import check_process

PROCESSES: list[GaussianProcess] = [
    VP(),
    VP(beta_min=0.01, beta_max=5.0),
    SubVP(),
    VE(),
    EDM(),
    PFGMPlusPlus(dimension=64),
    Cosine(),
    Cosine(alpha_min=0.0),
    BetaTable(),
    BetaTable(scaled_linear_betas()),
    BetaTable(cosine_betas()),
    BetaTable(zero_terminal_snr(scaled_linear_betas())),
    Flow(),
    FlowToEndPoint(),
    LinearInterpolant(),
    LinearInterpolant(scale=0.2),
    TrigonometricInterpolant(),
    OUVE(),
    OUVE(theta=2.0, sigma_min=0.1, sigma_max=1.0),
    OUVP(beta_min=0.1, beta_max=2.0),
    IRSDE(),
    RDDM(),
    ResShift(),
    Resfusion(),
    VEBridge(),
    GMaxBridge(),
]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: f"{type(p).__name__}")
def test_laws_of_every_process(process: GaussianProcess) -> None:
    check_process(process)


def test_laws_of_the_per_frequency_process() -> None:
    check_process(ShortestPath((4, 6)), sample_shape=(4, 6))


def moments_by_integration(drift: float, diffusion2: object, t_end: float, start: float) -> float:
    """Variance at t_end of dx = -k x dt + g dw by solving d(s^2)/dt = -2 k s^2 + g^2 numerically."""
    solution = solve_ivp(lambda t, v: -2 * drift * v + diffusion2(t), (0, t_end), [start], rtol=1e-11, atol=1e-14)  # type: ignore[operator]
    return float(solution.y[0, -1])


@pytest.mark.parametrize("t", [0.05, 0.37, 1.0])
def test_ouve_closed_form_is_the_solution_of_its_sde(t: float) -> None:
    process = OUVE()
    log = math.log(10)
    variance = moments_by_integration(1.5, lambda t: 2 * log * (0.05 * 10**t) ** 2, t, 0.0)
    a, b, s = process.coefs_of(t)
    assert abs(float(s**2) - variance) < 1e-9
    assert abs(float(a) - math.exp(-1.5 * t)) < 1e-14
    assert abs(float(a + b) - 1) < 1e-14
    rates = process.rates(t)
    assert abs(float(rates.f) + 1.5) < 1e-9 and abs(float(rates.h) - 1.5) < 1e-9
    assert abs(float(rates.g2) - 2 * log * (0.05 * 10**t) ** 2) < 1e-9


def test_rates_are_the_published_sdes() -> None:
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    vp = VP().rates(t)
    beta = 0.1 + 19.9 * t
    torch.testing.assert_close(vp.f, -beta / 2, rtol=1e-10, atol=0)
    torch.testing.assert_close(vp.g2, beta, rtol=1e-9, atol=0)
    sub = SubVP().rates(t)
    decay = torch.exp(-2 * (0.1 * t + 19.9 * t**2 / 2))
    torch.testing.assert_close(sub.g2, beta * (1 - decay), rtol=1e-9, atol=0)
    ve = VE().rates(t)
    torch.testing.assert_close(ve.g2, 2 * math.log(5000) * (0.01 * 5000**t) ** 2, rtol=1e-9, atol=0)
    bridge = VEBridge().rates(t)
    torch.testing.assert_close(bridge.g2, 0.4 * 2.6 ** (2 * t), rtol=1e-8, atol=0)
    ouvp = OUVP(beta_min=0.2, beta_max=1.5, stiffness=2.0).rates(t)
    torch.testing.assert_close(ouvp.g2, 0.2 + 1.3 * t, rtol=1e-9, atol=0)
    torch.testing.assert_close(ouvp.f, -(0.2 + 1.3 * t), rtol=1e-9, atol=0)


def test_bridge_reference_process_conditioned_on_both_ends() -> None:
    """A Brownian motion of variance V conditioned on both ends: brute-force Gaussian conditioning gives a, b, s."""
    process = GMaxBridge()
    t, one = torch.tensor(0.3, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    now, end = float(process.variance(t)), float(process.variance(one))
    gain = now / end  # E[w_t | w_1] = cov / var
    a, b, s = (float(c) for c in process.coefs_of(t))
    assert abs(a - (1 - gain)) < 1e-12 and abs(b - gain) < 1e-12
    assert abs(s**2 - (now - gain * now)) < 1e-10


def test_tables_hit_their_nodes_and_zero_terminal_snr_ends_at_zero() -> None:
    betas = linear_betas()
    table = BetaTable(betas)
    abar = np.cumprod(1 - np.array(betas))
    index = torch.arange(1000)
    a, _, s = table.coefs_of(table.time(index))
    np.testing.assert_allclose(a.numpy() ** 2, abar, rtol=1e-11, atol=0)
    np.testing.assert_allclose(s.numpy() ** 2, 1 - abar, rtol=1e-11, atol=0)
    scaled = scaled_linear_betas()
    zero = BetaTable(zero_terminal_snr(scaled))
    assert float(zero.coefs_of(1.0).a) < 1e-12
    first = zero.coefs_of(zero.time(0)).a ** 2
    assert abs(float(first) - (1 - scaled[0])) < 1e-12
    with pytest.raises(InputError, match="betas"):
        BetaTable((0.1, -0.2))


def test_known_forms_of_the_residual_processes() -> None:
    t = torch.tensor([0.2, 0.6], dtype=torch.float64)
    a, b, s = RDDM().coefs_of(t)
    torch.testing.assert_close(a + b, torch.ones_like(a))
    a, b, s = ResShift().coefs_of(t)
    torch.testing.assert_close(s, 2 * b.sqrt())
    torch.testing.assert_close(b.sqrt()[0], torch.tensor(math.sqrt(0.001) * (0.999 / 0.001) ** (0.2**0.3 / 2)).double())
    a, b, s = Resfusion().coefs_of(t)
    torch.testing.assert_close(a, 1 - 2 * b)
    torch.testing.assert_close(s**2, 1 - (1 - b) ** 2)
    assert float(Resfusion().coefs_of(1.0).a) == 0.0
    assert abs(float(Resfusion().coefs_of(1.0).b) - 0.5) < 1e-12


def test_resshift_posterior_is_the_papers() -> None:
    """Mean eta_u/eta_t x_t + alpha/eta_t x0, variance kappa^2 eta_u alpha / eta_t (Yue et al. 2023, equation 7)."""
    process = ResShift()
    step = process.step(0.8, 0.5, eta=1.0)
    eta_t, eta_u = float(process.coefs_of(0.8).b), float(process.coefs_of(0.5).b)
    alpha = eta_t - eta_u
    assert abs(float(step.keep) - eta_u / eta_t) < 1e-12
    assert abs(float(step.data) - alpha / eta_t) < 1e-12
    assert abs(float(step.end)) < 1e-12
    assert abs(float(step.noise) ** 2 - 4 * eta_u * alpha / eta_t) < 1e-12


def test_ddpm_posterior_is_the_papers() -> None:
    table = BetaTable()
    abar = np.cumprod(1 - np.array(table.betas))
    i = 400
    step = table.step(table.time(i), table.time(i - 1), eta=1.0)
    beta = table.betas[i]
    assert abs(float(step.data) - math.sqrt(abar[i - 1]) * beta / (1 - abar[i])) < 1e-11
    assert abs(float(step.keep) - math.sqrt(1 - beta) * (1 - abar[i - 1]) / (1 - abar[i])) < 1e-11
    assert abs(float(step.noise) ** 2 - (1 - abar[i - 1]) / (1 - abar[i]) * beta) < 1e-11


def test_pfgmpp_radius_has_the_papers_law() -> None:
    """R^2 / (R^2 + r^2) ~ Beta(N/2, D/2), r = s sqrt(D), by Kolmogorov-Smirnov; D large is Gaussian."""
    n, d = 6, 3
    process = PFGMPlusPlus(dimension=d)
    eps = process.law(Seeded(0), torch.empty(4000, n, dtype=torch.float64))
    r2 = eps.square().sum(1)
    assert kstest((r2 / (r2 + d)).numpy(), beta_law(n / 2, d / 2).cdf).pvalue > 0.01
    almost = PFGMPlusPlus(dimension=10**6).law(Seeded(1), torch.empty(4000, 1, dtype=torch.float64))
    assert kstest(almost[:, 0].numpy(), "norm").pvalue > 0.01
    assert kstest(eps[:, 0].numpy(), "norm").pvalue < 1e-3  # a test that can fail: D = 3 is not Gaussian


def test_shortest_path_marginals_are_powers_of_the_spectrum() -> None:
    """For data with spectrum S the marginal variance a^2 S + 1 - a^2 equals S^(1-t) (Das et al. 2023)."""
    process = ShortestPath((8,), c1=0.5, c2=1.0, m=2.0)
    k = torch.fft.fftfreq(8, 1 / 8, dtype=torch.float64).abs()
    spectrum = 0.5 / (1 + k) ** 2
    for t in (0.1, 0.5, 0.9):
        a, _, s = process.coefs_of(t)
        torch.testing.assert_close(a**2 * spectrum + s**2, spectrum ** (1 - t), rtol=1e-10, atol=1e-12)


@for_all(
    beta_max=st.floats(1.0, 40.0),
    times=st.lists(st.floats(0.02, 0.98), min_size=3, max_size=3, unique=True),
    eta=st.floats(0.0, 1.0),
)
@settings(max_examples=60, deadline=None)
def test_any_step_keeps_the_marginal(beta_max: float, times: list[float], eta: float) -> None:
    u, _, t = sorted(times)
    for process in (VP(beta_max=beta_max), OUVE(theta=beta_max / 10), Flow(), VEBridge(c=beta_max)):
        now, nxt, step = process.coefs_of(t), process.coefs_of(u), process.step(t, u, eta=eta)
        torch.testing.assert_close(step.keep * now.a + step.data, nxt.a)
        torch.testing.assert_close(step.keep**2 * now.s**2 + step.noise**2, nxt.s**2)
        torch.testing.assert_close(step.keep * now.b + step.end, nxt.b)


def test_prior_of_mean_reverting_processes_is_centred_on_y() -> None:
    y = torch.full((4000, 2), 3.0, dtype=torch.float64)
    x = OUVE().prior(y, given=Given(y=y), noise=0)
    s = float(OUVE().coefs_of(1.0).s)
    assert abs(float(x.mean()) - 3.0) < 4 * s / math.sqrt(8000)
    assert abs(float(x.std()) / s - 1) < 0.05
    with pytest.raises(InputError, match="given.y is None"):
        OUVE().prior(y)
    exact = VEBridge().prior(y, given=Given(y=y))
    assert torch.equal(exact, y)


def test_bridge_start_takes_the_kernels_limit() -> None:
    process, y = VEBridge(), torch.ones(3, 2, dtype=torch.float64)
    x0 = torch.zeros_like(y)
    draw = torch.full_like(y, 2.0)
    moved = process.transition(y, Prediction(x0), 1.0, 0.5, eta=0.0, given=Given(y=y), noise=Recorded([draw]))
    a, b, s = process.coefs_of(0.5)
    torch.testing.assert_close(moved, b * y + s * draw)


def test_transition_accepts_times_per_token() -> None:
    process = Flow()
    x0 = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.tensor([[0.9, 0.5, 0.2], [0.8, 0.4, 0.3]], dtype=torch.float64)
    x, eps = process.perturb(x0, t, noise=0)
    moved = process.transition(x, Prediction(x0), t, t / 2, eta=0.0, noise=Silent())
    torch.testing.assert_close(moved, (1 - t / 2)[..., None] * x0 + (t / 2)[..., None] * eps)


def test_product_perturbs_leaf_by_leaf_with_its_laws_and_times() -> None:
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    system = Product(x=VP(law=Masked(Normal(), axes=(1,))), adj=VE(law=Masked(Symmetric(), axes=(1, 2))))
    x0 = {"x": torch.zeros(2, 3, 4, dtype=torch.float64), "adj": torch.zeros(2, 3, 3, dtype=torch.float64)}
    x, eps = system.perturb(x0, {"x": 0.0, "adj": 0.5}, given=Given(mask=mask), noise=3)
    assert torch.equal(x["x"], x0["x"])
    s = float(VE().coefs_of(0.5).s)
    torch.testing.assert_close(x["adj"], s * eps["adj"])
    assert torch.equal(eps["adj"], eps["adj"].mT) and float(eps["adj"].diagonal(dim1=1, dim2=2).abs().max()) == 0
    assert float(eps["adj"][0, 2].abs().max()) == 0 and float(eps["x"][0, 2].abs().max()) == 0
    assert float(eps["adj"][1, 0, 1].abs()) > 0
    with pytest.raises(InputError, match="leaves"):
        system.perturb({"x": x0["x"]}, 0.5)


@dataclass(frozen=True)
class WrongVariance(GaussianProcess):
    """Looks like VP, but its noise falls near t = 1."""

    def coefs(self, t: Tensor) -> Coefs:
        return Coefs(1 - t / 2, torch.zeros_like(t), t * (1.2 - t))


@dataclass(frozen=True)
class NotData(GaussianProcess):
    """Has noise, not data, at t = 0."""

    def coefs(self, t: Tensor) -> Coefs:
        return Coefs(t, torch.zeros_like(t), 1 - t)


@pytest.mark.parametrize(("process", "law"), [(WrongVariance(), "noise level"), (NotData(), "a\\(0\\) = 1")])
def test_check_process_fails_on_wrong_processes(process: GaussianProcess, law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_process(process)
