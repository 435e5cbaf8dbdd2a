r"""What a policy is told of an observation, and what of a goal.

Both are maps from raw observations (..., O) to states (..., S), frozen dataclasses that are stored with the policy. `goal_mask`
says which features of a goal count, in scaled space: the rest become 0. (The original does so for goals that happen to be 10
wide.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["First", "PushGeometry", "PushRelative"]

_ORIGIN = (0.3, -0.4)  # of the effector in PushBlocks, which is not imported: acting needs no simulator


@dataclass(frozen=True)
class First:
    """The first `width` features; `keep` are those of a goal that count (all by default).

    Block push as published: `First(10, (0, 1, 3, 4))`, blocks and effector, of goals the positions of the blocks. Kitchen:
    `First(30)`.
    """

    width: int
    keep: tuple[int, ...] = ()

    def __call__(self, observation: Tensor) -> Tensor:
        """States (..., width)."""
        if observation.shape[-1] < self.width:
            raise InputError(f"First: an observation of {observation.shape[-1]} features, expected at least {self.width}")
        return observation[..., : self.width]

    @property
    def goal_mask(self) -> tuple[float, ...]:
        """1 for the features of a goal that count."""
        return tuple(float(not self.keep or i in self.keep) for i in range(self.width))


@dataclass(frozen=True)
class PushRelative:
    """PushBlocks in 14 features: effector, blocks, the ways from the effector to them, sin and cos of four times the yaws.

    A square block looks the same every quarter turn, so four times the yaw says all, without a jump. Of a goal the positions of
    the blocks count.
    """

    width: int = 14

    def __call__(self, observation: Tensor) -> Tensor:
        """States (..., 14) from observations (..., O) with O of 8 or more."""
        if observation.shape[-1] < 8:
            raise InputError(
                f"PushRelative: an observation of {observation.shape[-1]} features, expected those of PushBlocks (16)"
            )
        first, second, effector = observation[..., 0:2], observation[..., 3:5], observation[..., 6:8]
        turns = 4 * observation[..., [2, 5]]
        return torch.cat([effector, first, second, first - effector, second - effector, torch.sin(turns), torch.cos(turns)], -1)

    @property
    def goal_mask(self) -> tuple[float, ...]:
        """1 for the positions of the blocks."""
        return tuple(float(2 <= i < 6) for i in range(self.width))


@dataclass(frozen=True)
class PushGeometry(PushRelative):
    r"""`PushRelative` and the geometry of pushing, in 66 features, from whole observations (..., 16).

    With p the effector, q the point it is sent to, b a block, g a target, w = g - b, d = w / |w| and the short form
    S(v) = v / sqrt(|v|^2 + (2 cm)^2) of a way v, which keeps its direction and tells millimetres near its end:

        14..15   q - p
        16..35   of the pairs (b, g) 00, 01, 10, 11: |w|, d, sin and cos of four times the angle from the block's yaw to d
        36..43   of the pairs: tanh(along / 5 cm), tanh(beside / 3 cm), the parts of p - b along d and across it
        44..51   of the pairs: S(b - 5 cm d - q), the way to where a push begins
        52..57   S(b - q) of both blocks, and S(o - q) with o the effector's origin
        58..65   of the pairs: tanh(|w| / 8 cm), and the logistic function of (10 cm - |w|) / 1 cm: whether b is at g

    Of a goal the positions of the blocks and the last four count: where the blocks are, and which block is at which target.
    """

    width: int = 66

    def __call__(self, observation: Tensor) -> Tensor:
        """States (..., 66)."""
        if observation.shape[-1] != 16:
            raise InputError(f"PushGeometry: an observation of {observation.shape[-1]} features, expected the 16 of PushBlocks")
        batch = observation.shape[:-1]
        effector, sent = observation[..., 6:8], observation[..., 8:10]
        blocks, yaws = observation[..., [0, 1, 3, 4]].reshape(*batch, 2, 1, 2), observation[..., [2, 5]].unsqueeze(-1)
        targets = observation[..., [10, 11, 13, 14]].reshape(*batch, 1, 2, 2)
        ways = targets - blocks
        gaps = torch.linalg.vector_norm(ways, dim=-1)
        units = ways / gaps.unsqueeze(-1).clamp(min=1e-6)
        turns = 4 * (torch.atan2(units[..., 1], units[..., 0]) - yaws)
        off, start = effector[..., None, None, :] - blocks, sent[..., None, None, :]
        along, beside = (off * units).sum(-1), units[..., 0] * off[..., 1] - units[..., 1] * off[..., 0]
        parts = (
            super().__call__(observation),
            sent - effector,
            gaps.flatten(-2),
            units.flatten(-3),
            torch.sin(turns).flatten(-2),
            torch.cos(turns).flatten(-2),
            torch.stack([torch.tanh(along / 0.05), torch.tanh(beside / 0.03)], -1).flatten(-3),
            _short(blocks - 0.05 * units - start).flatten(-3),
            _short(blocks - start).flatten(-3),
            _short(sent.new_tensor(_ORIGIN) - sent),
            torch.tanh(gaps / 0.08).flatten(-2),
            torch.sigmoid((0.1 - gaps) / 0.01).flatten(-2),
        )
        return torch.cat(parts, -1)

    @property
    def goal_mask(self) -> tuple[float, ...]:
        """1 for the positions of the blocks and for which is at which target."""
        return tuple(float(2 <= i < 6 or i >= 62) for i in range(self.width))


def _short(way: Tensor) -> Tensor:
    return way / torch.sqrt(way.square().sum(-1, keepdim=True) + 0.02**2)
