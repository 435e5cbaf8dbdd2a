"""Metrics of samples against closed forms and constructed overlaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import Tensor

from polyscore.errors import InputError
from polyscore.evaluation import (
    agreement,
    audit,
    authenticity,
    copied,
    copy_ratio,
    cosine,
    energy,
    expected_coverage,
    frechet,
    gaussian,
    kernel,
    local_geometry,
    noise_floor,
    prdc,
    rank_differences,
    three_sample,
    vendi,
    wilson,
)
from polyscore.processes import VP
from polyscore.testing import GaussianDenoiser, GMMDenoiser, Mixture

F64 = torch.float64


def normal(count: int, width: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=F64)


# ----------------------------------------------------------------------------------------------- distances
def test_frechet_of_two_gaussians() -> None:
    """Whitened to the very moments: |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) to 1e-9."""
    x = normal(400)
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    scale = torch.tensor([1.0, 2.0, 0.5], dtype=F64)
    assert frechet(x, x * scale + 1) == pytest.approx(3 + 1.25, abs=1e-9)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    one, other = normal(400), normal(300, seed=1) @ normal(3, seed=2) + 1
    root = linalg.sqrtm(np.cov(one.T.numpy()) @ np.cov(other.T.numpy())).real
    shift = float((one.mean(0) - other.mean(0)).square().sum())
    expected = shift + np.trace(np.cov(one.T.numpy()) + np.cov(other.T.numpy()) - 2 * root)
    assert frechet(one, other) == pytest.approx(expected, rel=1e-9)
    assert frechet(other, one) == pytest.approx(expected, rel=1e-9)
    assert frechet(one[:2], other) > 0  # a covariance without full rank


def test_kernel_and_energy_are_unbiased_and_see_a_shift() -> None:
    """Over 60 pairs of sets of one law their mean is 0 within its error; energy of points a shift apart is exact."""
    for distance in (kernel, energy):
        values = torch.tensor([distance(normal(40, seed=2 * i), normal(30, seed=2 * i + 1)) for i in range(60)])
        assert abs(values.mean()) < 3 * values.std() / 60**0.5
        assert distance(normal(200), normal(200, seed=1) + 1) > 5 * values.std()
    assert energy(torch.zeros(4, 2), torch.full((5, 2), 3.0)) == pytest.approx(2 * 18**0.5)


def test_the_floor_is_what_equal_laws_reach() -> None:
    x = normal(600)
    mean, std = noise_floor(frechet, x, 100, draws=10)
    assert abs(frechet(normal(100, seed=5), x) - mean) < 4 * std
    assert frechet(normal(100, seed=5) + 1, x) > mean + 10 * std
    with pytest.raises(InputError, match="at least 2 in both parts"):
        noise_floor(frechet, x, 599)


@pytest.mark.parametrize("metric", [frechet, kernel, energy, prdc, copy_ratio])
def test_sets_that_do_not_fit_are_refused(metric: object) -> None:
    with pytest.raises(InputError, match="of one width"):
        metric(torch.zeros(9, 2), torch.zeros(9, 3))  # type: ignore[operator]


# ----------------------------------------------------------------------------------------------- variety
def test_prdc_of_constructed_overlaps() -> None:
    """Two far clusters: drawn only from one has precision 1, recall of that cluster's share; a far set has nothing."""
    left, right = normal(300, seed=1), normal(100, seed=2) + 50
    real = torch.cat([left, right])
    half = prdc(real, normal(300, seed=3))
    assert half.precision > 0.9
    assert half.recall == pytest.approx(0.75, abs=0.08)
    assert half.coverage < 0.76
    away = prdc(real, normal(100, seed=4) - 50)
    assert (away.precision, away.recall, away.density, away.coverage) == (0, 0, 0, 0)
    same = prdc(normal(1000, seed=5), normal(800, seed=6), 5)
    assert same.coverage == pytest.approx(expected_coverage(1000, 800, 5), abs=0.03)
    assert same.density == pytest.approx(1, abs=0.1)


def test_the_vendi_score_counts_kinds() -> None:
    assert vendi(torch.eye(7, dtype=F64)).item() == pytest.approx(7)
    assert vendi(torch.ones(7, 7, dtype=F64)).item() == pytest.approx(1)
    kinds = torch.eye(4, dtype=F64).repeat_interleave(5, 0)
    assert vendi(cosine(kinds)).item() == pytest.approx(4)
    assert vendi(gaussian(100 * kinds, 1.0)).item() == pytest.approx(4)
    p = torch.tensor([15, 5], dtype=F64) / 20
    unequal = torch.eye(2, dtype=F64)[torch.tensor([0] * 15 + [1] * 5)]
    assert vendi(cosine(unequal)).item() == pytest.approx(torch.exp(-(p * p.log()).sum()).item())
    x = normal(6).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: vendi(gaussian(v, 1.0)), (x,))
    with pytest.raises(InputError, match="1 on its diagonal"):
        vendi(torch.zeros(3, 3))


