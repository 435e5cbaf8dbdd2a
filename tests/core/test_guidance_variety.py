"""Vendi guidance: the gradient of the score, a memory, examples."""

from __future__ import annotations

import torch
from tests.core.guidance_toys import F64, PROCESS, nearest, points, ring, wider
from torch import Tensor

from polyscore.evaluation import gaussian, vendi
from polyscore.guidance import Interval, VendiGuidance
from polyscore.samplers import DPMSolverPP, sample
from polyscore.state import NONE
from polyscore.testing import GaussianDenoiser, GMMDenoiser


def alike(features: Tensor) -> Tensor:
    return gaussian(features, 0.7)


def test_the_moves_of_variety_are_gradients_of_the_score() -> None:
    model, x, t = GaussianDenoiser(PROCESS), points(4, 3), 0.6
    memory, examples = points(5, 3, seed=1), points(6, 3, seed=2)
    guided = VendiGuidance(model, PROCESS, alike, 0.7, memory=memory[:2], exemplars=examples, exemplar_scale=0.2)
    guided = guided.remembering(memory[2:])
    plain = model(x, t, NONE).x0
    own = plain.clone().requires_grad_()
    value = 0.7 * 9 * vendi(alike(torch.cat([own, memory]))).log()
    value = value - 0.2 * sum(7 * vendi(alike(torch.cat([row, examples]))).log() for row in torch.split(own, 1))
    (gradient,) = torch.autograd.grad(value, own)
    a, _, s = PROCESS.coefs_of(t)
    expected = plain + s**2 / (a**2 + s**2) * gradient
    torch.testing.assert_close(guided(x, t, NONE).x0, expected, rtol=0, atol=1e-10)


def entropy(mode: Tensor) -> float:
    share = mode.bincount(minlength=8).double() / len(mode)
    return float(-torch.special.xlogy(share, share).sum())


def test_a_memory_evens_out_a_skewed_mixture() -> None:
    """64 samples in turn: the entropy of modes rises by a quarter over 3 seeds, and samples stay on the data."""
    mixture = ring([0.37, 0.25, 0.15, 0.1, 0.05, 0.04, 0.02, 0.02])
    model, found = GMMDenoiser(mixture, PROCESS), {0.0: [0.0] * 3, 1.0: [0.0] * 3}
    for scale, rows in found.items():
        for k in range(3):
            guide, drawn = VendiGuidance(model, PROCESS, alike, scale), []
            for batch in range(16):
                early = Interval(guide, model, 0.3, 1.0)
                x = sample(DPMSolverPP(), early, PROCESS, torch.empty(4, 2, dtype=F64), steps=12, noise=1000 * k + 4 * batch)
                guide = guide.remembering(x)
                drawn.append(x)
            mode, on = nearest(mixture, torch.cat(drawn), 0.35)
            rows[k] = entropy(mode)
            assert on > 0.97
    ratios = [b / a for a, b in zip(found[0.0], found[1.0], strict=True)]
    assert min(ratios) > 1.15, found
    assert sum(found[1.0]) > 1.25 * sum(found[0.0]), found


def test_examples_keep_variety_on_the_data() -> None:
    """A model that blurs, driven apart, leaves the modes; examples bring it back, further than without guidance."""
    mixture = ring([1.0] * 8)
    model = GMMDenoiser(wider(mixture, 0.05), PROCESS)
    examples = mixture.means.repeat(4, 1) + 0.05 * points(32, 2, seed=3)
    off = []
    for scale, kept in ((0.5, 0.0), (0.5, 1.0)):
        total = 0.0
        for seed in (0, 1000, 2000):
            guide = VendiGuidance(model, PROCESS, alike, scale, exemplars=examples, exemplar_scale=kept)
            x = sample(DPMSolverPP(), guide, PROCESS, torch.empty(32, 2, dtype=F64), steps=10, noise=seed)
            total += 1 - nearest(mixture, x, 0.35)[1]
        off.append(total / 3)
    assert off[1] < 0.5 * off[0], off
