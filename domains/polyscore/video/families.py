"""How the latents of published video models are laid out: what noise for them must look like.

With F frames of H x W pixels, s the codec's stride in space and r in time, C channels: T' = (F - 1) / r + 1 latent frames of
H/s x W/s. Latent frame k stands for the frames around r k, so it takes the noise of frame r k. All pipelines take unit noise
as `latents=`: the denoising pipelines of SVD, AnimateDiff and CogVideoX multiply it by the scheduler's first level themselves.

Shapes are those of `prepare_latents` in diffusers 0.42; a test compares them with the installed version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from polyscore.errors import InputError

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True)
class Family:
    """One layout.

    Attributes:
        name: what the command line calls it.
        channels: of the latent (SVD: half of the network's input).
        space, time: strides of the codec.
        layout: order of the axes, "BTCHW" or "BCTHW"; "packed": (B, T' h w, C).
        frames, size: what the published pipelines are made for, (height, width).
        own_noise: schedulers of this family's pipelines that draw noise of their own, which washes the motion out.
    """

    name: str
    channels: int
    space: int
    time: int
    layout: str
    frames: int
    size: tuple[int, int]
    own_noise: tuple[str, ...] = ()

    def latent_frames(self, frames: int) -> list[int]:
        """The frame each latent frame takes its noise from.

        Raises:
            InputError: a number of frames the codec cannot take.
        """
        if frames < 2 or (frames - 1) % self.time:
            least = max(1, (frames - 1) // self.time) * self.time + 1
            raise InputError(
                f"{self.name}: {frames} frames; its codec takes {self.time} k + 1 ({least} or {least + self.time}, say)"
                if self.time > 1
                else f"{self.name}: {frames} frames; expected at least 2"
            )
        return list(range(0, frames, self.time))

    def latent_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the latent.

        Raises:
            InputError: a size the codec does not divide.
        """
        if min(size) < self.space or size[0] % self.space or size[1] % self.space:
            height, width = (max(self.space, round(n / self.space) * self.space) for n in size)
            found = f"{self.name}: {size[1]} x {size[0]} pixels"
            raise InputError(f"{found}; expected multiples of {self.space} ({width} x {height})")
        return size[0] // self.space, size[1] // self.space

    def arrange(self, noise: Tensor) -> Tensor:
        """Noise (B, C, T', h, w) in the family's own order."""
        if self.layout == "BCTHW":
            return noise
        if self.layout == "BTCHW":
            return noise.transpose(1, 2).contiguous()
        return noise.flatten(2).transpose(1, 2).contiguous()


    def frames_of(self, noise: Tensor, size: tuple[int, int]) -> Tensor:
        """One sample of arranged noise, for a video of `size`, as frames (T', C, h, w): the way back from `arrange`."""
        if self.layout == "BCTHW":
            return noise.transpose(0, 1)
        if self.layout == "BTCHW":
            return noise
        height, width = self.latent_size(size)
        return noise.view(-1, height, width, self.channels).movedim(-1, 1)


def _table(*families: Family) -> Mapping[str, Family]:
    return MappingProxyType({family.name: family for family in families})


FAMILIES = _table(
    Family("cogvideox", 16, 8, 4, "BTCHW", 49, (480, 720), ("CogVideoXDPMScheduler",)),
    Family("wan", 16, 8, 4, "BCTHW", 81, (480, 832)),
    Family("hunyuan", 16, 8, 4, "BCTHW", 61, (544, 960)),
    Family("svd", 4, 8, 1, "BTCHW", 25, (576, 1024), ("EulerAncestralDiscreteScheduler",)),
    Family("animatediff", 4, 8, 1, "BCTHW", 16, (512, 512), ("EulerAncestralDiscreteScheduler", "LCMScheduler")),
    Family("ltx", 128, 32, 8, "packed", 121, (480, 704)),
)
