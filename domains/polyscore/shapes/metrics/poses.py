"""Errors of poses, the overlap of boxes, and the part of errors below thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.lie import angle

__all__ = ["box_overlap", "rotation_error", "share_within", "translation_error"]


def box_overlap(first: tuple[Tensor, Tensor, Tensor], second: tuple[Tensor, Tensor, Tensor], *, cells: int = 24) -> Tensor:
    """Intersection over union (B,) of boxes R (sides c) + middle, |c| <= 1/2, given as R (B, 3, 3), middle (B, 3), sides (B, 3).

    The part of each that lies in the other is counted at cells^3 points of its own grid, and the mean of both volumes is the
    intersection; the error falls with the size of a cell.

    Raises:
        InputError: fewer than one cell, or sides that are not positive.
    """
    sides = torch.stack([first[2], second[2]])
    if cells < 1 or not bool((sides > 0).all()):
        raise InputError(f"box_overlap: {cells} cells, sides down to {float(sides.min()):.4g}; expected positive ones")
    line = (torch.arange(cells, dtype=sides.dtype, device=sides.device) + 0.5) / cells - 0.5
    grid = torch.cartesian_prod(line, line, line)
    volumes = sides.prod(-1)

    def shared(one: tuple[Tensor, Tensor, Tensor], other: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        x = (one[2][:, None] * grid) @ one[0].mT + one[1][:, None]
        c = (x - other[1][:, None]) @ other[0] / other[2][:, None]
        return (c.abs() <= 0.5).all(-1).to(x.dtype).mean(-1) * one[2].prod(-1)

    common = (shared(first, second) + shared(second, first)) / 2
    overlap: Tensor = common / (volumes.sum(0) - common)
    return overlap


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
