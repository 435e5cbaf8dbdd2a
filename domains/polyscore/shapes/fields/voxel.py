r"""A grid of densities and colours, trilinear in between: sigma = scale * softplus(b + raw), colour = sigmoid(raw).

The raw value is interpolated and then activated, which puts a sharp surface between two grid points (Sun et al. 2022, DVGO, arXiv
2111.11215). Normals are those of the grid's central differences, interpolated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.shapes.fields.base import RadianceField, empty_bias, within

__all__ = ["VoxelField"]

_FLAT = 1e-2  # slopes below its root are no surface: with less, fog has loud normals, and fitting them leaves specks in it


class VoxelField(RadianceField):
    """`size`^3 voxels over [-1/2, 1/2]^3.

    Args:
        size: voxels a side.
        scale: of the density.
        haze: density at the start.

    Raises:
        InputError: fewer than 2 voxels a side, or numbers that are not positive.
    """

    def __init__(self, size: int = 48, *, scale: float = 200.0, haze: float = 0.02) -> None:
        super().__init__()
        if size < 2:
            raise InputError(f"VoxelField: {size} voxels a side, expected 2 or more")
        self.size, self.scale, self.haze = size, scale, haze
        self.bias = empty_bias(haze, scale)
        self.raw = nn.Parameter(torch.zeros(1, 1, size, size, size))
        self.raw_colour = nn.Parameter(torch.zeros(1, 3, size, size, size))

    @property
    def resolution(self) -> int:
        return self.size

    def density(self, points: Tensor) -> Tensor:
        return self.scale * F.softplus(self.bias + self._at(self.raw, points)[0]) * within(points)

    def colour(self, points: Tensor) -> Tensor:
        return torch.sigmoid(self._at(self.raw_colour, points)).T

    def normals(self, points: Tensor) -> Tensor:
        filled = torch.log1p(4 * F.softplus(self.bias + self.raw))  # grows with the density, and evenly enough for differences
        padded = F.pad(filled, (1, 1, 1, 1, 1, 1))
        core = slice(1, -1)
        slope = torch.cat(
            [
                padded[..., core, core, :-2] - padded[..., core, core, 2:],
                padded[..., core, :-2, core] - padded[..., core, 2:, core],
                padded[..., :-2, core, core] - padded[..., 2:, core, core],
            ],
            1,
        )
        found = self._at(slope, points).T
        return found / torch.sqrt(found.square().sum(-1, keepdim=True) + _FLAT)

    def raw_at(self, density: float) -> float:
        """The raw value of a density."""
        return empty_bias(density, self.scale) - self.bias

    def refined(self, size: int) -> VoxelField:
        """The same field on another number of voxels."""
        finer = VoxelField(size, scale=self.scale, haze=self.haze)
        with torch.no_grad():
            for new, old in ((finer.raw, self.raw), (finer.raw_colour, self.raw_colour)):
                new.copy_(F.interpolate(old, size=(size, size, size), mode="trilinear", align_corners=False))
        return finer.to(self.raw)

    def roughness(self) -> Tensor:
        """The mean absolute difference of neighbouring raw densities: small where surfaces are smooth and space is calm."""
        g = torch.tanh((self.raw + self.bias) / 4)
        steps = (g.diff(dim=2), g.diff(dim=3), g.diff(dim=4))
        return torch.stack([step.abs().mean() for step in steps]).mean()

    def _at(self, grid: Tensor, points: Tensor) -> Tensor:
        """Values (channels, N) of a grid (1, channels, n, n, n)."""
        place = (2 * points).view(1, 1, 1, -1, 3)
        found = F.grid_sample(grid, place, mode="bilinear", padding_mode="border", align_corners=False)
        return found[0, :, 0, 0]
