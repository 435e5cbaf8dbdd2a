r"""Grids of many resolutions whose corners are kept in hash tables (Mueller et al. 2022, Instant NGP, arXiv 2201.05989).

Level k has a resolution N_k between `coarse` and `fine`, geometrically spaced; the corner (i, j, l) has the entry

    (i xor 2654435761 j xor 805459861 l) mod T,        or its own, where the grid fits into the table,

the corners' features are interpolated, and the levels' features are read by a small network. In torch alone: no extension, any
device.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.shapes.fields.base import RadianceField, empty_bias, within

__all__ = ["HashField"]

_PRIMES = (1, 2654435761, 805459861)


class HashField(RadianceField):
    """`levels` grids from `coarse` to `fine` cells a side over [-1/2, 1/2]^3, `features` numbers a corner.

    Args:
        levels, coarse, fine: of the grids.
        features: numbers a corner.
        log2_table: logarithm of the entries of a level's table.
        hidden: width of the network.
        scale, haze: of the density, see `VoxelField`.
        seed: of the first values.

    Raises:
        InputError: no level, or grids that do not grow.
    """

    pace: ClassVar[float] = 0.05

    def __init__(
        self,
        levels: int = 8,
        coarse: int = 8,
        fine: int = 96,
        *,
        features: int = 2,
        log2_table: int = 15,
        hidden: int = 32,
        scale: float = 40.0,
        haze: float = 0.02,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if levels < 1 or not 1 <= coarse <= fine or features < 1 or not 4 <= log2_table <= 24:
            raise InputError(
                f"HashField: {levels} levels from {coarse} to {fine}, {features} features, tables of 2^{log2_table}; "
                "expected 1 or more, coarse <= fine, 4 to 24"
            )
        self.levels, self.coarse, self.fine, self.features = levels, coarse, fine, features
        self.log2_table, self.hidden, self.scale, self.haze, self.seed = log2_table, hidden, scale, haze, seed
        self.bias = empty_bias(haze, scale)
        growth = (fine / coarse) ** (1 / max(levels - 1, 1))
        self.cells = [round(coarse * growth**k) for k in range(levels)]
        generator = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(2e-2 * (torch.rand(levels, 1 << log2_table, features, generator=generator) * 2 - 1))
        self.inner = nn.Linear(levels * features, hidden)
        self.last = nn.Linear(hidden, 4)
        with torch.no_grad():
            self.inner.weight.copy_(torch.randn(hidden, levels * features, generator=generator) / (levels * features) ** 0.5)
            for zero in (self.inner.bias, self.last.weight, self.last.bias):
                zero.zero_()

    @property
    def resolution(self) -> int:
        return self.fine

    def density(self, points: Tensor) -> Tensor:
        return self.scale * F.softplus(self.bias + self._read(points)[:, 0]) * within(points)

    def colour(self, points: Tensor) -> Tensor:
        return torch.sigmoid(self._read(points)[:, 1:])

    def features_at(self, points: Tensor) -> Tensor:
        """The levels' features (N, levels * features)."""
        return torch.cat([self._level(points, k) for k in range(self.levels)], 1)

    def _read(self, points: Tensor) -> Tensor:
        out: Tensor = self.last(torch.relu(self.inner(self.features_at(points))))
        return out

    def _level(self, points: Tensor, k: int) -> Tensor:
        n = self.cells[k]
        place = (points.clamp(-0.5, 0.5) + 0.5) * n
        low = place.detach().floor().clamp(max=n - 1)
        u, v, w = torch.stack([1 - (place - low), place - low]).unbind(-1)  # (2, N) each: shares of the lower and the upper end
        weight = u[:, None, None] * v[None, :, None] * w[None, None, :]
        x, y, z = self._terms(torch.stack([low, low + 1]).long(), n).unbind(-1)
        entry = self._joined(x[:, None, None], y[None, :, None], z[None, None, :], n)
        return (weight[..., None] * F.embedding(entry, self.table[k])).sum((0, 1, 2))

    def _entry(self, corner: Tensor, n: int) -> Tensor:
        """The entry of corners (..., 3)."""
        x, y, z = self._terms(corner, n).unbind(-1)
        return self._joined(x, y, z, n)

    def _terms(self, corner: Tensor, n: int) -> Tensor:
        factors = ((n + 1) ** 2, n + 1, 1) if self._fits(n) else _PRIMES
        return corner * torch.tensor(factors, device=corner.device)

    def _joined(self, x: Tensor, y: Tensor, z: Tensor, n: int) -> Tensor:
        return x + y + z if self._fits(n) else (x ^ y ^ z) % (1 << self.log2_table)

    def _fits(self, n: int) -> bool:
        return (n + 1) ** 3 <= 1 << self.log2_table
