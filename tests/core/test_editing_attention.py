"""Edits through attention and features: on a small transformer, and on models in closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.denoisers import Prediction
from polyscore.editing import (
    Blended,
    DirectInversion,
    GuideAndRescale,
    Moved,
    Resemblance,
    SharedAttention,
    UniformAttention,
    difference_mask,
    halves,
    invert,
    joined,
    maps_of,
    regional_sde,
)
from polyscore.errors import InputError
from polyscore.guidance import CFG, ClassifierGuidance
from polyscore.processes import VP
from polyscore.samplers import DDIM, Ancestral, sample
from polyscore.state import NONE, Given
from polyscore.testing import GaussianDenoiser, ScalarMixtureDenoiser

F64 = torch.float64
PROCESS = VP(0.1, 20.0)


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d)) v of tokens (B, n, d) with what is told, or with themselves."""

    def __init__(self, width: int, *, fused: bool, sharpness: float = 1.0) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False, dtype=F64) for _ in range(3))
        self.fused, self.sharpness = fused, sharpness

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        q, k, v = self.sharpness * self.q(x), self.k(told), self.v(told)
        if self.fused:
            return functional.scaled_dot_product_attention(q, k, v)
        found: Tensor = (q @ k.mT / math.sqrt(x.shape[-1])).softmax(-1) @ v
        return found


class Tokens(nn.Module):
    """E[x0 | x] of Gaussian entries plus what attention finds: in the tokens themselves, or in those of the condition."""

    def __init__(self, seed: int = 0, *, fused: bool = True, sharpness: float = 1.0, share: float = 0.3) -> None:
        super().__init__()
        self.attention = Attention(4, fused=fused, sharpness=sharpness)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, dtype=F64, generator=generator) / 2
        self.share = share

    def forward(self, x: Tensor, t: Any, given: Given) -> Prediction:
        told = x if given.cond is None else given.cond
        return Prediction(GaussianDenoiser(PROCESS, 0.0, 0.6)(x, t, NONE).x0 + self.share * self.attention(x, told))


def tokens(count: int = 6, seed: int = 1) -> Tensor:
    return 0.6 * torch.randn(count, 5, 4, dtype=F64, generator=torch.Generator().manual_seed(seed))


# ----------------------------------------------------------------------------------------------- maps
@pytest.mark.parametrize("fused", [True, False])
def test_maps_are_written_down_and_nothing_is_changed(fused: bool) -> None:
    model, x = Tokens(fused=fused), tokens()
    (found,) = maps_of([model.attention], lambda: model(x, 0.5, NONE))
    q, k = model.attention.q(x), model.attention.k(x)
    torch.testing.assert_close(found, (q @ k.mT / 2).softmax(-1))
    assert found.requires_grad
    assert not model.attention._forward_hooks
    assert not model.attention._forward_pre_hooks
    assert maps_of([], lambda: model(x, 0.5, NONE)) == []


@pytest.mark.parametrize("fused", [True, False])
def test_a_target_with_the_maps_of_its_source(fused: bool) -> None:
    model, x = Tokens(fused=fused), tokens()
    wrapped = SharedAttention(model, [model.attention], low=0.3)
    here, there = halves(x)
    share = maps_of([model.attention], lambda: model(here, 0.5, NONE))[0]
    plain = GaussianDenoiser(PROCESS, 0.0, 0.6)(there, 0.5, NONE).x0
    out = halves(wrapped(x, 0.5, NONE).x0)
    torch.testing.assert_close(out[1], plain + 0.3 * share @ model.attention.v(there))
    torch.testing.assert_close(out[0], model(here, 0.5, NONE).x0)
    assert torch.equal(wrapped(x, 0.2, NONE).x0, model(x, 0.2, NONE).x0)
    assert torch.equal(SharedAttention(model)(x, 0.5, NONE).x0, model(x, 0.5, NONE).x0)


@pytest.mark.parametrize("fused", [True, False])
def test_uniform_attention_is_the_mean_of_what_is_told(fused: bool) -> None:
    model, x = Tokens(fused=fused), tokens()
    given = Given(cond=tokens(seed=3)[:, :3])
    out = UniformAttention(model, [model.attention])(x, 0.5, given).x0
    mean = model.attention.v(given.cond).mean(1, keepdim=True)
    torch.testing.assert_close(out, GaussianDenoiser(PROCESS, 0.0, 0.6)(x, 0.5, NONE).x0 + 0.3 * mean.expand_as(x))
    assert torch.equal(UniformAttention(model)(x, 0.5, given).x0, model(x, 0.5, given).x0)
    with pytest.raises(InputError, match="no attention map was made inside Linear"):
        UniformAttention(model, [model.attention.q])(x, 0.5, given)


