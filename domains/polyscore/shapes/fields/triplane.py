r"""Three planes of features, summed and read by a small network (Chan et al. 2022, EG3D, arXiv 2112.07945).

    (raw, colour) = MLP(F_xy(x, y) + F_xz(x, z) + F_yz(y, z)),        sigma = scale * softplus(b + raw)

Memory grows with the square of the resolution and not with its cube. The last layer starts at 0, so the field starts empty.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.shapes.fields.base import RadianceField, empty_bias, within

__all__ = ["TriplaneField"]


class TriplaneField(RadianceField):
    """Planes of `size` x `size` x `features` over [-1/2, 1/2]^3.

    Args:
        size: texels a side.
        features: channels of a plane.
        hidden: width of the network.
        scale, haze: of the density, see `VoxelField`.
        seed: of the planes' and the network's first values.

    Raises:
        InputError: fewer than 2 texels, or no features.
    """

    pace: ClassVar[float] = 0.1

    def __init__(
        self, size: int = 64, features: int = 12, hidden: int = 32, *, scale: float = 40.0, haze: float = 0.02, seed: int = 0
    ) -> None:
        super().__init__()
        if size < 2 or features < 1 or hidden < 1:
            raise InputError(f"TriplaneField: {size} texels, {features} features, {hidden} hidden; expected 2, 1, 1 or more")
        self.size, self.features, self.hidden, self.scale, self.haze, self.seed = size, features, hidden, scale, haze, seed
        self.bias = empty_bias(haze, scale)
        generator = torch.Generator().manual_seed(seed)
        self.planes = nn.Parameter(0.1 * torch.randn(3, features, size, size, generator=generator))
        self.inner = nn.Linear(features, hidden)
        self.last = nn.Linear(hidden, 4)
        with torch.no_grad():
            self.inner.weight.copy_(torch.randn(hidden, features, generator=generator) / features**0.5)
            for zero in (self.inner.bias, self.last.weight, self.last.bias):
                zero.zero_()

    @property
    def resolution(self) -> int:
        return self.size

    def density(self, points: Tensor) -> Tensor:
        return self.scale * F.softplus(self.bias + self._read(points)[:, 0]) * within(points)

    def colour(self, points: Tensor) -> Tensor:
        return torch.sigmoid(self._read(points)[:, 1:])

    def _read(self, points: Tensor) -> Tensor:
        """Raw density and colour (N, 4)."""
        flat = torch.stack([points[:, [0, 1]], points[:, [0, 2]], points[:, [1, 2]]])[:, :, None]
        found = smooth_sample(self.planes, 2 * flat).sum(0)
        out: Tensor = self.last(torch.relu(self.inner(found.T)))
        return out


def smooth_sample(planes: Tensor, place: Tensor) -> Tensor:
    """Bilinear reads (P, C, N) of planes (P, C, n, n) at places (P, N, 1, 2) in [-1, 1]; twice differentiable in the places.

    torch's grid_sample has no second derivative, which the normals of a field that is being fitted need.
    """
    count, channels, n, _ = planes.shape
    x, y = (((place[..., 0, k] + 1) * n - 1) / 2 for k in (0, 1))
    column, row = x.detach().floor(), y.detach().floor()
    u, v = x - column, y - row
    flat = planes.flatten(2)
    total = planes.new_zeros(count, channels, place.shape[1])
    for i, p in ((0, 1 - v), (1, v)):
        for j, q in ((0, 1 - u), (1, u)):
            at = ((row + i).clamp(0, n - 1) * n + (column + j).clamp(0, n - 1)).long()
            total = total + (p * q)[:, None] * flat.gather(2, at[:, None].expand(-1, channels, -1))
    return total
