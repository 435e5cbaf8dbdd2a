"""What every score asks of its waves."""

from __future__ import annotations

from torch import Tensor

from polyscore.errors import InputError

__all__ = ["check_equal"]


def check_equal(estimate: Tensor, clean: Tensor) -> None:
    """Both waves have one shape.

    Raises:
        InputError: they have not.
    """
    if estimate.shape != clean.shape:
        raise InputError(
            f"metrics: the waves have shapes {tuple(estimate.shape)} and {tuple(clean.shape)}; expected equal ones (..., L)"
        )