def test_uniform_cross_attention_reconstructs_better() -> None:
    """DDIM inversion and back with sharp cross-attention: at most .3 of the squared error, for each of three networks."""
    for seed in range(3):
        model, x = Tokens(seed, sharpness=8.0, share=0.3), tokens(32)
        given = Given(cond=2 * tokens(32, seed=4 + seed))
        errors = []
        with torch.no_grad():
            for denoiser in (model, UniformAttention(model, [model.attention])):
                path = invert(denoiser, PROCESS, x, steps=20, given=given)
                kwargs: Any = {"steps": 20, "grid": path.times, "given": given, "init": path.states[0]}
                errors.append(float((sample(DDIM(), denoiser, PROCESS, x, **kwargs) - x).square().mean()))
        assert errors[1] < 0.3 * errors[0]


# ----------------------------------------------------------------------------------------------- guide and rescale
def test_guide_and_rescale() -> None:
    """None is CFG; the pull has the ratio's length, points down the energy, and brings what is made closer to the source."""
    model, x = Tokens(share=1.0), tokens()
    source, target = Given(cond=tokens(seed=5)), Given(cond=tokens(seed=6))

    def null(given: Given) -> Given:
        return Given(cond=torch.zeros_like(given.cond))

    with torch.no_grad():
        path = invert(model, PROCESS, x, steps=10, given=source)
    t = path.times[4]
    energy = Resemblance(model, path, source, [model.attention], [model.attention])
    plain = CFG(model, null, 2.0, passes=2)(x, t, target)
    assert torch.equal(GuideAndRescale(model, PROCESS, null, 2.0)(x, t, target).x0, plain.x0)
    guided = plain.x0 - plain.extra["null"]
    for low, high in ((0.5, 0.5), (2.0, 2.0)):
        out = GuideAndRescale(model, PROCESS, null, 2.0, energy, (low, high))(x, t, target).x0
        ratio = (out - plain.x0).flatten(1).norm(dim=1) / guided.flatten(1).norm(dim=1)
        torch.testing.assert_close(ratio, torch.full_like(ratio, low))
    small = GuideAndRescale(model, PROCESS, null, 2.0, energy, (0.01, 0.01))(x, t, target).x0 - plain.x0
    assert bool((energy(x + small, t, target) > energy(x, t, target)).all())
    assert float(energy(path.states[4], t, source).detach().abs().max()) < 1e-12
    kwargs: Any = {"steps": 10, "grid": path.times, "given": target, "init": path.states[0]}
    with torch.no_grad():
        near = sample(DDIM(), GuideAndRescale(model, PROCESS, null, 2.0, energy), PROCESS, x, **kwargs)
        far = sample(DDIM(), CFG(model, null, 2.0, passes=2), PROCESS, x, **kwargs)
    assert float((near - x).square().mean()) < 0.8 * float((far - x).square().mean())


# ----------------------------------------------------------------------------------------------- blending
class Classes(nn.Module):
    """Rows of class means differ in the first three entries."""

    def forward(self, x: Tensor, t: Any, given: Given) -> Prediction:
        mean = torch.tensor([[-1.0] * 3 + [0.4] * 3, [1.0] * 3 + [0.4] * 3], dtype=F64)[given.cond][:, None]
        return Prediction(mean + GaussianDenoiser(PROCESS, 0.0, 0.4)(x - PROCESS.coefs_of(t).a * mean, t, NONE).x0)