# ----------------------------------------------------------------------------------------------- memorisation
def test_copies_are_flagged_and_fresh_samples_are_not() -> None:
    training, unseen, fresh = (normal(400, 6, seed) for seed in (0, 1, 2))
    copies = training[:200] + 1e-3 * normal(200, 6, 3)
    assert copied(copies, training) == 1
    assert copied(fresh, training) < 0.02
    assert authenticity(copies, training) == 0
    assert 0.3 < authenticity(fresh, training) < 0.7
    assert three_sample(copies, unseen, training) < -10
    assert abs(three_sample(fresh, unseen, training)) < 3
    assert copy_ratio(training[:3], training).tolist() == [0, 0, 0]


def test_agreement_of_models() -> None:
    x = normal(50, 40)
    assert agreement(x, x).min() > 0.999999
    assert agreement(x, normal(50, 40, 1)).abs().mean() < 0.3


def test_models_of_disjoint_halves_agree_once_there_is_enough_data() -> None:
    """Gaussians fitted to 16 and to 4,096 samples each of 64 numbers draw m + C^(1/2) z from the same z."""

    def drawn(seen: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(torch.cov(seen.T))
        root = vectors @ (values.clamp(min=0).sqrt()[:, None] * vectors.T)
        made: Tensor = seen.mean(0) + normal(50, 64, 9) @ root
        return made

    few, many = (agreement(drawn(normal(n, 64, 1)), drawn(normal(n, 64, 2))).mean() for n in (16, 4096))
    assert few < 0.5
    assert many > 0.95


# ----------------------------------------------------------------------------------------------- geometry
def test_the_jacobian_of_gaussian_data_shrinks_as_it_must() -> None:
    """l / (l + sigma^2) to 1e-6, and a gradient has no skew part."""
    process, t = VP(0.1, 20.0), 0.3
    a, _, s = process.coefs_of(t)
    found = local_geometry(GaussianDenoiser(process, 0.2, 0.7), process, normal(5), t)
    torch.testing.assert_close(found.spectrum, (0.49 / (0.49 + (s / a) ** 2)).expand(5, 3), rtol=0, atol=1e-6)
    assert found.conservativity.max() < 1e-9


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_the_dimension_of_a_flat_manifold(dimension: int) -> None:
    """Data on a k-dimensional plane in R^8 with thickness .005: k eigenvalues stay, on every point."""
    process, t, d = VP(0.1, 20.0), 0.05, 8
    basis = torch.linalg.qr(normal(d, d, 7)).Q[:, :dimension]
    cov = basis @ basis.T + 0.005**2 * torch.eye(d, dtype=F64)
    mixture = Mixture(torch.ones(1, dtype=F64), torch.zeros(1, d, dtype=F64), cov[None])
    x0 = normal(20, dimension, 8) @ basis.T
    x = process.perturb(x0, torch.full((20,), t, dtype=F64), noise=0).x
    assert local_geometry(GMMDenoiser(mixture, process), process, x, t).dimension.tolist() == [dimension] * 20


def test_a_field_that_turns_is_not_conservative() -> None:
    from polyscore.denoisers import Prediction

    process = VP(0.1, 20.0)
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=F64)
    found = local_geometry(lambda x, t, given: Prediction(x @ turn.T), process, normal(3, 2), 0.3)
    assert found.conservativity.tolist() == pytest.approx([2, 2, 2])


# ----------------------------------------------------------------------------------------------- differences
def test_an_injected_difference_is_ranked_first() -> None:
    g = torch.Generator().manual_seed(0)
    attributes = {f"a{i}": torch.randn(300, generator=g) for i in range(8)}
    other = {name: torch.randn(200, generator=g) for name in attributes} | {"a5": torch.randn(200, generator=g) - 1.5}
    first, second = rank_differences(attributes, other)[:2]
    assert first.name == "a5"
    assert first.low > 0.8
    assert first.auroc == pytest.approx(torch.special.ndtr(torch.tensor(1.5 / 2**0.5)).item(), abs=0.04)
    assert second.low < 0.5 < second.high or abs(second.auroc - 0.5) < 0.08


def test_a_bias_is_reported_within_its_interval() -> None:
    """9 of 10 values "a" under one prompt, half under the other; intervals of 95 % hold the truth in 93 to 98 % of cases."""
    g = torch.Generator().manual_seed(1)
    values = ["a" if u < 0.9 else "b" for u in torch.rand(200, generator=g).tolist()]
    values += ["a" if u < 0.5 else "b" for u in torch.rand(200, generator=g).tolist()]
    found = audit(values, ["x"] * 200 + ["y"] * 200)
    assert found["x"]["a"].low < 0.9 < found["x"]["a"].high
    assert found["x"]["a"].low > found["y"]["a"].high
    counts = torch.binomial(torch.full((2000,), 40.0), torch.full((2000,), 0.1), generator=g).int().tolist()
    held = sum(wilson(c, 40).low <= 0.1 <= wilson(c, 40).high for c in counts) / 2000
    assert 0.92 < held < 0.985
    with pytest.raises(InputError, match="0 <= count <= total"):
        wilson(3, 2)
