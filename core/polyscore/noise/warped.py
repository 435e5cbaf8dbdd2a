"""A noise source that follows motion: `Warped(flow)` goes wherever a noise source goes.

One white frame is carried along the flow, frame by frame (`polyscore.noise.motion`), so each frame is white and the content
of the noise moves with the video. A model trained on such noise moves what it draws the same way (Burgert et al. 2025,
arXiv 2501.08331). Every draw of the source is a new clip over the same transports, so stochastic samplers stay consistent
with the motion too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise.mixing import average, blend
from polyscore.noise.motion import Flow, Motion, Residual
from polyscore.noise.source import Noise, NoiseLike, as_noise
from polyscore.noise.transport import Transport

__all__ = ["Warped", "carry"]


def carry(first: Tensor, transports: Iterable[Transport], noise: Noise) -> Iterator[Tensor]:
    """White frames (B, C, H, W): `first`, then one frame a transport. They are views: copy to change them."""
    height, width = first.shape[2:]
    cells = first.flatten(2).transpose(1, 2).contiguous()  # (B, H W, C): a cell's channels lie together
    yield first
    for transport in transports:
        spare = transport.sources - cells.shape[1]
        source = torch.cat([cells, noise(cells.new_empty(len(cells), spare, cells.shape[2]))], 1) if spare else cells
        cells = transport(source, noise)
        yield cells.view(len(cells), height, width, cells.shape[2]).movedim(-1, 1)


class Warped:
    """White noise that follows `flow`, as a `Noise`: clips (B, C, T, H, W), or (B, T, C, H, W) with `axis=1`.

    Args:
        flow: the motion of F + 1 frames of H r x W r pixels, in pixels of the carried noise (`resize_flow` changes the scale).
        noise: source of the white noise that is carried; a seed, seeds a sample, or any `Noise`.
        motion: what becomes of fractions of a pixel: `Residual()`, `Dither()`, `Bilinear()`, `Nearest()`.
        degrade: 0 follows the motion exactly, 1 is noise independent in every frame: every frame is blended with a
            fresh one in this proportion (`polyscore.noise.mixing.blend`).
        reduce: r; the noise is carried at r times the size of the state and averaged down.
        frames: indices of the F + 1 frames that the state keeps (latents of a video codec); None keeps all.
        axis: axis of time in the state.

    Raises:
        InputError: a draw for a state of other size, degrade outside [0, 1].
    """

    def __init__(
        self,
        flow: Flow,
        noise: NoiseLike = 0,
        *,
        motion: Motion = Residual(),  # noqa: B008
        degrade: float = 0.0,
        reduce: int = 1,
        frames: Sequence[int] | None = None,
        axis: int = 2,
    ) -> None:
        if not 0 <= degrade <= 1:
            raise InputError(f"Warped: degrade is {degrade}; expected a number from 0 (follow the motion) to 1 (ignore it)")
        if axis not in (1, 2):
            raise InputError(f"Warped: axis is {axis}; expected 2 for states (B, C, T, H, W) or 1 for (B, T, C, H, W)")
        if reduce < 1 or any(n % reduce for n in flow.size):
            raise InputError(f"Warped: the flow is {flow.size} pixels, which reduce={reduce} does not divide")
        self.size = (flow.size[0] // reduce, flow.size[1] // reduce)
        self.frames = list(range(len(flow) + 1)) if frames is None else list(frames)
        if not self.frames or min(self.frames) < 0 or max(self.frames) > len(flow):
            raise InputError(f"Warped: frames {self.frames} are asked of a flow that has frames 0 to {len(flow)}")
        self.noise, self.degrade, self.reduce, self.axis = as_noise(noise), degrade, reduce, axis
        steps = max(self.frames)
        self.transports = tuple(islice(motion.transports(flow), steps))

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        if like.ndim != 5 or like.shape[self.axis] != len(self.frames) or tuple(like.shape[-2:]) != self.size:
            wanted = f"{len(self.frames)} frames on axis {self.axis} and {self.size[0]} x {self.size[1]} pixels"
            raise InputError(f"Warped: the state has shape {tuple(like.shape)}; the flow is for five axes with {wanted}")
        channels = like.shape[3 - self.axis]
        start = self.noise(like.new_empty(len(like), channels, self.size[0] * self.reduce, self.size[1] * self.reduce))
        found: dict[int, Tensor] = {}
        for index, frame in enumerate(carry(start, self.transports, self.noise)):
            if index in self.frames:
                found[index] = average(frame, self.reduce)
        clip = torch.stack([found[index] for index in self.frames], self.axis)
        return clip if self.degrade == 0 else blend(clip, self.noise(clip), self.degrade)
