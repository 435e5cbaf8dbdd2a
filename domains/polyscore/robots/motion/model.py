r"""Motion in a few steps: a generator with a latent takes the place of the mean that a denoiser predicts.

A denoiser of few steps fails because the law of x_u given x_t is not Gaussian when the step is large. With a latent z ~ N(0, I),
x0hat = G(x_t, t, z) is a draw instead of a mean, and x_u is drawn from the Gaussian q(x_u | x_t, x0hat), so that the step is a
mixture of Gaussians. Where x0hat comes from is no matter to a sampler: `Latent` is a wrapper of the denoiser.

Source: Xiao et al. 2022, "Tackling the Generative Learning Trilemma with Denoising Diffusion GANs", arXiv:2112.07804; Zhou et al.
2023, "EMDM: Efficient Motion Diffusion Model", arXiv:2312.02256.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.denoisers import Precondition, Prediction
from polyscore.errors import InputError
from polyscore.guidance.wrapper import Wrapper
from polyscore.noise import NoiseLike, as_noise
from polyscore.samplers import DDPM, sample
from polyscore.state import NONE, Given

__all__ = ["Latent", "MotionModel", "few_times"]


def few_times(steps: int) -> list[float]:
    """The times 1, 1 - 1 / n, ..., 1 / n, 0 of n steps."""
    return [1 - i / steps for i in range(steps)] + [0.0]


@dataclass(frozen=True, eq=False)
class Latent(Wrapper):
    """Gives the denoiser a fresh z ~ N(0, I) (B, 1, width) as `cond["state"]` at every call.

    Args:
        denoiser: what it is given to.
        width: of z.
        noise: where z is drawn from.
    """

    width: int
    noise: Any

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        z = self.noise(x.new_empty(len(x), 1, self.width))
        return self.denoiser(x, t, given._replace(cond={**(given.cond or {}), "state": z}))


class MotionModel(nn.Module):
    """Draws motions (B, T, F) in `steps` calls of its network.

    Args:
        denoiser: a `Precondition` of x0 around a network of chunks such as `ActionDiT`, whose `state` is the width of z.
        steps: calls of the network.

    Raises:
        InputError: no steps.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, denoiser: Precondition, steps: int = 4) -> None:
        super().__init__()
        if steps < 1:
            raise InputError(f"MotionModel: {steps} steps, expected 1 or more")
        self.denoiser, self.steps = denoiser, steps
        network: Any = denoiser.network
        for name, value in (("shift", 0.0), ("scale", 1.0)):
            self.register_buffer(name, torch.full((network.action,), value))

    def fit_scale(self, motions: Tensor) -> None:
        """Set mean and deviation of every feature from motions (N, T, F); part of what is saved."""
        self.shift.copy_(motions.mean((0, 1)))
        self.scale.copy_(motions.std((0, 1)).clamp(min=1e-6))

    def encode(self, motions: Tensor) -> Tensor:
        """Motions in the units of the network."""
        return (motions - self.shift) / self.scale

    def decode(self, x: Tensor) -> Tensor:
        """And back."""
        return x * self.scale + self.shift

    @torch.no_grad()
    def draw(self, count: int, *, seed: int | NoiseLike = 0) -> Tensor:
        """`count` motions (count, T, F)."""
        network: Any = self.denoiser.network
        process: Any = self.denoiser.process
        noise: Any = as_noise(seed)
        like = self.shift.new_empty(count, network.window, network.action)
        latent: Any = Latent(self.denoiser, network.state, noise)
        x: Any = sample(DDPM(), latent, process, like, steps=self.steps, grid=few_times(self.steps), given=NONE, noise=noise)
        return self.decode(x)
