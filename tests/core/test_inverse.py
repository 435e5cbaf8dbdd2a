"""Inverse problems against posteriors in closed form: Gaussians, mixtures; operators; what to measure next."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore.distillation import Descending
from polyscore.errors import InputError
from polyscore.inverse import (
    BandLimit,
    Blind,
    Blur,
    Clip,
    Downsample,
    FourierSamples,
    GainOffset,
    HessianTrace,
    Keep,
    MagnitudeSTFT,
    Measurement,
    Posterior,
    Skipped,
    acquire,
    disagreement,
    none,
    red_diff,
    shared_start,
    unit_prior,
)
from polyscore.processes import VP
from polyscore.samplers import DDIM, Ancestral, sample
from polyscore.state import NONE
from polyscore.testing import GaussianDenoiser, GMMDenoiser, Mixture

F64 = torch.float64
PROCESS = VP(0.1, 20.0)
MIXTURE = Mixture(
    torch.tensor([0.6, 0.4], dtype=F64),
    torch.tensor([[-1.0, -0.8], [1.0, 0.6]], dtype=F64),
    torch.tensor([[[0.2, 0.1], [0.1, 0.3]], [[0.3, -0.1], [-0.1, 0.15]]], dtype=F64),
)
MODEL = GMMDenoiser(MIXTURE, PROCESS)
FIRST = Keep(torch.tensor([1.0, 0.0]))


def conditioned(y: float, noise: float) -> tuple[Tensor, Tensor]:
    """Mean (2,) and weights (2,) of p(x | y), y = x_1 + noise."""
    spread = MIXTURE.covs[:, 0, 0] + noise**2
    log = MIXTURE.weights.log() - (y - MIXTURE.means[:, 0]) ** 2 / (2 * spread) - spread.log() / 2
    weights = torch.softmax(log, 0)
    means = MIXTURE.means + MIXTURE.covs[:, :, 0] / spread[:, None] * (y - MIXTURE.means[:, :1])
    return (weights[:, None] * means).sum(0), weights


def drawn(denoiser: Any, count: int = 1024, steps: int = 80) -> Tensor:
    out: Tensor = sample(Ancestral(), denoiser, PROCESS, torch.empty(count, 2, dtype=F64), steps=steps, noise=2)
    return out


def seen(y: float, noise: float) -> Measurement:
    return Measurement(FIRST, torch.tensor([[y, 0.0]], dtype=F64), noise)


# ----------------------------------------------------------------------------------------------- posteriors
@pytest.mark.parametrize("wrapper", [Posterior, Skipped])
@pytest.mark.parametrize("noise", [0.5, 0.1])
def test_the_posterior_of_a_standard_gaussian_is_exact(wrapper: Any, noise: float) -> None:
    """x_1 | y ~ N(y / (1 + n^2), n^2 / (1 + n^2)), x_2 stays N(0, 1); for independent entries both rules are the same."""
    x = drawn(wrapper(GaussianDenoiser(PROCESS, 0.0, 1.0), PROCESS, (seen(0.8, noise),)))
    assert x.mean(0).tolist() == pytest.approx([0.8 / (1 + noise**2), 0.0], abs=0.06)
    assert x.var(0).tolist() == pytest.approx([noise**2 / (1 + noise**2), 1.0], rel=0.15)


def test_two_measurements_hold_together() -> None:
    """Of different entries: each posterior is what it is alone."""
    second = Measurement(Keep(torch.tensor([0.0, 1.0])), torch.tensor([[0.0, -0.5]], dtype=F64), 0.25)
    x = drawn(Posterior(GaussianDenoiser(PROCESS, 0.0, 1.0), PROCESS, (seen(0.8, 0.5), second)))
    assert x.mean(0).tolist() == pytest.approx([0.8 / 1.25, -0.5 / 1.0625], abs=0.05)


def test_the_trace_is_exact_for_any_round_gaussian_and_a_unit_prior_is_not() -> None:
    """Data N(.3, .4^2): the mean of x_1 | y lies between .3 and y by the ratio of the variances."""
    model = GaussianDenoiser(PROCESS, 0.3, 0.4)
    gain = 0.16 / (0.16 + 0.04)
    exact = 0.3 + gain * (1.1 - 0.3)
    trace, unit = (drawn(Posterior(model, PROCESS, (seen(1.1, 0.2),), width=w))[:, 0] for w in (HessianTrace(), unit_prior))
    assert trace.mean().item() == pytest.approx(exact, abs=0.03)
    assert trace.std().item() == pytest.approx((0.16 * (1 - gain)) ** 0.5, rel=0.1)
    assert abs(unit.mean() - exact) > 0.05


def test_a_measurement_that_is_believed_at_once_misleads() -> None:
    """The mixture's mean given y = .3 with noise .1: without a width the error is the largest, as its score is far too steep."""
    exact, _ = conditioned(0.3, 0.1)
    errors = [
        (drawn(Posterior(MODEL, PROCESS, (seen(0.3, 0.1),), width=width), 512, 40).mean(0) - exact).norm().item()
        for width in (none, unit_prior, HessianTrace(2))
    ]
    assert errors[0] > 1.3 * max(errors[1:])


