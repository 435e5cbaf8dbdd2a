r"""In which order the cells of a grid are written.

`lattice`: the cells that come in one call belong to one voice and are `spacing` positions apart, so that they hardly depend on
each other. Phases come in the order of the reversed bits of their number (0, 4, 2, 6, 1, 5, 3, 7 of eight: the strong places
first), and within a phase the outer voices before the inner ones. The order does not look at what is drawn. On a grid with HOLD
that matters: taken by confidence, cells become held notes one after the other, since HOLD is likeliest wherever little is known.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["Order", "lattice"]

Order: TypeAlias = Literal["lattice", "random", "fhs", "confidence"]


def lattice(voices: int, length: int, *, spacing: int = 8) -> Tensor:
    """Keys (V, L), smallest first, for `polyscore.samplers.discrete.Unmasking`; `spacing` is a power of two.

    Raises:
        InputError: another spacing.
    """
    if spacing < 1 or spacing & (spacing - 1):
        raise InputError(f"lattice: spacing {spacing}, expected a power of two")
    bits = spacing.bit_length() - 1
    phase = torch.tensor([int(f"{p:0{bits}b}"[::-1], 2) if bits else 0 for p in range(spacing)])
    outer = sorted(range(voices), key=lambda v: (min(v, voices - 1 - v), v))
    rank = torch.empty(voices, dtype=torch.long)
    rank[outer] = torch.arange(voices)
    return phase[torch.arange(length) % spacing] * voices + rank.unsqueeze(1)
