"""Guidance against closed forms: neutral settings, the papers' formulas, and Gaussians whose conditional laws are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.core.linear import Basis, JointGaussian, law
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.guidance import (
    CFG,
    Autoguidance,
    CFGPlusPlus,
    Clamp,
    ClassifierGuidance,
    DynamicThreshold,
    Interval,
    KnownRegion,
    Rescale,
)
from polyscore.noise import Recorded
from polyscore.processes import OUVE, VP, Flow, GaussianProcess
from polyscore.samplers import DDIM, RK45, Ancestral, DPMSolverPP, PredictorCorrector, sample
from polyscore.state import NONE, Given
from polyscore.testing import GaussianDenoiser, flow_of_gaussian

F64 = torch.float64


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


class Conditional:
    """x0 ~ N(cond, std^2) given cond (B,), N(0, null_std^2) without; counts its calls."""

    def __init__(self, process: GaussianProcess, std: float = 0.7, null_std: float = 1.3) -> None:
        self.process, self.std, self.null_std, self.calls = process, std, null_std, 0

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        self.calls += 1
        mean = 0.0 if given.cond is None else torch.nan_to_num(given.cond).reshape(-1, *[1] * (x.ndim - 1))
        known = torch.tensor(False) if given.cond is None else ~given.cond.isnan().reshape(-1, *[1] * (x.ndim - 1))
        plain, free = (GaussianDenoiser(self.process, 0.0, std) for std in (self.std, self.null_std))
        a, _, _ = self.process.coefs_of(t)
        a = a.reshape(-1, *[1] * (x.ndim - 1)) if a.ndim else a
        return Prediction(torch.where(known, mean + plain(x - a * mean, t, given).x0, free(x, t, given).x0))


NULL = Given()
NAN = Given(cond=torch.tensor(float("nan"), dtype=F64))  # a null that can be stacked
COND = torch.tensor([1.0, -0.5, 0.3, 2.0], dtype=F64)


# --- neutral ---

NEUTRAL: dict[str, Callable[[Any, GaussianProcess], Any]] = {
    "cfg scale 1": lambda d, p: CFG(d, NULL, 1.0),
    "cfg of equal conditions": lambda d, p: CFG(d, lambda given: given, 3.0),
    "cfg++ of equal conditions": lambda d, p: CFGPlusPlus(d, lambda given: given, p, 0.6),
    "autoguidance scale 1": lambda d, p: Autoguidance(d, GaussianDenoiser(p, 2.0), 1.0),
    "autoguidance by itself": lambda d, p: Autoguidance(d, d, 2.5),
    "interval of equals": lambda d, p: Interval(d, d, 0.2, 0.6),
    "interval elsewhere": lambda d, p: Interval(CFG(d, NULL, 4.0), d, 2.0, 3.0),
    "rescale 0": lambda d, p: Rescale(CFG(d, lambda given: given, 3.0), 0.0),
    "rescale of the conditional": lambda d, p: Rescale(CFG(d, lambda given: given, 3.0), 0.7, "v", p),
    "rescale unguided": lambda d, p: Rescale(CFG(d, NULL, 1.0), 0.7),
    "clamp at infinity": lambda d, p: Clamp(d, -float("inf"), float("inf")),
    "threshold beyond the data": lambda d, p: DynamicThreshold(d, 0.9, 1e6),
    "classifier scale 0": lambda d, p: ClassifierGuidance(d, p, lambda x, t, given: x.square().flatten(1).sum(1), 0.0),
    "classifier of no opinion": lambda d, p: ClassifierGuidance(d, p, lambda x, t, given: 0 * x.flatten(1).sum(1), 5.0),
    "nothing known": lambda d, p: KnownRegion(d, torch.ones(4, 3, dtype=F64), torch.zeros(3)),
}


@pytest.mark.parametrize("name", NEUTRAL)
@pytest.mark.parametrize("process", [VP(), Flow(), OUVE()], ids=lambda p: type(p).__name__)
def test_neutral_guidance_is_the_plain_denoiser(name: str, process: GaussianProcess) -> None:
    plain = Conditional(process)
    guided = NEUTRAL[name](plain, process)
    x, given = points(4, 3), Given(cond=COND, y=points(4, 3, seed=1) if isinstance(process, OUVE) else None)
    for t in (0.03, 0.4, 0.97, torch.tensor([0.1, 0.3, 0.5, 0.9], dtype=F64)):
        torch.testing.assert_close(guided(x, t, given).x0, plain(x, t, given).x0, rtol=0, atol=1e-12)
    for sampler in (DDIM(), DDIM(1.0), DPMSolverPP(), Ancestral(), PredictorCorrector(DDIM(1.0))):
        runs = [sample(sampler, d, process, x, steps=7, given=given, noise=3) for d in (plain, guided)]
        torch.testing.assert_close(*runs, rtol=0, atol=1e-12)


def test_zero_scale_is_the_unconditional_model() -> None:
    process, x = VP(), points(4, 3)
    plain = Conditional(process)
    free = plain(x, 0.4, NONE)
    assert torch.equal(CFG(plain, NULL, 0.0)(x, 0.4, Given(cond=COND)).x0, free.x0)
    prediction = CFGPlusPlus(plain, NULL, process, 0.0)(x, 0.4, Given(cond=COND))
    assert torch.equal(prediction.x0, free.x0)


# --- classifier-free guidance ---


@pytest.mark.parametrize("scale", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("process", [VP(), Flow()], ids=lambda p: type(p).__name__)
def test_the_guided_score_of_two_gaussians_is_that_of_their_geometric_mixture(scale: float, process: GaussianProcess) -> None:
    """p_c^w p_0^(1 - w) of Gaussians is Gaussian: precisions and precision-weighted means add up with weights w, 1 - w."""
    x, t = points(4, 3), 0.45
    guided = CFG(Conditional(process), NULL, scale)
    found = process.score(x, guided(x, t, Given(cond=COND)).x0, t)
    a, _, s = process.coefs_of(t)
    cond, free = (1 / (a**2 * std**2 + s**2) for std in (0.7, 1.3))
    precision = scale * cond + (1 - scale) * free
    mean = scale * cond * a * COND[:, None] / precision
    torch.testing.assert_close(found, -precision * (x - mean), rtol=0, atol=1e-11)


def test_guidance_between_gaussians_of_equal_width_moves_the_mean() -> None:
    """Then the guided flow is that of N(w c, std^2), and the sampler ends where that flow ends."""
    process, x, scale = Flow(), points(4, 3), 2.5
    guided = CFG(Conditional(process, 0.7, 0.7), NULL, scale)
    found = sample(RK45(1e-10, 1e-10), guided, process, x, steps=1, grid=[0.95, 0.05], given=Given(cond=COND), init=x)
    for i, c in enumerate(COND.tolist()):
        exact = flow_of_gaussian(GaussianDenoiser(process, scale * c, 0.7), x[i], 0.95, 0.05, NONE)
        torch.testing.assert_close(found[i], exact, rtol=0, atol=1e-8)


def test_one_pass_where_the_conditions_can_be_stacked_and_the_same_result() -> None:
    process, x = VP(), points(4, 3)
    results = []
    for null, passes, calls in ((NAN, 1, 1), (NAN, 2, 2), (NULL, 1, 2)):
        plain = Conditional(process)
        results.append(CFG(plain, null, 3.0, passes)(x, 0.4, Given(cond=COND)))
        assert plain.calls == calls
    for other in results[1:]:
        torch.testing.assert_close(results[0].x0, other.x0, rtol=0, atol=1e-12)
        for key in ("cond", "null"):
            torch.testing.assert_close(results[0].extra[key], other.extra[key], rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="passes is 3"):
        CFG(Conditional(process), NULL, passes=3)


# --- CFG++ ---


@pytest.mark.parametrize("process", [VP(), Flow(), OUVE()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("scale", [0.2, 0.6, 1.0])
def test_cfg_plus_plus_is_the_papers_ddim(process: GaussianProcess, scale: float) -> None:
    """eps_w = eps_0 + w (eps_c - eps_0), x0 = (x - s eps_w) / a, x_u = a_u x0 + s_u eps_0 (Chung et al. 2024, algorithm 2)."""
    x, y = points(4, 3), points(4, 3, seed=1) if isinstance(process, OUVE) else None
    plain, given = Conditional(process), Given(y=y, cond=COND)
    times = torch.linspace(0.95, 0.05, 6, dtype=F64).tolist()
    expected = x
    for t, u in zip(times[:-1], times[1:], strict=True):
        (a, b, s), (au, bu, su) = process.coefs_of(t), process.coefs_of(u)
        end, end_u = (0.0, 0.0) if y is None else (b * y, bu * y)
        cond, free = (process.eps(expected, plain(expected, t, g).x0, t, given=g) for g in (given, Given(y=y)))
        x0 = (expected - end - s * (free + scale * (cond - free))) / a
        expected = au * x0 + end_u + su * free
    guided = CFGPlusPlus(plain, NULL, process, scale)
    for sampler in (DDIM(), Ancestral(0.0), PredictorCorrector(DDIM(), None)):
        found = sample(sampler, guided, process, x, steps=5, grid=times, given=given, init=x)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


def test_cfg_plus_plus_with_ddim_is_cfg_of_a_scale_for_each_step() -> None:
    """For VP, CFG++'s w equals CFG's w' = w s_t a_u / (s_t a_u - s_u a_t) (Chung et al. 2024, section 3.3)."""
    process, x, given, t, u, scale = VP(), points(4, 3), Given(cond=COND), 0.6, 0.4, 0.3
    (a, _, s), (au, _, su) = process.coefs_of(t), process.coefs_of(u)
    same = float(scale * s * au / (s * au - su * a))
    runs = [
        sample(DDIM(), d, process, x, steps=1, grid=[t, u], given=given, init=x)
        for d in (CFGPlusPlus(Conditional(process), NULL, process, scale), CFG(Conditional(process), NULL, same))
    ]
    torch.testing.assert_close(*runs, rtol=0, atol=1e-12)


