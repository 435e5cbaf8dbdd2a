"""Errors of poses, and the part of them below thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.lie import angle

__all__ = ["rotation_error", "share_within", "translation_error"]


def rotation_error(R: Tensor, S: Tensor) -> Tensor:
    """The angle in degrees (...) between rotations (..., 3, 3)."""
    return angle(R, S).rad2deg()


def translation_error(t: Tensor, s: Tensor) -> Tensor:
    """|t - s| (...) of translations (..., 3), in their unit; DiffusionReg compares the *square* with its thresholds in cm."""
    error: Tensor = torch.linalg.vector_norm(t - s, dim=-1)
    return error


def share_within(errors: Tensor, thresholds: Sequence[float]) -> list[float]:
    """For each threshold the part of the errors (N,) below it; a NaN counts as a failure.

    Raises:
        InputError: no errors.
    """
    if errors.ndim != 1 or len(errors) == 0:
        raise InputError(f"share_within: errors of shape {tuple(errors.shape)}; expected one number a case")
    return [float((errors < threshold).double().mean()) for threshold in thresholds]
