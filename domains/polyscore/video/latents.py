"""Noise for the latents of a video model that follows a flow: `latent_noise(flow, family)`."""

from __future__ import annotations

from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise import Flow, Motion, NoiseLike, Residual, Warped, resize_flow
from polyscore.video.families import Family

__all__ = ["latent_noise"]


def latent_noise(
    flow: Flow,
    family: Family,
    *,
    motion: Motion = Residual(),  # noqa: B008
    noise: NoiseLike = 0,
    batch: int = 1,
    degrade: float = 0.0,
    fine: int | None = None,
) -> Tensor:
    """Unit noise in the layout of `family`, (batch, ...), that follows `flow` (in pixels of the video).

    The noise is carried at `fine` times the size of the latent and averaged down, so that motion smaller than a latent pixel
    counts too; latent frame k takes that of video frame k times the codec's stride in time.

    Args:
        flow: motion of all frames of the video.
        family: the layout, from `polyscore.video.families.FAMILIES`.
        motion: how fractions of a pixel are treated.
        noise: seed, seeds a sample, or a noise source.
        batch: number of samples.
        degrade: 0 follows the motion, 1 ignores it; Go-with-the-Flow's LoRAs were trained with random values and run at .5.
        fine: None takes the codec's own stride, at most 8: the noise is as fine as the video.

    Raises:
        InputError: frames or sizes the codec cannot take, a `fine` below 1.
    """
    keep = family.latent_frames(len(flow) + 1)
    height, width = family.latent_size(flow.size)
    fine = min(family.space, 8) if fine is None else fine
    if fine < 1:
        raise InputError(f"latent_noise: fine is {fine}; expected 1 or more")
    source = Warped(
        resize_flow(flow, (height * fine, width * fine)), noise, motion=motion, degrade=degrade, reduce=fine, frames=keep
    )
    like = flow.forward.new_empty(1).expand(batch, family.channels, len(keep), height, width)
    return family.arrange(source(like))
