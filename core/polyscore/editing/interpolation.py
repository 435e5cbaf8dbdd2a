r"""Between two pieces of data: through the noise they come from.

    slerp            L [sin((1 - w) A) z1 / |z1| + sin(w A) z2 / |z2|] / sin(A),   L = (1 - w) |z1| + w |z2|, A their angle:
                     noise stays noise-like
    NoiseDiffusion   alpha z1 + beta z2 + (mu - alpha) a x1 + (nu - beta) a x2 + gamma s eps,    clipped to +- bound

with alpha^2 + beta^2 + gamma^2 = 1, alpha : beta = cos : sin of w times a right angle, mu : nu = alpha : beta, mu + nu = signal.
In z = a x + s e the noise e of real data is not white, and what is too much in it is cut off; the data themselves come back with
weights that add up to about 1, which those of slerp do not.

Sources: Shoemake 1985; Zheng et al. 2024 (NoiseDiffusion), arXiv 2403.08840.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from polyscore.errors import ConfigError
from polyscore.noise import NoiseLike, as_noise
from polyscore.processes import GaussianProcess
from polyscore.state import NONE, Given, map_state

__all__ = ["noise_diffusion", "slerp"]


def slerp(start: Any, end: Any, weight: float) -> Any:
    """Spherical interpolation, sample by sample; tensors or mappings (B, ...). Weight 0 and 1 are the ends, bit for bit."""
    if weight in {0.0, 1.0}:
        return end if weight else start
    return map_state(lambda a, b: _slerp(a, b, weight), start, end)


def _slerp(a: Tensor, b: Tensor, weight: float) -> Tensor:
    shape, least = (-1, *[1] * (a.ndim - 1)), torch.finfo(torch.float64).tiny
    one, other = ((torch.view_as_real(z) if z.is_complex() else z).flatten(1).double() for z in (a, b))
    long, wide = (z.norm(dim=1).clamp(min=least) for z in (one, other))
    angle = torch.acos(((one * other).sum(1) / long / wide).clamp(-1, 1)).clamp(min=1e-7, max=math.pi - 1e-7)
    length = torch.lerp(long, wide, weight) / torch.sin(angle)
    first, second = length * torch.sin((1 - weight) * angle) / long, length * torch.sin(weight * angle) / wide
    out: Tensor = first.view(shape).to(a.real.dtype) * a + second.view(shape).to(a.real.dtype) * b
    return out


def noise_diffusion(
    process: GaussianProcess,
    latents: tuple[Tensor, Tensor],
    data: tuple[Tensor, Tensor],
    weight: float,
    *,
    t: float,
    signal: float = 1.2,
    fresh: float = 0.0,
    bound: float = 2.0,
    given: Given = NONE,
    noise: NoiseLike = 0,
) -> Tensor:
    """A state at time t between two, from which any sampler goes on.

    Args:
        process: of the model.
        latents: z1, z2 at time t, of `invert`, or noised data, (B, ...).
        data: x1, x2 that they come from.
        weight: w, from 0 to 1.
        t: the time of the latents.
        signal: mu + nu; 1 gives back the ends, the published 1.2 also raises the contrast there.
        fresh: gamma, from 0 to 1.
        bound: clip of latents and result, in units of sqrt(a^2 + s^2) (1 for variance-preserving processes).
        given: end point and mask.
        noise: eps.

    Raises:
        ConfigError: numbers out of range.
    """
    if not (0 <= weight <= 1 and 0 <= fresh <= 1 and bound > 0):
        raise ConfigError(
            f"noise_diffusion: weight {weight}, fresh {fresh}, bound {bound}; expected 0 to 1, 0 to 1, and above 0"
        )
    a, _, s = (float(c) for c in process.coefs_of(t))
    kept, limit = math.sqrt(1 - fresh**2), bound * math.hypot(a, s)
    alpha, beta = kept * math.cos(weight * math.pi / 2), kept * math.sin(weight * math.pi / 2)
    if kept == 0.0:
        mu, nu = signal * (1 - weight), signal * weight
    else:
        mu, nu = (signal * part / (alpha + beta) for part in (alpha, beta))
    one, other = (z.clamp(-limit, limit) for z in latents)
    out = alpha * one + beta * other + (mu - alpha) * a * data[0] + (nu - beta) * a * data[1]
    if fresh:
        out = out + fresh * s * process.law(as_noise(noise), out, t=t, u=t, given=given)
    return out.clamp(-limit, limit)
