"""nerfstudio's world has z up and a front towards -y, ours y up and a front towards +z: (x, y, z) there is (x, z, -y) here."""

from __future__ import annotations

from torch import Tensor

__all__ = ["from_studio", "to_studio"]


def from_studio(vectors: Tensor) -> Tensor:
    """Points or directions (..., 3) of nerfstudio in our axes."""
    return _signed(vectors[..., [0, 2, 1]], 2)


def to_studio(vectors: Tensor) -> Tensor:
    """Points or directions (..., 3) of ours in nerfstudio's axes."""
    return _signed(vectors[..., [0, 2, 1]], 1)


def _signed(vectors: Tensor, axis: int) -> Tensor:
    signs = vectors.new_ones(3)
    signs[axis] = -1
    return vectors * signs
