r"""A grid of signed distances d, negative inside, with the density of VolSDF (Yariv et al. 2021, arXiv 2106.12052).

    sigma = (1 / beta) Psi(-d / beta),        Psi(u) = exp(u) / 2 for u <= 0, 1 - exp(-u) / 2 for u > 0,

half of 1 / beta on the surface, whose place therefore does not depend on the width beta. A distance starts at that of a ball, or
at what `near` says, and is kept a distance by its `eikonal` loss.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.shapes.data.procedural import grid_points
from polyscore.shapes.fields.base import RadianceField, within

__all__ = ["SdfField"]


class SdfField(RadianceField):
    """`size`^3 signed distances and colours over [-1/2, 1/2]^3, trilinear in between.

    Args:
        size: points a side.
        beta: width of the surface; a parameter that training may shrink.
        radius: of the ball at the start; a negative one starts empty, that far from any surface.

    Raises:
        InputError: fewer than 3 points a side, or a width that is not positive.
    """

    pace: ClassVar[float] = 0.1

    def __init__(self, size: int = 64, *, beta: float = 0.02, radius: float = 0.3) -> None:
        super().__init__()
        if size < 3 or not beta > 0:
            raise InputError(f"SdfField: {size} points a side, beta {beta}; expected 3 or more and a positive width")
        self.size, self.beta, self.radius = size, beta, radius
        self.log_beta = nn.Parameter(torch.tensor(beta).log())
        ball = grid_points(size).norm(dim=-1) - radius
        self.distances = nn.Parameter(ball[None, None].clone())
        self.raw_colour = nn.Parameter(torch.zeros(1, 3, size, size, size))

    @property
    def resolution(self) -> int:
        return self.size

    def distance(self, points: Tensor) -> Tensor:
        """d at points (N, 3), (N,)."""
        return self._at(self.distances, points)[0]

    def density(self, points: Tensor) -> Tensor:
        beta = self.log_beta.exp()
        u = -self.distance(points) / beta
        return torch.where(u <= 0, 0.5 * u.clamp(max=0).exp(), 1 - 0.5 * (-u.clamp(min=0)).exp()) / beta * within(points)

    def colour(self, points: Tensor) -> Tensor:
        return torch.sigmoid(self._at(self.raw_colour, points)).T

    def normals(self, points: Tensor) -> Tensor:
        found = self._at(self._slope()[None], points).T
        return found / torch.sqrt(found.square().sum(-1, keepdim=True) + 1e-9)

    def inside(self, points: Tensor) -> Tensor:
        """-d."""
        return -self.distance(points)

    def refined(self, size: int) -> SdfField:
        """The same field on another number of points a side."""
        finer = SdfField(size, beta=self.beta, radius=self.radius)
        with torch.no_grad():
            finer.log_beta.copy_(self.log_beta)
            for new, old in ((finer.distances, self.distances), (finer.raw_colour, self.raw_colour)):
                new.copy_(F.interpolate(old, size=(size, size, size), mode="trilinear", align_corners=False))
        return finer.to(self.distances)

    def roughness(self) -> Tensor:
        return self.eikonal()

    def eikonal(self) -> Tensor:
        """mean (|grad d| - 1)^2 over the grid (Gropp et al. 2020, arXiv 2002.10099)."""
        return (torch.sqrt(self._slope().square().sum(0) + 1e-9) - 1).square().mean()

    def _slope(self) -> Tensor:
        """grad d at the grid points (3, n, n, n), by central differences."""
        grid = F.pad(self.distances, (1,) * 6, mode="replicate")[0, 0] * self.size
        core = slice(1, -1)
        one_sided = torch.ones(self.size, device=grid.device)
        one_sided[0] = one_sided[-1] = 2.0
        x = (grid[core, core, 2:] - grid[core, core, :-2]) / 2 * one_sided
        y = (grid[core, 2:, core] - grid[core, :-2, core]) / 2 * one_sided[:, None]
        z = (grid[2:, core, core] - grid[:-2, core, core]) / 2 * one_sided[:, None, None]
        return torch.stack([x, y, z])

    def _at(self, grid: Tensor, points: Tensor) -> Tensor:
        found = F.grid_sample(grid, (2 * points).view(1, 1, 1, -1, 3), padding_mode="border", align_corners=False)
        return found[0, :, 0, 0]
