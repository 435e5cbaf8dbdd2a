"""Discrete processes: the law q, its kernels, posteriors and draws, and the numbers of GETMusic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.core.discrete_toy import processes
from torch import Tensor
from torch.nn import functional

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.hub.config import build, config_of
from polyscore.noise import Masked, Symmetric
from polyscore.processes import VP, Product
from polyscore.processes.discrete import (
    Absorbing,
    CategoricalProcess,
    Cosine,
    Linear,
    LogLinear,
    MaskAndReplace,
    Polynomial,
    Replacing,
    SquaredCosine,
    Table,
    draw,
    vq_table,
)
from polyscore.samplers import Ancestral, sample
from polyscore.state import Given
from polyscore.testing._assert import keeps_global_rng

F64 = torch.float64
KINDS = pytest.mark.parametrize("process", processes(), ids=lambda p: f"{type(p).__name__}-{type(p.schedule).__name__}")


def fits(counts: Tensor, p: Tensor) -> float:
    """Largest standardised deviation of counts from n p."""
    n = counts.sum(-1, keepdim=True)
    spread = (n * p * (1 - p)).sqrt()
    assert bool((counts[p == 0] == 0).all())
    return float(((counts - n * p).abs() / spread.clamp(min=1e-9))[spread > 1e-9].max()) if bool((spread > 1e-9).any()) else 0.0


@pytest.mark.parametrize(
    "schedule", [Linear(), Polynomial(3.0), Cosine(), SquaredCosine(), LogLinear(), *vq_table(50), Table((1.0, 0.7, 0.7, 0.0))]
)
def test_schedules_fall_from_one(schedule: Linear) -> None:
    t = torch.linspace(0, 1, 301, dtype=F64)
    alpha = schedule(t)
    assert float(alpha[0]) == 1
    assert bool((alpha.diff() <= 1e-15).all())
    assert 0 <= float(alpha[-1]) < 2e-3


def test_schedules_are_their_formulas() -> None:
    t = torch.tensor([0.25, 0.5], dtype=F64)
    assert torch.allclose(Cosine()(t), 1 - torch.cos(torch.pi / 2 * (1 - t)), atol=1e-15)
    assert torch.allclose(LogLinear(1e-3)(t), torch.exp(torch.log1p(-(1 - 1e-3) * t)), atol=1e-15)  # exp(-sigma)
    assert torch.allclose(Table((1.0, 0.6, 0.0))(t), torch.tensor([0.8, 0.6], dtype=F64), atol=1e-15)


@KINDS
def test_kernels_compose_and_end_in_the_marginal(process: CategoricalProcess) -> None:
    """Q(0, u) Q(u, t) = Q(0, t), rows are laws, and t = 0 is data."""
    for u, t in ((0.2, 0.7), (0.5, 1.0), (0.01, 0.02)):
        assert torch.allclose(process.matrix(u) @ process.matrix(t, u), process.matrix(t), atol=1e-15)
    assert torch.allclose(process.matrix(0.6).sum(-1), torch.ones(process.tokens, dtype=F64), atol=1e-15)
    assert torch.equal(process.matrix(0.0), torch.eye(process.tokens, dtype=F64))


@KINDS
def test_rates_are_the_slopes_of_the_shares(process: CategoricalProcess) -> None:
    t, h = 0.43, 1e-6
    for slope, left, right in zip(process.rates(t), process.coefs_of(t - h), process.coefs_of(t + h), strict=True):
        assert abs(float(slope - (right - left) / (2 * h))) < 1e-8


@KINDS
def test_posterior_is_bayes(process: CategoricalProcess) -> None:
    """Against dense matrices: p(x_u | x_t) = sum over x0 of p(x0) q(x_u | x0) q(x_t | x_u) / q(x_t | x0)."""
    n, t, u = process.classes, 0.62, 0.35
    logits = torch.randn(process.tokens, n, generator=torch.Generator().manual_seed(2), dtype=F64)
    first, second, whole = process.matrix(u)[:n], process.matrix(t, u), process.matrix(t)[:n]
    x = torch.arange(process.tokens)
    p, seen = logits.softmax(-1), whole[:, x].mT  # (tokens, N): q(x_t | x0)
    ratio = torch.where(seen > 0, p / seen, 0.0)
    expected = (ratio @ first) * second[:, x].mT
    expected = expected / expected.sum(-1, keepdim=True)
    found = process.posterior(x[None], logits[None], t, u)
    assert float((found[0] - expected).abs().max()) < 1e-13
    if bool((seen > 0).all()):  # then no renormalisation takes place: the sum over x0 is a law by itself
        assert torch.allclose(((p / seen) @ first * second[:, x].mT).sum(-1), torch.ones(len(x), dtype=F64), atol=1e-12)
    known = torch.tensor([1])
    one = process.posterior(torch.tensor([2]), functional.one_hot(known, n).double().log()[None], t, u)
    assert torch.equal(process.posterior(torch.tensor([[2]]), known[None], t, u), one)


@KINDS
def test_draws_follow_their_laws(process: CategoricalProcess) -> None:
    """perturb against q(x_t | x0), transition against the posterior, prior against q(x_1): within 4.5 standard deviations."""
    n, k, many = process.classes, process.tokens, 60_000
    x0 = torch.arange(n)[:, None].expand(n, many)
    with keeps_global_rng("discrete draws"):
        noised = process.perturb(x0, 0.55, noise=11).x
    counts = torch.stack([(noised == j).sum(1) for j in range(k)], -1).to(F64)
    assert fits(counts, process.matrix(0.55)[:n]) < 4.5
    logits = torch.randn(k, 1, n, generator=torch.Generator().manual_seed(3), dtype=F64).expand(k, many, n)
    x = torch.arange(k)[:, None].expand(k, many)
    for t, u in ((0.9, 0.4), (0.3, 0.0)):
        moved = process.transition(x, Prediction(logits), t, u, noise=5)
        counts = torch.stack([(moved == j).sum(1) for j in range(k)], -1).to(F64)
        assert fits(counts, process.posterior(x[:, :1], logits[:, :1], t, u)[:, 0]) < 4.5
    first = process.prior(torch.zeros(1, many, dtype=torch.long), noise=4)
    end = process.coefs_of(1.0)
    counts = torch.stack([(first == j).sum(1) for j in range(k)], -1).to(F64)
    law = torch.cat([end.replace * process.stationary(), end.mask.reshape(1)])[None, :k] / (1 - end.keep)
    assert fits(counts, law) < 4.5


@KINDS
def test_times_per_cell_known_cells_and_seeds(process: CategoricalProcess) -> None:
    x0 = torch.randint(process.classes, (6, 3, 40), generator=torch.Generator().manual_seed(0))
    t = torch.rand(6, 3, 40, generator=torch.Generator().manual_seed(1), dtype=F64)
    t[:, 1] = 0.0
    x = process.perturb(x0, t, noise=9).x
    assert torch.equal(x[:, 1], x0[:, 1])  # a cell at t = 0 is known
    for i in (0, 4):
        assert torch.equal(process.perturb(x0[i : i + 1], t[i : i + 1], noise=9 + i).x[0], x[i])  # sample i, seed i
    mask = torch.zeros(6, 3, 40, dtype=torch.bool)
    mask[:, :, ::2] = True
    given = Given(mask=mask)
    logits = torch.zeros(6, 3, 40, process.classes)
    for made in (
        process.prior(x0, given=given, noise=2),
        process.perturb(x0, 1.0, given=given, noise=2).x,
        process.transition(x0, Prediction(logits), 0.9, 0.1, given=given, noise=2),
    ):
        assert torch.equal(made[~mask], x0[~mask])
    assert not torch.equal(process.prior(x0, given=given, noise=2)[mask], x0[mask])


def test_a_symmetric_law_draws_pairs_once() -> None:
    """Edges: (i, j) and (j, i) are one cell, the diagonal and absent nodes none."""
    law, n = Masked(Symmetric(), axes=(1, 2)), 6
    nodes = torch.tensor([[1.0] * 6, [1.0] * 4 + [0.0] * 2])
    x0 = torch.randint(3, (2, n, n), generator=torch.Generator().manual_seed(1)).triu(1)
    x0 = x0 + x0.mT
    there = nodes[:, :, None] * nodes[:, None] * (1 - torch.eye(n)) > 0
    x0 = x0 * there
    given = Given(mask=nodes)
    logits = torch.randn(2, n, n, 3, generator=torch.Generator().manual_seed(2))
    logits = logits + logits.transpose(1, 2)
    for process in (Absorbing(3, law=law), Replacing(3, probabilities=(8.0, 1.0, 1.0), law=law)):
        x = process.perturb(x0, 0.8, given=given, noise=3).x
        start = process.prior(torch.zeros_like(x0), given=given, noise=3)
        moved = process.transition(start, Prediction(logits), 1.0, 0.0, given=given, noise=3)
        for made in (x, start, moved):
            assert torch.equal(made, made.mT)
            assert bool((made[~there] == 0).all())
        assert not torch.equal(moved[0], moved[1])


def test_a_product_of_continuous_and_discrete_leaves() -> None:
    """Positions by a Gaussian process and types by a discrete one are sampled together, each as it would be alone."""
    process = Product(pos=VP(), types=Absorbing(4))
    like = {"pos": torch.zeros(3, 5, 2, dtype=F64), "types": torch.zeros(3, 5, dtype=torch.long)}
    logits = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))

    def both(x: object, t: object, given: Given) -> Prediction:
        return Prediction({"pos": torch.full((3, 5, 2), 0.25, dtype=F64), "types": logits})

    made = sample(Ancestral(), both, process, like, steps=7, noise=4)
    pos = sample(Ancestral(), lambda x, t, g: Prediction(torch.full_like(x, 0.25)), VP(), like["pos"], steps=7, noise=4)
    types = sample(Ancestral(), lambda x, t, g: Prediction(logits), Absorbing(4), like["types"], steps=7, noise=4)
    assert torch.equal(made["pos"], pos)
    assert made["types"].dtype == torch.long and int(made["types"].max()) < 4
    held = sample(Ancestral(), both, process, like, steps=7, noise=4, hold={"pos": like["pos"]})
    assert torch.equal(held["pos"], like["pos"])
    assert torch.equal(held["types"] < 4, torch.ones(3, 5, dtype=torch.bool)) and types.shape == held["types"].shape


def test_draw_inverts_the_distribution_function() -> None:
    p = torch.tensor([[0.0, 0.2, 0.5, 0.3, 0.0]], dtype=F64)
    u = torch.tensor([0.0, 0.1999999, 0.2000001, 0.6999, 0.7001, 1.0], dtype=F64)
    assert draw(p.log().expand(6, 5), u).tolist() == [1, 1, 2, 2, 3, 3]
    assert draw(p[0].log(), u).tolist() == [1, 1, 2, 2, 3, 3]


def test_a_probability_of_zero_in_pi_is_data() -> None:
    """A category that pi never draws must have been there from the start."""
    process = Replacing(3, probabilities=(1.0, 1.0, 0.0))
    x = torch.full((1, 500), 2)
    logits = torch.zeros(1, 500, 3)
    assert torch.equal(process.transition(x, Prediction(logits), 0.8, 0.3, noise=1), x)
    assert torch.equal(process.posterior(x[:, :1], logits[:, :1], 0.8, 0.3)[0, 0], torch.tensor([0.0, 0.0, 1.0], dtype=F64))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="integer tensor"):
        Absorbing(3).perturb(torch.zeros(2, 2), 0.5)
    with pytest.raises(InputError, match="begins that of the state|shape begins"):
        Absorbing(3).prior(torch.zeros(2, 2, dtype=torch.long), given=Given(mask=torch.ones(3)))
    with pytest.raises(InputError, match="expected as many numbers"):
        Replacing(3, probabilities=(1.0, 2.0))
    with pytest.raises(InputError, match="rises with t"):
        MaskAndReplace(3, Polynomial(3.0), Polynomial(1.0))
    with pytest.raises(InputError, match="fall from 1"):
        Table((1.0, 0.2, 0.4))
    with pytest.raises(InputError, match="at least 2"):
        Replacing(1)


@KINDS
def test_processes_round_trip_through_json(process: CategoricalProcess) -> None:
    config = json.loads(json.dumps(config_of(process)))
    assert config["class_path"] == f"polyscore.processes.discrete.{type(process).__name__}"
    assert build(config) == process


# ------------------------------------------------------------------------------------------------------------- GETMusic
@pytest.fixture(scope="module")
def golden(reference: Path) -> dict[str, np.ndarray]:
    with np.load(reference / "music/golden/getmusic_diffusion.npz") as file:
        return dict(file)


@pytest.mark.parametrize(("name", "classes", "steps"), [("small", 24, 100), ("official", 11880, 100), ("T10", 24, 10)])
def test_getmusic_schedules(golden: dict[str, np.ndarray], name: str, classes: int, steps: int) -> None:
    process = MaskAndReplace(classes, *vq_table(steps))
    t = torch.arange(1, steps + 1, dtype=F64) / steps
    (a, b, c), (k, r, m) = process.coefs_of(t), process.kernel(t, t - 1 / steps)
    parts = {"att": a, "btt": b / classes, "ctt": c, "at": k, "bt": r / classes, "ct": m}
    for key, found in parts.items():
        assert np.abs(found.numpy() - golden[f"sched_{name}_{key}"][:steps]).max() < 1e-13, key


def test_getmusic_matrices_and_posteriors(golden: dict[str, np.ndarray]) -> None:
    """The official numbers are float32 logarithms: its own error is 2.3e-6."""
    process, real = MaskAndReplace(24), slice(0, 24)
    logx0 = torch.from_numpy(golden["post_logx0"]).mT[..., :24]  # -70 for EMPTY, MASK left out
    xt, x0, xt1 = (torch.from_numpy(golden[key]) for key in ("post_xt", "post1h_x0", "post_xt"))
    for row, index in enumerate(golden["Q_ts"].tolist()):
        t, u = (index + 1) / 100, index / 100
        for key, table in (("Qbar_log", process.matrix(t)), ("Qt_one_log", process.matrix(t, u))):
            assert np.abs(table.numpy() - np.exp(golden[key][row].astype(float)))[real].max() < 1e-6
        found = process.posterior(xt, logx0, t, u).mT.numpy()
        assert np.abs(found - np.exp(golden["post_logq"][row].astype(float))).max() < 3e-6
        found = process.posterior(xt1[:1], x0, t, u).mT.numpy()
        assert np.abs(found - np.exp(golden["post1h_logq"][row].astype(float))).max() < 3e-6
