"""Two evaluations of one denoiser as one pass over a doubled batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers.base import Denoiser, Prediction
from polyscore.state import Given, State, Time, map_state

__all__ = ["both", "repeated", "size", "stack"]


class _UnlikeError(Exception):
    """Two conditionings that cannot be stacked."""


def both(denoiser: Denoiser, x: State, t: Time, given: tuple[Given, Given], passes: int = 1) -> tuple[Prediction, Prediction]:
    """The predictions for either of two `given`; in one pass if `passes` is 1 and the two can be stacked, else in two."""
    batch = size(x)
    try:
        joint = Given(*stack(tuple(given[0]), tuple(given[1]), batch)) if passes == 1 else None
    except _UnlikeError:
        joint = None
    if joint is None:
        return denoiser(x, t, given[0]), denoiser(x, t, repeated(*given, batch))
    times = {name: _twice(time, batch) for name, time in t.items()} if isinstance(t, Mapping) else _twice(t, batch)
    out = denoiser(map_state(lambda leaf: torch.cat([leaf, leaf]), x), times, joint)
    first, second = (Prediction(*(_rows(part, rows, batch) for part in (out.x0, out.eps, out.extra))) for rows in _halves(batch))
    return first, second


def size(x: State) -> int:
    """The number of samples of a state."""
    return len(next(iter(x.values())) if isinstance(x, Mapping) else x)


def repeated(a: Given, b: Given, batch: int) -> Given:
    """`b` with single rows repeated for all samples, as stacking on `a` does; `b` itself where the two cannot be stacked."""
    try:
        joint = stack(tuple(a), tuple(b), batch)
    except _UnlikeError:
        return b
    return Given(*(_rows(part, slice(batch, 2 * batch), batch) for part in joint))


def stack(a: Any, b: Any, batch: int) -> Any:
    """Two trees of conditionings as one along the batch axis.

    Tensors of a with the batch axis are joined with b's (one row, or none, counts for all). All else must be the same in both.

    Raises:
        _UnlikeError: they differ in structure, shape, or in a value without the batch axis.
    """
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.ndim and len(a) == batch:
        rows = b if b.ndim == a.ndim else b[None]
        if rows.shape[1:] == a.shape[1:] and len(rows) in {1, batch} and rows.dtype == a.dtype:
            return torch.cat([a, rows.expand(a.shape)])
    elif isinstance(a, Mapping) and isinstance(b, Mapping) and a.keys() == b.keys():
        return {key: stack(a[key], b[key], batch) for key in a}
    elif isinstance(a, tuple | list) and type(a) is type(b) and len(a) == len(b):
        parts = [stack(one, other, batch) for one, other in zip(a, b, strict=True)]
        return type(a)(*parts) if hasattr(a, "_fields") else type(a)(parts)
    elif a is b or (isinstance(a, str | int | float) and type(a) is type(b) and a == b):
        return a
    raise _UnlikeError


def _halves(batch: int) -> tuple[slice, slice]:
    return slice(0, batch), slice(batch, 2 * batch)


def _twice(t: Any, batch: int) -> Any:
    """A time of every sample, for both halves."""
    return torch.cat([t, t]) if isinstance(t, Tensor) and t.ndim and len(t) == batch else t


def _rows(tree: Any, rows: slice, batch: int) -> Any:
    """The part of a prediction that belongs to one half."""
    if isinstance(tree, Mapping):
        return {key: _rows(value, rows, batch) for key, value in tree.items()}
    return tree[rows] if isinstance(tree, Tensor) and tree.ndim and len(tree) == 2 * batch else tree