# --- the papers' formulas ---


def test_autoguidance_extrapolates_from_the_bad_model() -> None:
    process, x = VP(), points(4, 3)
    good, bad = GaussianDenoiser(process, 0.3, 0.7), GaussianDenoiser(process, 0.1, 1.5)
    prediction = Autoguidance(good, bad, 2.0)(x, 0.4, NONE)
    best, worst = (d(x, 0.4, NONE).x0 for d in (good, bad))
    torch.testing.assert_close(prediction.x0, 2 * best - worst, rtol=0, atol=1e-12)
    assert torch.equal(prediction.extra["null"], worst)


def test_the_interval_is_open_below_and_closed_above_in_its_clock() -> None:
    process, x, given = VP(), points(4, 3), Given(cond=COND)
    plain = Conditional(process)
    guided = CFG(plain, NULL, 3.0)
    level = float(process.sigma(0.4))
    for low, high, inside in ((level - 0.1, level, True), (level, level + 1, False), (level - 1, level - 0.1, False)):
        found = Interval(guided, plain, low, high, process.sigma)(x, 0.4, given).x0
        assert torch.equal(found, (guided if inside else plain)(x, 0.4, given).x0)
    times = torch.tensor([0.1, 0.3, 0.5, 0.9], dtype=F64)
    mixed = Interval(guided, plain, 0.2, 0.6)(x, times, given).x0
    torch.testing.assert_close(mixed[[0, 3]], plain(x, times, given).x0[[0, 3]], rtol=0, atol=1e-12)
    torch.testing.assert_close(mixed[[1, 2]], guided(x, times, given).x0[[1, 2]], rtol=0, atol=1e-12)
    saved = Conditional(process)
    grid = torch.linspace(1, 0, 11).tolist()
    sample(DDIM(), Interval(CFG(saved, NULL, 3.0), saved, 0.25, 0.65), process, x, steps=10, grid=grid, given=given)
    assert saved.calls == 10 + 4  # twice at t = .3, .4, .5, .6
    with pytest.raises(InputError, match="one for each sample"):
        Interval(guided, plain, 0.2, 0.6)(x, torch.full((4, 3), 0.5), given)