def test_the_trace_is_unbiased() -> None:
    """Against the Jacobian of the exact denoiser, at one noise level; 2 %."""
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    told = MODEL(x, 0.4, NONE).x0
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: MODEL(v[None], 0.4, NONE).x0[0]))(x)
    exact = jacobian.diagonal(dim1=1, dim2=2).sum(1)
    a, _, s = PROCESS.coefs_of(0.4)
    found = HessianTrace(200, size=1e-3)(MODEL, PROCESS, x, 0.4, NONE, told).flatten()
    expected = (s**2 / a) * exact / 2
    assert found.mean().item() == pytest.approx(expected.mean().item(), rel=0.02)
    assert (found - expected).abs().max() < 0.3 * expected.mean()  # 200 probes of two entries


@pytest.mark.parametrize("wrapper", [Posterior, Skipped])
def test_strength_0_is_the_plain_denoiser(wrapper: Any) -> None:
    assert torch.equal(drawn(wrapper(MODEL, PROCESS, (seen(1.0, 0.1),), scale=0.0), 8, 10), drawn(MODEL, 8, 10))


def test_an_inverse_and_repeats_solve_what_one_pull_does_not() -> None:
    """A = 2 x needs one step of a quarter; repeats with too short steps converge to it, a known inverse is there at once."""
    y = torch.tensor([[1.0, -0.6]], dtype=F64)
    measurement = Measurement(lambda x: 2 * x, y)
    model = GaussianDenoiser(PROCESS, 0.0, 1.0)
    once, often = (Skipped(model, PROCESS, (measurement,), 0.1, n) for n in (1, 40))
    direct = Skipped(model, PROCESS, (measurement,), 0.1, inverse=lambda y, x0: y / 2 + 0 * x0)
    gaps = [measurement.misfit(wrapped(torch.ones(1, 2, dtype=F64), 0.5, NONE).x0).item() for wrapped in (once, often, direct)]
    assert gaps[0] > 0.1
    assert gaps[1] < 1e-4
    assert gaps[2] < 1e-12


def test_red_diff_balances_misfit_and_prior() -> None:
    """On data N(0, 1) the regulariser's mean gradient is c s^2 mu, so at one level mu = y / (1 + c s^2); without it mu = y."""
    model, y = GaussianDenoiser(PROCESS, 0.0, 1.0), torch.tensor([[0.9, -0.5]], dtype=F64)
    measurement, start = Measurement(lambda x: x, y), torch.zeros(256, 2, dtype=F64)
    mu = red_diff(measurement, model, PROCESS, start, steps=150, weight=1.0, rate=0.03, times=Descending(0.5, 0.5))
    expected = y[0] / (1 + PROCESS.coefs_of(0.5).s ** 2)
    assert mu[:, 0].mean().item() == pytest.approx(expected[0].item(), rel=0.05)
    assert mu[:, 1].mean().item() == pytest.approx(expected[1].item(), rel=0.08)
    alone = red_diff(measurement, model, PROCESS, start[:4], steps=150, weight=0.0)
    torch.testing.assert_close(alone, y.expand(4, 2), rtol=0, atol=1e-2)


def test_unknown_gain_and_offset_are_found() -> None:
    """y = 1.7 x + 0.4 of unit Gaussian x of 400 entries: both within 10 %."""
    model = GaussianDenoiser(PROCESS, 0.0, 1.0)
    clean = torch.randn(2, 400, generator=torch.Generator().manual_seed(1), dtype=F64)
    operator = GainOffset(2)
    blind = Blind(Skipped(model, PROCESS, (Measurement(operator, 1.7 * clean + 0.4, 0.05),), 0.3), rate=0.05, steps=5)
    x = sample(DDIM(), blind, PROCESS, clean, steps=60, noise=0)
    assert operator.offset.tolist() == pytest.approx([0.4, 0.4], abs=0.1)
    assert torch.isfinite(x).all()
    with pytest.raises(InputError, match="module such as GainOffset"):
        Blind(Skipped(model, PROCESS, (Measurement(FIRST, clean),)))


# ----------------------------------------------------------------------------------------------- operators
IMAGE = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=F64)


