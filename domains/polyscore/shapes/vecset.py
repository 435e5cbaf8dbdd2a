r"""Solids as sets of codes: an autoencoder, and a diffusion model that draws codes of a kind.

A solid is M codes z of c channels on the sphere |z_m| = sqrt(c). The decoder gives, at any point, a signed distance (negative
inside) in units of `reach`, cut off at 1, and logits of the paints; so the geometry is one, and its colour is

    rgb(p) = sum_k softmax(paints(p))_k palette(colour)_k.

In training normal noise is added to the codes, which leaves a neighbourhood of every code that decodes to nearly the same body:
a diffusion model may miss by as much.

Sources: Zhang et al. 2023 (3DShape2VecSet), arXiv 2301.11445; Sun et al. 2024 (LatentLM: a fixed variance in place of a learned
one), arXiv 2412.08635.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.editing import sdedit
from polyscore.errors import InputError, PolyscoreError
from polyscore.guidance import CFG
from polyscore.hub import Pretrained
from polyscore.samplers import DDIM, sample
from polyscore.shapes.data.procedural import names
from polyscore.shapes.networks.attention import Memory
from polyscore.shapes.networks.vecset import SetDecoder, SetEncoder
from polyscore.shapes.words import palette
from polyscore.state import Given

__all__ = ["CodedSolid", "SolidCodes", "VecSet"]


class SolidCodes(Pretrained):
    """The autoencoder.

    Args:
        encoder: points of a surface to codes.
        decoder: codes and points of space to the field.
        reach: the distance that the decoder calls 1.
        noise: standard deviation of the noise on codes in training, in units of their own.

    Raises:
        InputError: a reach or noise that is not positive, or an encoder and a decoder for other codes.
    """

    def __init__(self, encoder: SetEncoder, decoder: SetDecoder, *, reach: float = 0.06, noise: float = 0.3) -> None:
        super().__init__()
        shapes = [(part.codes, part.channels, part.paints) for part in (encoder, decoder)]
        if not reach > 0 or not noise >= 0 or shapes[0] != shapes[1]:
            raise InputError(
                f"SolidCodes: reach {reach}, noise {noise}, codes, channels, paints {shapes[0]} and {shapes[1]}; expected a "
                "positive reach, a noise of 0 or more, and the same"
            )
        self.encoder, self.decoder, self.reach, self.noise = encoder, decoder, reach, noise

    def forward(self, codes: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (B, Q) in units of space, cut off at the reach by training alone, and logits of the paints (B, Q, 5)."""
        out = self.decoder(codes, points)
        return self.reach * out[..., 0], out[..., 1:]

    @torch.no_grad()
    def encode(self, points: Tensor, normals: Tensor, paints: Tensor) -> Tensor:
        """Codes (B, M, c) of surfaces: points and unit normals (B, N, 3), numbers of the paints (B, N)."""
        codes: Tensor = self.encoder(points, normals, paints)
        return codes


@dataclass(frozen=True)
class CodedSolid:
    """One body that codes (M, c) describe.

    Attributes:
        model: whose codes they are.
        memories: what points read.
    """

    model: SolidCodes
    memories: list[Memory]

    @torch.no_grad()
    def read(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Signed distances (N,), negative inside, and shares of the paints (N, 5), at points (N, 3)."""
        device = self.memories[0].keys.device
        out = self.model.decoder.read(points.to(device)[None], self.memories)[0].to(points.device)
        return self.model.reach * out[:, 0], out[:, 1:].softmax(-1)

    def level(self, points: Tensor) -> Tensor:
        """Positive inside, (N,), at points (N, 3)."""
        return -self.read(points)[0]

    def colour(self, points: Tensor, colour: str) -> Tensor:
        """Red, green and blue (N, 3) at points (N, 3), the main colour being the named one of `polyscore.shapes.words`."""
        return self.read(points)[1] @ palette(colour)


class VecSet(Pretrained):
    """Solids of a kind: `VecSet.from_pretrained("vecset-solids").draw("chair", seed=3)` are codes of a chair.

    Args:
        codes: the autoencoder; it is not trained further.
        denoiser: of its codes (B, M, c), with a `process`; `given.cond` are numbers of kinds (B,), -1 for "not said".
    """

    def __init__(self, codes: SolidCodes, denoiser: nn.Module) -> None:
        super().__init__()
        self.codes, self.denoiser = codes.requires_grad_(False), denoiser

    @torch.no_grad()
    def draw(
        self,
        kind: str,
        count: int = 1,
        *,
        steps: int = 20,
        guidance: float = 1.5,
        start: Tensor | None = None,
        strength: float = 0.6,
        seed: int = 0,
    ) -> Tensor:
        """Codes (count, M, c) of solids of a kind; solid i draws from seed + i alone.

        Args:
            kind: one of `polyscore.shapes.data.procedural.names()`.
            count: how many.
            steps: of DDIM.
            guidance: of the kind; 1 is none and costs half.
            start: codes (M, c) or (count, M, c) of bodies to stay close to, noised to the time `strength` and drawn from there.
            strength: 1 forgets them, 0 keeps them.
            seed: of the first.

        Raises:
            InputError: a kind that is not there, no solids, or a guidance or strength that cannot be used.
            PolyscoreError: the model gave values that are not numbers.
        """
        if kind not in names() or count < 1 or not math.isfinite(guidance):
            raise InputError(
                f"draw: {count} of {kind!r}, guidance {guidance}; expected 1 or more of {', '.join(names())}, and a finite number"
            )
        network: Any = self.codes.decoder
        like = next(self.parameters()).new_empty(count, network.codes, network.channels)
        given = Given(cond=torch.full((count,), names().index(kind), device=like.device))
        denoiser: Any = self.denoiser if guidance == 1 else CFG(self.denoiser, null=_unsaid, scale=guidance)
        process: Any = self.denoiser.process
        if start is None:
            z: Tensor = sample(DDIM(), denoiser, process, like, steps=steps, given=given, noise=seed)
        else:
            near = start.to(like).expand_as(like)
            z = sdedit(DDIM(), denoiser, process, near, strength=strength, steps=steps, given=given, noise=seed)
        if not bool(torch.isfinite(z).all()):
            raise PolyscoreError("draw: the model gave values that are not numbers; was its training finished?")
        return z

    @torch.no_grad()
    def solid(self, codes: Tensor) -> CodedSolid:
        """The body of codes (M, c); what points read is computed here, once."""
        return CodedSolid(self.codes, self.codes.decoder.remember(codes[None]))


def _unsaid(given: Given) -> Given:
    return given._replace(cond=torch.full_like(given.cond, -1))
