"""Assertions with the measured value in the message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["close", "keeps_global_rng", "true"]


def true(condition: object, message: str) -> None:
    """Raise AssertionError with `message` unless the condition holds."""
    if not bool(condition):
        raise AssertionError(message)


def close(found: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """Assert max |found - expected| <= tolerance; NaN never passes."""
    error = float((found - expected).abs().max())
    true(error <= tolerance, f"{what}: largest error {error:.3g}, allowed {tolerance:.3g}")


@contextmanager
def keeps_global_rng(what: str) -> Iterator[None]:
    """Assert that the block leaves torch's global generator alone."""
    before = torch.get_rng_state()
    yield
    true(torch.equal(before, torch.get_rng_state()), f"{what}: the global random generator was used")