@pytest.mark.parametrize(
    "operator",
    [
        Keep((torch.arange(16) < 7).double()),
        Blur(torch.rand(3, 5, generator=torch.Generator().manual_seed(1), dtype=F64)),
        Downsample(4),
        Downsample(2, axes=1),
        BandLimit(0.4),
        FourierSamples((torch.arange(16) % 4 == 0).double().expand(16, 16)),
    ],
    ids=lambda o: type(o).__name__,
)
def test_linear_operators_are_linear_and_pull_back_by_their_adjoint(operator: Any) -> None:
    g = torch.Generator().manual_seed(3)
    x, z = IMAGE, torch.randn(IMAGE.shape, generator=g, dtype=F64)
    torch.testing.assert_close(operator(2 * x - 3 * z), 2 * operator(x) - 3 * operator(z))
    back = Measurement(operator, operator(x)).pull(torch.zeros_like(x))  # A^T A x
    left, right = (operator(x).conj() * operator(z)).real.sum(), (back * z).sum()
    torch.testing.assert_close(left, right)
    if isinstance(operator, Keep | BandLimit | FourierSamples):  # orthonormal rows: A^T A is a projection
        torch.testing.assert_close(Measurement(operator, operator(back)).pull(torch.zeros_like(x)), back)


def test_operators_do_what_they_say() -> None:
    ramp = torch.arange(16, dtype=F64)
    assert Downsample(4, axes=1)(ramp[None]).tolist() == [[1.5, 5.5, 9.5, 13.5]]
    shifted = Blur(torch.tensor([1.0, 0.0, 0.0]))(ramp[None])
    assert torch.equal(shifted[0, :-1], ramp[1:])  # (k * x)[n] = sum_m k[m] x[n - m], centred: k at -1
    tone = torch.sin(2 * torch.pi * 5 * torch.arange(64, dtype=F64) / 64)
    torch.testing.assert_close(BandLimit(0.2)(tone), tone)
    assert BandLimit(0.1)(tone).abs().max() < 1e-12
    assert Clip(0.5)(tone).abs().max() == 0.5
    clipped = Measurement(Clip(0.5), Clip(0.5)(tone)[None])
    assert clipped.pull(torch.full((1, 64), 0.7, dtype=F64)).abs().max() == 0  # what is clipped does not pull
    spectrum = MagnitudeSTFT(32, 8)(tone[None])
    torch.testing.assert_close(spectrum, MagnitudeSTFT(32, 8)(-tone[None]))
    assert torch.equal(spectrum[0, :, 4:-4].argmax(0), torch.full((spectrum.shape[-1] - 8,), 2))  # 5 / 64 lies at bin 2.5
    with pytest.raises(InputError, match="odd size"):
        Blur(torch.ones(4))
    with pytest.raises(InputError, match="expected equal but for B"):
        Measurement(FIRST, torch.zeros(1, 3)).misfit(torch.zeros(2, 2))


# ----------------------------------------------------------------------------------------------- starts, active
def test_a_shared_start_serves_others_too() -> None:
    """Two steps of DDIM on a mixture from y = x_1: the start chosen on 16 pairs is better than the mean one on 64 new ones."""
    g = torch.Generator().manual_seed(4)

    def data(count: int) -> Tensor:
        kind = torch.rand(count, generator=g) < 0.4
        roots = torch.linalg.cholesky(MIXTURE.covs)[kind.long()]
        made: Tensor = MIXTURE.means[kind.long()] + (roots @ torch.randn(count, 2, 1, generator=g, dtype=F64))[..., 0]
        return made

    def restorer(x: Tensor) -> Any:
        wrapped = Skipped(MODEL, PROCESS, (Measurement(FIRST, FIRST(x), 0.05),))
        return lambda z: sample(DDIM(), wrapped, PROCESS, z, steps=2, init=z)

    def gap(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().sum(1)

    known, new = data(16), data(64)
    candidates = torch.randn(100, 2, generator=g, dtype=F64)
    start, scores = shared_start(restorer(known), known, candidates, distance=gap)
    assert gap(restorer(known)(start.expand(16, 2)), known).mean() == scores.min()
    _, others = shared_start(restorer(new), new, candidates, distance=gap)
    mine = gap(restorer(new)(start.expand(64, 2)), new).mean()
    assert 10 * torch.log10(others.mean() / mine) >= 0.3


def test_the_next_measurement_is_the_most_uncertain_one() -> None:
    """Gaussian particles: H grows with the standard deviation; two groups of particles count as more than one wide one."""
    particles = torch.randn(200, 5, generator=torch.Generator().manual_seed(5), dtype=F64)
    deviations = torch.tensor([0.1, 1.0, 0.5, 2.0, 0.01], dtype=F64)
    score = disagreement(particles * deviations, 0.1)
    assert score.argsort().tolist() == deviations.argsort().tolist()
    assert disagreement(torch.zeros(8, 3), 0.1).tolist() == pytest.approx([-torch.log(torch.tensor(8.0)).item()] * 3)

    def estimate(mask: Tensor) -> Tensor:
        return torch.where(mask, 0.0, particles * deviations)

    mask = acquire(estimate, 5, 3, noise=0.1)
    assert mask.tolist() == [False, True, True, True, False]
    with pytest.raises(InputError, match="at least 2"):
        disagreement(torch.zeros(1, 3), 0.1)
    with pytest.raises(InputError, match="a budget of 6"):
        acquire(estimate, 5, 6, noise=0.1)
