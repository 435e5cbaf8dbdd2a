"""A network of paired states and actions as one of chunks: steps whose states are not known yet see the last one that is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from polyscore.errors import InputError
from polyscore.state import Given

__all__ = ["HoldLast"]


class HoldLast(nn.Module):
    """Gives `network` (such as `ScoreGPT`) the first T_o of `cond["state"]`, and the last of them for all further steps.

    Args:
        network: a network of windows whose every action has a state beside it.
        observed: T_o.

    Raises:
        InputError: T_o outside 1 .. window, or, when called, fewer states.
    """

    def __init__(self, network: nn.Module, observed: int = 2) -> None:
        super().__init__()
        inner: Any = network
        if not 1 <= observed <= inner.window:
            raise InputError(f"HoldLast: observed {observed}, expected 1 to {inner.window}, the network's window")
        self.network, self.observed = network, observed
        self.state, self.action, self.window, self.goals = inner.state, inner.action, inner.window, inner.goals

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        """What the network makes of x (B, t, A)."""
        states = given.cond["state"]
        if states.shape[1] < self.observed:
            raise InputError(f"HoldLast: {states.shape[1]} states, expected {self.observed} or more")
        seen = states[:, : self.observed]
        later = seen[:, -1:].expand(-1, max(x.shape[1] - self.observed, 0), -1)
        held = torch.cat([seen, later], 1)[:, : x.shape[1]]
        return self.network(x, time, given._replace(cond={**given.cond, "state": held}))  # type: ignore[no-any-return]
