r"""Which particles go on: effective sample size and systematic resampling, group by group.

Particles stand in groups of K consecutive rows. With p = softmax of a group's log weights,

    ESS = 1 / sum p^2,        particle k is copied  #{j : C_{k-1} < (j + U) / K <= C_k} times,   C = cumsum p,  U ~ U(0, 1),

so a particle has floor(K p) or one more copies, and K p in the mean: no unbiased scheme has less variance among those that keep
the order. Copies stay in order; where all weights are alike nothing moves.

Source: Carpenter, Clifford and Fearnhead 1999 (systematic resampling); Chopin and Papaspiliopoulos 2020, chapter 9.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.state import map_state

__all__ = ["best", "effective_size", "grouped", "systematic", "take"]


def grouped(values: Tensor, group: int) -> Tensor:
    """(B,) as (B / group, group).

    Raises:
        InputError: rows that are not whole groups.
    """
    if group < 1 or len(values) % group:
        raise InputError(f"groups: {len(values)} rows in groups of {group}; expected whole groups")
    return values.view(-1, group)


def effective_size(log_weight: Tensor, group: int) -> Tensor:
    """ESS of each group (B / group,), from 1 to `group`; log weights (B,) up to a constant per group."""
    return 1 / torch.softmax(grouped(log_weight, group), 1).square().sum(1)


def systematic(log_weight: Tensor, group: int, start: Tensor) -> Tensor:
    """The row that every row becomes, (B,); `start` (B / group,) is U in (0, 1)."""
    shares = torch.softmax(grouped(log_weight, group), 1)
    points = (torch.arange(group, device=shares.device) + start.unsqueeze(1)) / group
    chosen = torch.searchsorted(shares.cumsum(1), points.to(shares)).clamp(max=group - 1)
    return (chosen + group * torch.arange(len(shares), device=shares.device).unsqueeze(1)).flatten()


def best(reward: Tensor, group: int, keep: int = 1) -> Tensor:
    """Rows of the `keep` largest rewards of every group, best first, (B / group * keep,).

    Raises:
        InputError: more to keep than a group holds.
    """
    rows = grouped(reward, group)
    if not 1 <= keep <= group:
        raise InputError(f"best: {keep} of groups of {group}; expected 1 to {group}")
    order = rows.argsort(stable=True, dim=1, descending=True)[:, :keep]
    out: Tensor = order + group * torch.arange(len(rows), device=rows.device).unsqueeze(1)
    return out.flatten()


def take(state: Any, rows: Tensor) -> Any:
    """Those rows of a state."""
    return map_state(lambda leaf: leaf[rows.to(leaf.device)], state)
