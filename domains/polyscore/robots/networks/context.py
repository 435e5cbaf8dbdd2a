"""What a network of action chunks is told: the first observed states and the goals as one vector, and a time as waves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.errors import InputError

__all__ = ["Waves", "context"]


class Waves(nn.Module):
    """[sin(w_k t), cos(w_k t)], (B, width), with w_k falling from `scale` to `scale` / 1e4 geometrically.

    With `scale` 1 it is the embedding of whole-numbered steps of diffusion policy (Vaswani et al. 2017, arXiv:1706.03762).

    Raises:
        InputError: a width that is odd or below 4.
    """

    def __init__(self, width: int, *, scale: float = 100.0) -> None:
        super().__init__()
        if width < 4 or width % 2:
            raise InputError(f"Waves: width {width}, expected an even number of 4 or more")
        self.width, self.scale = width, scale

    def forward(self, time: Tensor) -> Tensor:
        half = self.width // 2
        steps = torch.arange(half, device=time.device, dtype=time.dtype)
        angles = self.scale * time[:, None] * torch.exp(-math.log(1e4) / (half - 1) * steps)
        return torch.cat([angles.sin(), angles.cos()], 1)


def context(cond: Any, states: tuple[int, int], goals: int, *, batch: int, name: str) -> Tensor:
    """The first T_o of `cond["state"]` (B, t, S), and `cond["goal"]` (B, G, S) where there are goals, as (B, (T_o + G) S).

    Args:
        cond: a mapping.
        states: T_o and S.
        goals: G.
        batch: B.
        name: of the network, for messages.

    Raises:
        InputError: they are not there, or of other shapes.
    """
    observed, width = states
    given = cond if isinstance(cond, Mapping) else {}
    found = {key: tuple(given[key].shape) for key in ("state", *["goal"] * bool(goals)) if key in given}
    seen, aim = found.get("state", ()), found.get("goal", (batch, 0, width))
    if len(seen) != 3 or seen[0] != batch or seen[1] < observed or seen[2] != width or aim != (batch, goals, width):
        raise InputError(
            f"{name}: {found or 'no condition'} for a batch of {batch}; expected state ({batch}, {observed} or more, {width})"
            + (f" and goal ({batch}, {goals}, {width})" if goals else "")
        )
    parts = [given["state"][:, :observed], *([given["goal"]] if goals else [])]
    return torch.cat([part.flatten(1) for part in parts], 1)
