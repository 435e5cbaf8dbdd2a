"""What a training batch says: data, what is given, and optionally its noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.state import Given, State

__all__ = ["Batch", "DropCondition", "as_batch"]

_KEYS = ("x0", "y", "cond", "mask", "eps")


class Batch(NamedTuple):
    """Data (B, ...), what is given, and stored white noise where the data comes in pairs (reflow, distillation)."""

    x0: State
    given: Given = Given()
    eps: State | None = None


def as_batch(batch: Any) -> Batch:
    """A `Batch` from what a data loader gives: a tensor (the data), or a mapping with "x0" and any of "y", "cond", "mask", "eps".

    Raises:
        InputError: anything else.
    """
    if isinstance(batch, Batch):
        return batch
    if isinstance(batch, Tensor):
        return Batch(batch)
    if not isinstance(batch, Mapping) or "x0" not in batch or not set(batch) <= set(_KEYS):
        found = f"a mapping with {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else f"a {type(batch).__name__}"
        raise InputError(f"training batch: {found}, expected a tensor or a mapping with x0 and any of {', '.join(_KEYS[1:])}")
    return Batch(batch["x0"], Given(batch.get("y"), batch.get("cond"), batch.get("mask")), batch.get("eps"))


@dataclass(frozen=True)
class DropCondition:
    """Replaces the condition of a share `rate` of the samples by `value`, which teaches a network to do without.

    Ho and Salimans 2022 (arXiv 2207.12598).

    Args:
        rate: share of the samples, in [0, 1].
        value: the one that means "no condition", broadcast to a sample's condition: the number of classes for labels, 0 for
            embeddings.
        keys: for a mapping as condition, the entries to replace; all by default.

    Raises:
        InputError: a rate outside [0, 1].
    """

    rate: float = 0.1
    value: float = 0.0
    keys: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise InputError(f"DropCondition: rate {self.rate}, expected a share in [0, 1]")

    def __call__(self, cond: Any, draws: Tensor) -> Any:
        """`cond`, (B, ...) or a mapping of such, with sample i replaced where draws_i < rate; draws (B,) uniform in [0, 1)."""
        dropped = draws < self.rate
        if isinstance(cond, Mapping):
            return {k: self._replace(v, dropped) if self.keys is None or k in self.keys else v for k, v in cond.items()}
        if not isinstance(cond, Tensor):
            raise InputError(
                f"DropCondition: the batch's cond is {type(cond).__name__}, expected a tensor or a mapping of tensors"
            )
        return self._replace(cond, dropped)

    def _replace(self, cond: Tensor, dropped: Tensor) -> Tensor:
        where = dropped.to(cond.device).view(len(cond), *[1] * (cond.ndim - 1))
        return torch.where(where, torch.as_tensor(self.value, dtype=cond.dtype, device=cond.device), cond)
