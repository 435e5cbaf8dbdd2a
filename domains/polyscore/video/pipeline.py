"""Clips that move as they are told: `Animator.from_pretrained("moving-digits").generate(flow)`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError, PolyscoreError
from polyscore.hub import Pretrained
from polyscore.noise import Flow, Motion, Noise, NoiseLike, Residual, Warped, as_noise, resize_flow
from polyscore.processes.grids import Grid
from polyscore.samplers import DDIM, Heun, sample
from polyscore.state import Given

__all__ = ["Animator"]


class Animator(Pretrained):
    """Draws clips whose motion is that of the noise they are made from.

    Args:
        denoiser: a denoiser of clips (B, C, T, H, W) with values in [-1, 1] and a `process`. Its network reads `given.cond`:
            "picture" (B, C + 1, H, W), a frame and where it is known, and "strength" (B,), nan for none.
        shape: (C, T, H, W) of the clips it was trained on; others can be made, the further away the worse.
        fine: the noise is carried at this multiple of the size, as in training.

    Raises:
        InputError: a shape that is not four positive numbers.
    """

    def __init__(self, denoiser: nn.Module, shape: Sequence[int], *, fine: int = 1) -> None:
        super().__init__()
        if len(shape) != 4 or min(shape) < 1 or fine < 1:
            raise InputError(f"Animator: shape {tuple(shape)}, fine {fine}; expected (C, T, H, W) and 1 or more")
        self.denoiser = denoiser
        self.shape = tuple(int(n) for n in shape)
        self.fine = fine

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the clips it was trained on."""
        return self.shape[2], self.shape[3]

    def generate(
        self,
        flow: Flow,
        *,
        first: Tensor | None = None,
        strength: float | None = None,
        degrade: float = 0.0,
        motion: Motion = Residual(),  # noqa: B008
        size: tuple[int, int] | None = None,
        steps: int = 8,
        sampler: Any = None,
        grid: Grid | Sequence[float] | None = None,
        seed: int = 0,
    ) -> Tensor:
        """One clip (T, C, H, W) with values in [0, 1] that moves along `flow`.

        Args:
            flow: the motion of T frames, in pixels of its own size; it is brought to that of the clip.
            first: the first frame (C, h, w) in [0, 1], of any size; None: the model thinks of one.
            strength: mean speed of what moves, in pixels a frame, where the noise leaves it open; None: not said.
            degrade: 0 follows the motion, 1 ignores it.
            motion: what becomes of fractions of a pixel.
            size: (H, W) of the clip; default that of training.
            steps: steps of the sampler.
            sampler: any sampler of `polyscore.samplers`; default Heun's method (two evaluations a step),
                for bridges the ancestral one.
            grid: its time grid; default that of the process.
            seed: of the noise.

        Raises:
            InputError: a first frame of another number of channels, or a strength that is no speed.
            PolyscoreError: the model gave values that are not numbers.
        """
        height, width = size or self.size
        scaled = resize_flow(flow, (height * self.fine, width * self.fine))
        noise = Warped(scaled, seed, motion=motion, degrade=degrade, reduce=self.fine)
        picture = None if first is None else self._frame(first, (height, width))[None]
        shape = (1, len(flow) + 1, height, width)
        return self.sample(noise, shape, picture=picture, strength=strength, steps=steps, sampler=sampler, grid=grid)[0]

    @torch.no_grad()
    def sample(
        self,
        noise: Noise | NoiseLike,
        shape: Sequence[int],
        *,
        picture: Tensor | None = None,
        strength: float | None = None,
        steps: int = 8,
        sampler: Any = None,
        grid: Grid | Sequence[float] | None = None,
    ) -> Tensor:
        """Clips (B, T, C, H, W) with values in [0, 1], from any source of noise.

        Args:
            noise: `polyscore.noise.Warped`, seeds, any `Noise`.
            shape: (B, T, H, W).
            picture: first frames (B, C, H, W) in [0, 1].
            strength, steps, sampler, grid: as for `generate`.

        Raises:
            InputError, PolyscoreError: as `generate`.
        """
        device = next(self.parameters()).device
        batch, frames, height, width = shape
        like = torch.empty((batch, self.shape[0], frames, height, width), device=device)
        process: Any = self.denoiser.process
        given = Given(self._end_point(process, like, picture), self.told(batch, picture=picture, strength=strength))
        method = sampler or (Heun() if given.y is None else DDIM(eta=1.0))
        clip: Tensor = sample(method, self.denoiser, process, like, steps=steps, grid=grid, given=given, noise=as_noise(noise))
        if not bool(torch.isfinite(clip).all()):
            raise PolyscoreError("generate: the model gave values that are not numbers; was its training finished?")
        return ((clip + 1) / 2).clamp(0, 1).transpose(1, 2)

    def told(self, batch: int, *, picture: Tensor | None = None, strength: float | None = None) -> dict[str, Tensor]:
        """What the network is told: first frames (B, C, H, W) in [0, 1], the strength of the motion.

        Raises:
            InputError: frames of another shape, a strength that is no speed.
        """
        device = next(self.parameters()).device
        if strength is not None and not (math.isfinite(strength) and strength >= 0):
            raise InputError(f"strength: {strength}; expected a speed in pixels a frame, 0 or more")
        cond = {"strength": torch.full((batch,), torch.nan if strength is None else strength, device=device)}
        if picture is not None:
            if picture.ndim != 4 or picture.shape[:2] != (batch, self.shape[0]):
                wanted = f"({batch}, {self.shape[0]}, H, W)"
                raise InputError(f"first frames: shape {tuple(picture.shape)}; expected {wanted}")
            known = picture.to(device) * 2 - 1
            cond["picture"] = torch.cat([known, torch.ones_like(known[:, :1])], 1)
        return cond

    def _end_point(self, process: Any, like: Tensor, picture: Tensor | None) -> Tensor | None:
        """The first frames, held, for a process that ends at a point (FrameBridge: Wang et al. 2024, arXiv 2410.15371)."""
        if float(process.coefs_of(1.0).b) == 0:
            return None
        if picture is None:
            raise InputError("this model goes from the first frame to the clip: give the first frame")
        return (picture.to(like.device) * 2 - 1)[:, :, None].expand_as(like).contiguous()

    def _frame(self, first: Tensor, size: tuple[int, int]) -> Tensor:
        if first.ndim != 3 or first.shape[0] != self.shape[0]:
            raise InputError(f"first frame: shape {tuple(first.shape)}; expected ({self.shape[0]}, height, width)")
        if tuple(first.shape[1:]) == size:
            return first
        antialias = size[0] < first.shape[1] or size[1] < first.shape[2]
        return F.interpolate(first[None], size, mode="bilinear", align_corners=False, antialias=antialias)[0]