@pytest.mark.parametrize("output", ["x0", "eps", "v"])
@pytest.mark.parametrize("process", [VP(), OUVE()], ids=lambda p: type(p).__name__)
def test_rescale_gives_the_networks_output_the_spread_of_the_conditional_one(output: Any, process: GaussianProcess) -> None:
    t, x, y = 0.4, points(4, 30), points(4, 30, seed=2) if isinstance(process, OUVE) else None
    given = Given(y=y, cond=COND)
    guided = CFG(Conditional(process), NULL, 5.0)
    before, after = guided(x, t, given), Rescale(guided, 0.7, output, process)(x, t, given)
    a, _, s = process.coefs_of(t)

    def out(x0: Tensor) -> Tensor:
        eps = process.eps(x, x0, t, given=given)
        return {"x0": x0, "eps": eps, "v": a * eps - s * x0}[output]

    old, cond = out(before.x0), out(before.extra["cond"])
    expected = 0.7 * old * cond.std(1, keepdim=True) / old.std(1, keepdim=True) + 0.3 * old
    torch.testing.assert_close(out(after.x0), expected, rtol=0, atol=1e-10)
    with pytest.raises(InputError, match="with a process"):
        Rescale(guided, 0.7, "eps")


def test_an_empty_sample_survives_rescaling() -> None:
    x = torch.zeros(2, 5, dtype=F64)
    guided = Rescale(CFG(lambda x, t, given: Prediction(0.5 * x), lambda given: Given(cond=1), 2.0), 0.7)
    assert torch.equal(guided(x, 0.3, NONE).x0, x)


