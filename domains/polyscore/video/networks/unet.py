"""A space-time U-Net, factorised into space and time.

The last convolution also sees the noisy clip itself, each channel times a gain of the time: what has to be predicted is mostly a
multiple of it, which narrow layers would hardly carry through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.state import NONE, Given
from polyscore.video.networks.blocks import Block, FrameNorm, SpaceConv, from_patches, to_patches, zero
from polyscore.video.networks.told import Told, picture_channels

__all__ = ["VideoUNet"]


class VideoUNet(nn.Module):
    """`network(x, time, given)`: clips x (B, channels, T, H, W) of any length, time (B,); the output is shaped like x.

    `given.cond` may hold "picture", (B, picture, H, W) or (B, picture, T, H, W), and the cues by name, (B,). Nothing in it
    depends on absolute places, so other sizes and lengths than those of training can be made. A clip of one frame is a picture:
    the layers in time are left out.

    Args:
        channels: of the clip.
        picture: channels of the picture it is conditioned on (a mask among them says where it is known); 0 for none.
        width: channels of the finest level; a multiple of `heads`.
        multipliers: width of each level as a multiple of `width`; each level after the first halves the frame.
        blocks: blocks a level on the way down, and one more on the way up.
        patch: pixels p x p become channels at the entrance.
        heads: of the attention in time; 0 leaves it out.
        attend: how many of the coarsest levels have attention in time.
        cues: names of scalar conditions (`polyscore.video.networks.told`).

    Raises:
        InputError: a width that does not divide, or frames whose sides the levels do not divide.
    """

    def __init__(
        self,
        channels: int = 3,
        picture: int = 4,
        width: int = 32,
        *,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 1,
        patch: int = 2,
        heads: int = 4,
        attend: int = 1,
        cues: Sequence[str] = ("strength",),
    ) -> None:
        super().__init__()
        if width < 2 or (heads and width % heads):
            raise InputError(f"VideoUNet: width {width}, expected a multiple of heads = {heads}")
        self.channels, self.picture, self.width, self.multipliers = channels, picture, width, tuple(multipliers)
        self.blocks, self.patch, self.heads, self.attend, self.cues = blocks, patch, heads, attend, tuple(cues)
        size = 4 * width
        self.told = Told(size, self.cues)
        self.first = SpaceConv((channels + picture) * patch**2, width)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        now, stack = width, [width]
        heads_of = [heads if level >= len(self.multipliers) - attend else 0 for level in range(len(self.multipliers))]
        for level, multiplier in enumerate(self.multipliers):
            if level:
                self.down.append(SpaceConv(now, now, stride=2))
                stack.append(now)
            for _ in range(blocks):
                self.down.append(Block(now, width * multiplier, size, heads=heads_of[level]))
                now = width * multiplier
                stack.append(now)
        self.middle = Block(now, now, size, heads=heads)
        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            for _ in range(blocks + 1):
                self.up.append(Block(now + stack.pop(), width * multiplier, size, heads=heads_of[level]))
                now = width * multiplier
            if level:
                self.up.append(SpaceConv(now, now))
        entrance = channels * patch**2
        self.last_norm = FrameNorm(now)
        self.last_condition = zero(nn.Linear(size, now + entrance))
        self.last = zero(SpaceConv(now + entrance, entrance))

    def forward(self, x: Tensor, time: Tensor, given: Given = NONE) -> Tensor:
        least = self.patch * 2 ** (len(self.multipliers) - 1)
        if x.ndim != 5 or x.shape[1] != self.channels or x.shape[3] % least or x.shape[4] % least:
            wanted = f"(B, {self.channels}, T, H, W) with sides divisible by {least}"
            raise InputError(f"VideoUNet: clip {tuple(x.shape)}, expected {wanted}")
        embedding = F.silu(self.told(time, given.cond))
        picture = picture_channels(given.cond, self.picture, x)
        noisy = to_patches(x, self.patch)
        h = self.first(noisy if picture is None else torch.cat([noisy, to_patches(picture, self.patch)], -1))
        stack = [h]
        for layer in self.down:
            h = layer(h, embedding) if isinstance(layer, Block) else layer(h)
            stack.append(h)
        h = self.inside(self.middle(h, embedding), given.cond)
        for layer in self.up:
            h = layer(torch.cat([h, stack.pop()], -1), embedding) if isinstance(layer, Block) else layer(_double(h))
        h = torch.cat([F.silu(self.last_norm(h)), noisy], -1) * (1 + self.last_condition(embedding)[:, None, None, None])
        return from_patches(self.last(h), self.patch)

    def inside(self, h: Tensor, cond: Any) -> Tensor:
        """What else happens to the coarsest features (B, T, h, w, C): here nothing, see `FlowUNet` and `BoxUNet`."""
        return h


def _double(x: Tensor) -> Tensor:
    """Each pixel twice in both directions."""
    batch, frames, height, width, channels = x.shape
    wide = x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2, -1)
    return wide.reshape(batch, frames, 2 * height, 2 * width, channels)
