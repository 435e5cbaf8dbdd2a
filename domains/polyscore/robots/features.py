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
    """`PushRelative` and what the expert's geometry is made of, in 36 features, from whole observations (..., 16).

    After the 14: the way from the effector to the point it is sent to; then, for the pairs (block, target) 00, 01, 10, 11, the
    distances, the unit vectors from block to target, and sin and cos of four times the angle from the block's yaw to that vector.
    Of a goal the positions of the blocks and the distances count: the latter say which block belongs into which target.
    """

    width: int = 36

    def __call__(self, observation: Tensor) -> Tensor:
        """States (..., 36)."""
        if observation.shape[-1] != 16:
            raise InputError(f"PushGeometry: an observation of {observation.shape[-1]} features, expected the 16 of PushBlocks")
        batch = observation.shape[:-1]
        blocks, yaws = observation[..., [0, 1, 3, 4]].reshape(*batch, 2, 1, 2), observation[..., [2, 5]].unsqueeze(-1)
        targets = observation[..., [10, 11, 13, 14]].reshape(*batch, 1, 2, 2)
        ways = targets - blocks
        gaps = torch.linalg.vector_norm(ways, dim=-1)
        units = ways / gaps.unsqueeze(-1).clamp(min=1e-6)
        turns = 4 * (torch.atan2(units[..., 1], units[..., 0]) - yaws)
        parts = (gaps, units, torch.sin(turns), torch.cos(turns))
        pairs = [part.flatten(-3 if part is units else -2) for part in parts]
        return torch.cat([super().__call__(observation), observation[..., 8:10] - observation[..., 6:8], *pairs], -1)

    @property
    def goal_mask(self) -> tuple[float, ...]:
        """1 for the positions of the blocks and the distances to the targets."""
        return tuple(float(2 <= i < 6 or 16 <= i < 20) for i in range(self.width))
