r"""Source and target side by side: the first half of a batch is what is edited, the second what it becomes.

A method that couples the two is a wrapper around a denoiser of the doubled batch; the model sees both at once, so that attention
may look across (`polyscore.editing.attention`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise import Noise, NoiseLike, as_noise, leaf_noise
from polyscore.state import map_state

__all__ = ["Paired", "halves", "joined"]


def joined(source: Any, target: Any) -> Any:
    """One batch of both; also for conditions that are tensors (B, ...)."""
    return map_state(lambda a, b: torch.cat([a, b]), source, target)


def halves(state: Any) -> tuple[Any, Any]:
    """Source and target of a batch.

    Raises:
        InputError: an odd number of rows.
    """
    first: Tensor = next(iter(state.values())) if isinstance(state, Mapping) else state
    if len(first) % 2:
        raise InputError(f"pairs: a batch of {len(first)}, expected as many sources as targets")
    half = len(first) // 2
    return map_state(lambda leaf: leaf[:half], state), map_state(lambda leaf: leaf[half:], state)


class Paired:
    """Noise that is the same for a source and its target."""

    def __init__(self, noise: NoiseLike = 0) -> None:
        self.noise: Noise = as_noise(noise)

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        draw = self.noise(halves(like)[0], t, u)
        return torch.cat([draw, draw])

    def leaf(self, name: str) -> Noise:
        """The part that serves one leaf."""
        return Paired(leaf_noise(self.noise, name))