def test_dynamic_threshold_is_the_papers() -> None:
    """s = max(1, the quantile of |x0|), x0 <- clip(x0, -s, s) / s (Saharia et al. 2022, section 2.3)."""
    x0 = 3 * points(5, 4, 6)
    x0[0] *= 0.01
    found = DynamicThreshold(lambda x, t, given: Prediction(x0), 0.9)(x0, 0.5, NONE).x0
    q = torch.quantile(x0.abs().flatten(1), 0.9, dim=1).clamp(min=1)[:, None, None]
    torch.testing.assert_close(found, torch.minimum(torch.maximum(x0, -q), q) / q, rtol=0, atol=1e-12)
    assert torch.equal(found[0], x0[0])
    wide = DynamicThreshold(lambda x, t, given: Prediction(x0), 1.0, 2.0)(x0, 0.5, NONE).x0
    torch.testing.assert_close(wide[1:].abs().flatten(1).amax(1), torch.full((4,), 2.0, dtype=F64), rtol=0, atol=1e-12)
    clamped = Clamp(lambda x, t, given: Prediction(x0), -0.5, 1.5)(x0, 0.5, NONE).x0
    assert torch.equal(clamped, x0.clamp(-0.5, 1.5))


# --- classifier guidance ---

MEAN = torch.tensor([0.4, -0.8, 0.3], dtype=F64)
COV = torch.tensor([[1.0, 0.5, 0.6], [0.5, 0.8, 0.1], [0.6, 0.1, 0.7]], dtype=F64)
A = torch.tensor([[1.0, 0.5, 0.0], [0.0, -1.0, 2.0]], dtype=F64)
R = torch.tensor([[0.3, 0.1], [0.1, 0.5]], dtype=F64)
C = torch.tensor([0.7, -0.2], dtype=F64)


def likelihood(process: GaussianProcess) -> Callable[[Any, Any, Given], Tensor]:
    """ln p(c | x_t) for c = A x0 + N(0, R): x0 given x_t is Gaussian."""

    def log_prob(x: Any, t: Any, given: Given) -> Tensor:
        a, _, s = process.coefs_of(t)
        mean = JointGaussian(process, MEAN, COV)(x, t, given).x0
        seen = a**2 * COV + s**2 * torch.eye(3, dtype=F64)
        rest = COV - a**2 * COV @ torch.linalg.solve(seen, COV)
        law_of_c = torch.distributions.MultivariateNormal(mean @ A.mT, A @ rest @ A.mT + R)
        out: Tensor = law_of_c.log_prob(C)  # type: ignore[no-untyped-call]
        return out

    return log_prob


def posterior() -> tuple[Tensor, Tensor]:
    """x0 | c."""
    gain = COV @ A.mT @ torch.linalg.inv(A @ COV @ A.mT + R)
    return MEAN + gain @ (C - A @ MEAN), COV - gain @ A @ COV


@pytest.mark.parametrize("process", [VP(), Flow(), OUVE()], ids=lambda p: type(p).__name__)
def test_classifier_guidance_of_a_gaussian_is_the_exact_posterior_denoiser(process: GaussianProcess) -> None:
    x = points(5, 3)
    guided = ClassifierGuidance(JointGaussian(process, MEAN, COV), process, likelihood(process))
    exact = JointGaussian(process, *posterior())
    for t in (0.02, 0.4, 0.9):
        torch.testing.assert_close(guided(x, t, NONE).x0, exact(x, t, NONE).x0, rtol=0, atol=1e-9)


def test_classifier_guided_samples_have_the_posterior_law() -> None:
    """Flow has a(1) = 0: the prior is exact, so the law of the end is the posterior, computed without sampling."""
    process, source = Flow(), Basis()
    guided = ClassifierGuidance(JointGaussian(process, MEAN, COV), process, likelihood(process))
    out = sample(RK45(1e-9, 1e-9, end=1e-6), guided, process, torch.zeros(4, 3, dtype=F64), steps=1, noise=source)
    mean, cov = law(out, source.row)
    torch.testing.assert_close(mean, posterior()[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(cov, posterior()[1], rtol=0, atol=1e-5)


def test_the_guided_score_is_the_sum_and_scales() -> None:
    process, x, t = VP(), points(4, 3), 0.35
    plain = GaussianDenoiser(process)
    guided = ClassifierGuidance(plain, process, lambda x, t, given: torch.sin(x).sum(1), 2.0)
    scores = [process.score(x, d(x, t, NONE).x0, t) for d in (guided, plain)]
    torch.testing.assert_close(scores[0] - scores[1], 2 * torch.cos(x), rtol=0, atol=1e-10)


def test_recorded_draws_pass_through_guidance() -> None:
    """Guidance asks for no noise: a guided run uses the draws of the plain one."""
    process, x = VP(), points(4, 3)
    draws = [points(4, 3, seed=k) for k in range(9)]
    sources = [Recorded(draws), Recorded(draws)]
    denoisers: list[Any] = [Conditional(process), CFG(Conditional(process), NAN, 2.0)]
    for denoiser, source in zip(denoisers, sources, strict=True):
        sample(DDIM(1.0), denoiser, process, x, steps=8, given=Given(cond=COND), noise=source)
    assert sources[0].used == sources[1].used == 8
