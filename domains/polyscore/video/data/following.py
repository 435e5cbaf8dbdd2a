"""White noise that moves with every clip of a batch: what a model is trained on so that it obeys its noise.

Go-with-the-Flow (Burgert et al. 2025, arXiv 2501.08331) trains on the pairs (clip, noise carried along the clip's own motion),
the noise blended with fresh noise in a random proportion; nothing else about the model changes. The clips of a batch are carried
as one tall frame, with a strip of noise that does not move between any two, wider than any motion: one plan a step serves them
all, and the theorem of `polyscore.noise.transport` holds for the frame as a whole.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from polyscore.noise import Flow, Motion, Noise, Residual, Warped, blend, resize_flow
from polyscore.video.data.layers import Clips

__all__ = ["following"]


def following(
    clips: Clips,
    channels: int,
    noise: Noise,
    *,
    motion: Motion = Residual(),  # noqa: B008
    fine: int = 1,
    degrade: Tensor | None = None,
) -> Tensor:
    """White noise (B, channels, T, H, W) that follows the clips.

    Args:
        clips: their motion.
        channels: of the noise.
        noise: source of the white noise; it is asked for the whole batch at once.
        motion: what becomes of fractions of a pixel.
        fine: the noise is carried at this multiple of the size and averaged down.
        degrade: (B,), the share of fresh noise of each clip; None: none.
    """
    batch, steps, _, height, width = clips.forward.shape
    frame = (height * fine, width * fine)
    strip = math.ceil(float(clips.forward.abs().amax()) * fine) + 2
    strip += -(frame[0] + strip) % fine

    parts = Flow(*(part.flatten(0, 1) for part in (clips.forward, clips.backward, clips.hidden, clips.revealed)))
    large = resize_flow(parts, frame)
    assert large.backward is not None
    assert large.hidden is not None
    assert large.revealed is not None

    def tall(part: Tensor) -> Tensor:
        """(B T, ..., h, w) as (T, ..., B (h + strip), w)."""
        padded = F.pad(part.view(batch, steps, *part.shape[1:]), (0, 0, 0, strip))
        return padded.movedim(0, -3).flatten(-3, -2)

    flow = Flow(tall(large.forward), tall(large.backward), tall(large.hidden), tall(large.revealed))
    source = Warped(flow, noise, motion=motion, reduce=fine)
    rows = (frame[0] + strip) // fine
    carried = source(clips.film.new_empty(1, channels, steps + 1, batch * rows, width))[0]
    apart = carried.view(channels, steps + 1, batch, rows, width)[..., :height, :]
    out: Tensor = apart.movedim(2, 0).contiguous()
    if degrade is None:
        return out
    return blend(out, noise(out), degrade.view(-1, 1, 1, 1, 1))
