"""Steering: the published rule by hand, no strength means no change, and a graph is steered by itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from polyscore import hub
from polyscore.errors import CheckpointError, ConfigError, InputError
from polyscore.graphs import GraphDenoiser, GraphGenerator, PropertyRegressor, ScoreNetworkA, ScoreNetworks, ScoreNetworkX
from polyscore.graphs.batch import mask_of
from polyscore.graphs.processes import graph_process
from polyscore.graphs.steering import PropertyGuidance, Steering
from polyscore.processes import VE, VP
from polyscore.state import Given


@pytest.fixture(scope="module")
def model() -> GraphGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        adj = ScoreNetworkA(3, 6, 8, num_layers=2, num_linears=2, c_init=2, c_hid=3, c_final=2, adim=8, num_heads=2)
        networks = ScoreNetworks(ScoreNetworkX(3, 2, 8), adj)
    process = graph_process(VP(0.1, 1.0), VE(0.2, 1.0))
    denoiser = GraphDenoiser(networks, process, {"x": "eps", "adj": "score"})
    return GraphGenerator(denoiser, 3, (0, 0, 0, 1, 1, 1, 2), atoms=(6, 7, 8))


@pytest.fixture(scope="module")
def regressor() -> PropertyRegressor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return PropertyRegressor(6, 3, 2, 8).eval()


def state(sizes: tuple[int, ...]) -> tuple[dict[str, Any], Given]:
    generator, mask = torch.Generator().manual_seed(2), mask_of(sizes, max(sizes))
    b, n = mask.shape
    upper = torch.randn(b, n, n, generator=generator).triu(1)
    both = mask.unsqueeze(-1) * mask.unsqueeze(1)
    x = torch.randn(b, n, 3, generator=generator) * mask.unsqueeze(-1)
    return {"x": x, "adj": (upper + upper.mT) * both}, Given(mask=mask)


@torch.no_grad()
def test_the_score_is_that_of_the_paper(model: GraphGenerator) -> None:
    x, given = state((4, 6))
    assert given.mask is not None
    direction = torch.randn(6, 3, generator=torch.Generator().manual_seed(5))

    def linear(nodes: Any, adj: Any, mask: Any) -> Any:
        return (nodes * direction).sum((1, 2)) + (adj**2).sum((1, 2))

    process: Any = model.denoiser.process
    t = 0.3
    guided = PropertyGuidance(model.denoiser, process, linear, {"x": 0.6, "adj": 0.2}, away=0.04)
    x0, plain = guided(x, t, given).x0, model.denoiser.score(x, t, given)
    gradients = {"x": direction * given.mask.unsqueeze(-1), "adj": 2 * x["adj"]}
    for name, weight in (("x", 0.6), ("adj", 0.2)):
        score = process[name].score(x[name], x0[name], t)
        for b in range(2):
            ratio = plain[name][b].abs().sum() / gradients[name][b].abs().sum()
            expected = 0.8 * plain[name][b] + weight * 0.1**t * ratio * gradients[name][b]
            torch.testing.assert_close(score[b], expected, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_no_strength_is_the_plain_denoiser(model: GraphGenerator, regressor: PropertyRegressor) -> None:
    x, given = state((5, 6))
    plain = model.denoiser(x, 0.5, given).x0
    same = PropertyGuidance(model.denoiser, model.denoiser.process, regressor, {"x": 0.0})(x, 0.5, given).x0
    assert all(torch.equal(plain[name], same[name]) for name in plain)
    held = PropertyGuidance(model.denoiser, model.denoiser.process, regressor)(x, {"x": 0.0, "adj": 0.5}, given).x0
    unheld = model.denoiser(x, {"x": 0.0, "adj": 0.5}, given).x0
    assert all(torch.equal(held[name], unheld[name]) for name in unheld)  # nodes that are known are not steered


def test_a_graph_is_steered_by_itself(model: GraphGenerator, regressor: PropertyRegressor) -> None:
    model, regressor = copy.deepcopy(model).double(), copy.deepcopy(regressor).double()  # rounding of sums is not the point
    steering = Steering(regressor, model, weight=1.0)
    words: dict[str, Any] = {"preset": "fast", "steps": 6, "around": steering.around}
    together = model.sample([3, 6, 4], seed=[7, 8, 9], **words)
    alone = model.sample([4], seed=[9], **words)
    plain = model.sample([4], seed=[9], preset="fast", steps=6)
    torch.testing.assert_close(together.x[2, :4], alone.x[0], atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(together.adj[2, :4, :4], alone.adj[0], atol=1e-9, rtol=1e-9)
    assert (plain.x - alone.x).abs().max() > 1e-3


def test_steered_nodes_have_more_of_what_is_asked_for(model: GraphGenerator) -> None:
    class Oxygen(PropertyRegressor):
        def forward(self, x: Any, adj: Any, mask: Any) -> Any:
            return (x[..., 2] * mask).sum(1)

    steering = Steering(Oxygen(6, 3, 1, 4), model, weight=0.7)
    seeds = list(range(24))
    plain = model.sample([6] * 24, seed=seeds, preset="fast", steps=8)
    steered = model.sample([6] * 24, seed=seeds, preset="fast", steps=8, around=steering.around)
    gains = (steered.x - plain.x)[..., 2].mean((1,))
    assert (gains > 0).all()
    assert steering.predict(steered.x, steered.adj, steered.mask) == pytest.approx(steered.x[..., 2].sum(1).tolist(), rel=1e-5)


def test_what_does_not_fit_is_refused(model: GraphGenerator, regressor: PropertyRegressor, tmp_path: Any) -> None:
    with pytest.raises(InputError, match="4 features and 6 nodes; expected 3"):
        Steering(PropertyRegressor(6, 4, 2, 8), model)
    with pytest.raises(InputError, match="at least 6"):
        Steering(PropertyRegressor(5, 3, 2, 8), model)
    with pytest.raises(ConfigError, match="away 1"):
        PropertyGuidance(model.denoiser, model.denoiser.process, regressor, away=1.0)
    with pytest.raises(InputError, match="mask is None"):
        PropertyGuidance(model.denoiser, model.denoiser.process, regressor)({}, 0.5, Given())
    saved = hub.save(tmp_path / "regressor", regressor)
    x, given = state((6, 6))
    loaded = Steering.load(saved, model)
    assert given.mask is not None
    assert loaded.predict(x["x"], x["adj"], given.mask) == regressor(x["x"], x["adj"], given.mask).tolist()
    with pytest.raises(CheckpointError, match="expected a PropertyRegressor"):
        Steering.load(hub.save(tmp_path / "model", model), model)
