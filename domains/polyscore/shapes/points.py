"""Point clouds from a code: the diffusion of Luo and Hu (DPM), as a generator and as an autoencoder.

A code z says which shape, and given it the points are independent, so any number of them can be drawn. Codes come from a standard
normal law, truncated at two standard deviations, from a flow of it, or from the encoder of a cloud.

The published schedule ends at abar_100 = 0.364: x_1 is not pure noise, yet sampling starts at N(0, I), and so does this prior.

Source: Luo and Hu 2021, arXiv 2103.01458.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import InputError, PolyscoreError
from polyscore.hub import Pretrained
from polyscore.noise import NoiseLike, as_noise
from polyscore.processes import BetaTable, expand, linear_betas
from polyscore.samplers import DDPM, sample
from polyscore.shapes.networks import CouplingFlow, PointEncoder, PointwiseNet
from polyscore.state import Given

__all__ = ["PointDenoiser", "PointGenerator", "PointTable"]


@dataclass(frozen=True)
class PointTable(BetaTable):
    """A beta table whose prior is N(0, I), whatever is left of the data at t = 1; by default the published 100 steps."""

    betas: tuple[float, ...] = field(default_factory=lambda: linear_betas(100, 1e-4, 0.02), repr=False)

    def std_at_start(self, t: Tensor) -> Tensor:
        """One."""
        return torch.ones_like(t)

    def beta(self, t: Tensor) -> Tensor:
        """beta of index N t, 0 at t = 0, linear between the nodes; of t's shape, float64."""
        table = torch.tensor([0.0, *self.betas], dtype=torch.float64, device=t.device)
        place = (t.double() * len(self)).clamp(0, len(self))
        left = (place + 1e-9).floor().clamp(max=len(self) - 1).long()
        return table[left] + (place - left) * (table[left + 1] - table[left])


@dataclass(frozen=True)
class PointDenoiser:
    """x0 = (x - s eps) / a with eps = network(x, beta_t, code); `given.cond` is the code (B, latent)."""

    network: PointwiseNet
    process: PointTable

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        """`x` (B, N, 3), `t` a number or (B,)."""
        time = torch.as_tensor(t, dtype=torch.float64)
        beta = self.process.beta(time).to(x).expand(len(x))
        eps = self.network(x, beta, given.cond)
        a, _, s = (expand(c, time, x).to(x.dtype) for c in self.process.coefs(time))
        return Prediction((x - s * eps) / a)


class PointGenerator(Pretrained):
    """Draws clouds, encodes clouds and draws them anew: `PointGenerator.from_pretrained(folder).sample(4)`.

    Args:
        network: denoises points, given a code.
        encoder: gives the code of a cloud.
        flow: maps a standard normal to codes; None where codes themselves are standard normal.
        process: the schedule of the points.
        truncate: codes are drawn from the normal law within so many standard deviations.

    Raises:
        InputError: parts whose codes differ in length, or a truncation that is not positive.
    """

    def __init__(
        self,
        network: PointwiseNet,
        encoder: PointEncoder,
        flow: CouplingFlow | None = None,
        *,
        process: PointTable | None = None,
        truncate: float = 2.0,
    ) -> None:
        super().__init__()
        lengths = {part.latent for part in (network, encoder, flow) if part is not None}
        if len(lengths) > 1 or not truncate > 0:
            raise InputError(f"PointGenerator: codes of length {sorted(lengths)}, truncate {truncate}; expected one, above 0")
        self.network, self.encoder, self.flow = network, encoder, flow
        self.process = PointTable() if process is None else process
        self.truncate = truncate

    def codes(self, count: int, *, noise: NoiseLike = 0) -> Tensor:
        """Codes (count, latent) from the model's law: a truncated normal, through the flow where there is one."""
        if count < 1:
            raise InputError(f"codes: {count}, expected 1 or more")
        like = next(self.network.parameters()).new_empty(count, self.network.latent)
        share = torch.special.ndtr(as_noise(noise)(like).double())
        tail = 0.5 * math.erfc(self.truncate / math.sqrt(2))
        w = torch.special.ndtri(tail + share * (1 - 2 * tail)).to(like.dtype)
        return w if self.flow is None else self.flow.inverse(w)

    @torch.no_grad()
    def encode(self, clouds: Tensor) -> Tensor:
        """The mean code (B, latent) of clouds (B, N, 3) in the model's scale."""
        if clouds.ndim != 3 or clouds.shape[-1] != 3:
            raise InputError(f"encode: clouds of shape {tuple(clouds.shape)}; expected (B, N, 3)")
        mean: Tensor = self.encoder(clouds.to(next(self.network.parameters())))[0]
        return mean

    @torch.no_grad()
    def decode(
        self, codes: Tensor, points: int = 2048, *, steps: int | None = None, sampler: Any = None, noise: NoiseLike = 0
    ) -> Tensor:
        """Clouds (B, points, 3) of codes (B, latent), in the model's scale.

        Args:
            codes: which shapes.
            points: of each cloud.
            steps: by default all of the schedule.
            sampler: any sampler of `polyscore.samplers`; default DDPM (the published one with flexibility 0).
            noise: source or seed; cloud i uses seed `noise + i`.

        Raises:
            InputError: codes of another length, or no points.
            PolyscoreError: the model gave values that are not numbers.
        """
        if codes.ndim != 2 or codes.shape[-1] != self.network.latent or points < 1:
            raise InputError(
                f"decode: codes of shape {tuple(codes.shape)}, {points} points; expected (B, {self.network.latent}) and 1 or more"
            )
        codes = codes.to(next(self.network.parameters()))
        x: Tensor = sample(
            sampler or DDPM(),
            PointDenoiser(self.network, self.process),
            self.process,
            codes.new_empty(len(codes), points, 3),
            steps=len(self.process) if steps is None else steps,
            given=Given(cond=codes),
            noise=noise,
        )
        if not bool(torch.isfinite(x).all()):
            raise PolyscoreError("decode: the model gave values that are not numbers; was its training finished?")
        return x

    @torch.no_grad()
    def sample(
        self, count: int, points: int = 2048, *, steps: int | None = None, sampler: Any = None, seed: int = 0
    ) -> Tensor:
        """New clouds (count, points, 3), in the model's scale; cloud i depends on seed `seed + i` alone."""
        return self.decode(self.codes(count, noise=seed), points, steps=steps, sampler=sampler, noise=seed)