def test_an_edit_inside_a_mask_leaves_the_rest_bit_for_bit() -> None:
    model, x = Classes(), 0.5 * torch.randn(4, 1, 6, dtype=F64, generator=torch.Generator().manual_seed(2)) - 0.5
    one, other = (Given(cond=torch.full((4,), label)) for label in (0, 1))
    mask = difference_mask(model, PROCESS, x, (one, other), t=0.5, noise=1)
    assert torch.equal(mask, torch.tensor([True] * 3 + [False] * 3).expand(4, 1, 6))
    path = invert(model, PROCESS, x, steps=10, given=one)
    both, given = joined(path.states[0], path.states[0]), Given(cond=joined(one.cond, other.cond))
    part = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    blended = DirectInversion(Blended(model, part), PROCESS, path)
    outside = Blended(DirectInversion(model, PROCESS, path), part)
    kwargs: Any = {"steps": 10, "grid": path.times, "given": given, "init": both}
    out = halves(sample(DDIM(), outside, PROCESS, both, **kwargs))
    assert torch.equal(out[1][..., 2:], out[0][..., 2:])
    torch.testing.assert_close(out[0], x)
    assert float((out[1] - x)[..., :2].mean()) > 1.0
    assert float((halves(sample(DDIM(), blended, PROCESS, both, **kwargs))[1] - x)[..., 2:].abs().max()) > 1e-4
    whole = Blended(model, torch.ones(6))
    assert torch.equal(whole(both, 0.5, given).x0, model(both, 0.5, given).x0)


# ----------------------------------------------------------------------------------------------- DiffEditor
class Ink(nn.Module):
    """Pixels are ink (+1) with probability .2, paper (-1) otherwise; the features are the soft labels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.exact = ScalarMixtureDenoiser(PROCESS, (0.8, 0.2), (-1.0, 1.0), (0.01, 0.01))

    def forward(self, x: Tensor, t: Any, given: Given) -> Prediction:
        x0 = self.exact(x, t, NONE).x0
        seen = self.features(torch.cat([1 + x0, 1 - x0], 1))
        return Prediction(seen[:, :1] - 1)


def test_regional_noise() -> None:
    """Inside the mask draws differ, outside the sampler is DDIM bit for bit; eta 0 is DDIM everywhere."""
    model, x = Ink(), torch.randn(3, 1, 6, 6, dtype=F64, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(6, 6)
    mask[:3] = 1
    kwargs: Any = {"steps": 12, "init": x}
    out = [sample(regional_sde(mask), model, PROCESS, x, noise=seed, **kwargs) for seed in (1, 100)]
    flow = sample(Ancestral(0.0), model, PROCESS, x, **kwargs)
    assert torch.equal(out[0][..., 3:, :], flow[..., 3:, :])
    assert float((out[0] - out[1])[..., :3, :].abs().max()) > 0.5
    assert torch.equal(sample(regional_sde(mask, eta=0.0), model, PROCESS, x, **kwargs), flow)
    full = sample(regional_sde(torch.ones(6, 6)), model, PROCESS, torch.empty(512, 1, 6, 6, dtype=F64), steps=40, noise=3)
    assert float((full > 0).double().mean()) == pytest.approx(0.2, abs=0.02)


def test_move_a_square() -> None:
    """A 3 x 3 square moves by two: IoU above .7 with noise inside the region; without it the old place stays inked."""
    model = Ink()
    x = torch.full((8, 1, 8, 8), -1.0, dtype=F64)
    x[..., 2:5, 1:4] = 1.0
    region = (x[0, 0] > 0).double()
    goal = x.roll(2, 3) > 0
    with torch.no_grad():
        path = invert(model, PROCESS, x, steps=25, start=0.7)
    energy = Moved(model, path, NONE, [model.features], region, (0, 2), (3000.0, 3000.0))
    guided = ClassifierGuidance(model, PROCESS, energy)
    kwargs: Any = {"steps": path.steps, "grid": path.times, "init": path.states[0]}
    changed = torch.maximum(region, region.roll(2, 1))
    found = {}
    for name, sampler in (("sde", regional_sde(changed)), ("ode", regional_sde(changed, eta=0.0))):
        with torch.no_grad():
            out = sample(sampler, guided, PROCESS, x, noise=7, **kwargs)
        inked = out > 0
        overlap = (inked & goal).flatten(1).sum(1) / (inked | goal).flatten(1).sum(1)
        found[name] = float(overlap.double().mean())
        assert float(((out - x) * (1 - changed)).square().mean()) < 1e-2
    assert found["sde"] > 0.7
    assert found["sde"] > found["ode"] + 0.1
    with pytest.raises(InputError, match="features"):
        Moved(model, path, NONE, [], region, (0, 2))(x, path.times[0], NONE)
