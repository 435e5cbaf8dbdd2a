"""Reflection: the formula, and that it sharpens."""

from __future__ import annotations

import math

import pytest
import torch
from tests.core.guidance_toys import F64, PROCESS, nearest, points, ring, wider
from torch import Tensor

from polyscore.errors import InputError
from polyscore.guidance import Reflection
from polyscore.processes import VP, Cosine, Flow, GaussianProcess
from polyscore.samplers import DPMSolverPP, sample
from polyscore.state import NONE
from polyscore.testing import GaussianDenoiser, GMMDenoiser


@pytest.mark.parametrize("process", [VP(), Flow(), Cosine()], ids=lambda p: type(p).__name__)
def test_equal_models_leave_no_gap_and_unequal_ones_that_of_the_two_steps(process: GaussianProcess) -> None:
    strong, weak, x = GaussianDenoiser(process, 0.3, 0.7), GaussianDenoiser(process, 0.1, 1.1), points(4, 3)
    for t in (0.05, 0.5, 0.99):
        same = Reflection(strong, strong, process, 0.1)(x, t, NONE)
        assert torch.equal(same.x0, strong(x, t, NONE).x0)
        a, _, s = process.coefs_of(t)
        torch.testing.assert_close(a * same.x0 + s * same.eps, x, rtol=0, atol=1e-12)
        u = 0.9 * t
        au, d = process.coefs_of(u).a, process.coefs_of(u).s / s
        down = d * x + (au - d * a) * strong(x, t, NONE).x0
        up = (down - (au - d * a) * weak(x, t, NONE).x0) / d
        found = Reflection(strong, weak, process, 0.1)(x, t, NONE)
        torch.testing.assert_close(a * found.x0 + s * found.eps, up, rtol=0, atol=1e-11)
        assert torch.equal(found.x0, strong(a * found.x0 + s * found.eps, t, NONE).x0) or torch.allclose(
            found.x0, strong(up, t, NONE).x0, rtol=0, atol=1e-11
        )
    with pytest.raises(InputError, match="a gap of 1"):
        Reflection(strong, weak, process, 1.0)


def test_reflection_sharpens_a_model_that_blurs() -> None:
    """Strong and weak models blur modes of deviation .1 by variances .02 and .08. Precision, and sliced W2 to the data, 3 seeds.

    Starts come in all eight rotations, so the shares of modes are equal and W2 sees the shape of modes alone.
    """
    data = ring([1.0] * 8)
    strong, weak = (GMMDenoiser(wider(data, v), PROCESS) for v in (0.02, 0.08))
    angle = torch.arange(8, dtype=F64) * math.pi / 4
    turns = torch.stack([torch.stack([angle.cos(), -angle.sin()], 1), torch.stack([angle.sin(), angle.cos()], 1)], 1)
    lines = torch.nn.functional.normalize(points(2, 32, seed=9), dim=0)

    def turned(x: Tensor) -> Tensor:
        return torch.einsum("kij,nj->kni", turns, x).flatten(0, 1)

    for seed in (0, 1, 2):
        real = turned(data.means[:1] + 0.1 * points(100, 2, seed=100 + seed))
        start = turned(points(100, 2, seed=seed))
        precision, distance = [], []
        for denoiser in (strong, Reflection(strong, weak, PROCESS, 0.1)):
            x = sample(DPMSolverPP(), denoiser, PROCESS, start, steps=15, init=start)
            precision.append(nearest(data, x, 0.35)[1])
            gaps = (x @ lines).sort(0).values - (real @ lines).sort(0).values
            distance.append(float(gaps.square().mean().sqrt()))
        assert precision[1] > precision[0], precision
        assert distance[1] < distance[0], distance
