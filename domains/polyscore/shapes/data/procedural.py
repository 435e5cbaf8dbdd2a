r"""Procedural solids: random bodies of twelve kinds as exact signed distances, with normals, paints and occupancy.

    solids = draw("chair", 8, seed=0)             eight chairs, each of its own sizes
    solids.distance(points, owner)                signed distance of points (M, 3) to solid owner[m], negative inside
    solids.normals(points, owner)                 its unit gradient, by automatic differentiation
    solids.occupancy(48)                          which voxel centres are inside, (8, 48, 48, 48)

Solid i of a draw depends on (seed, i) alone. A solid is the union of its parts; a part is painted with the colour that was asked
for, a darker shade of it, or a colour of its own (tyres, trunks, sails).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.data.procedural_categories import CATEGORIES, Category

__all__ = ["Solids", "draw", "grid_points", "names"]


def names() -> tuple[str, ...]:
    """The words of all kinds, in the order of their numbers."""
    return tuple(category.name for category in CATEGORIES)


def grid_points(n: int, *, half: float = 0.5) -> Tensor:
    """Centres (n, n, n, 3) of the voxels of [-half, half]^3; axes z, y, x, so that an array is indexed [z, y, x]."""
    line = ((torch.arange(n) + 0.5) / n * 2 - 1) * half
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    return torch.stack([x, y, z], -1)


@dataclass(frozen=True)
class Solids:
    """B solids of one kind.

    Attributes:
        category: the kind.
        values: sizes (B, P), in the order of `category.ranges`.
    """

    category: Category
    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int | slice) -> Solids:
        """Some of the solids."""
        pick = slice(index, index + 1) if isinstance(index, int) else index
        return Solids(self.category, self.values[pick])

    def parts(self, points: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (parts, M) of points (M, 3) to the parts of the solids `owner` (M,), and the parts' paints (parts,)."""
        x, y, z = points.unbind(-1)
        sizes = self.values.T[:, owner]
        parts = self.category.parts(x, y, z, dict(zip(self.category.ranges, sizes, strict=True)))
        return torch.stack([distance for distance, _ in parts]), torch.tensor([int(paint) for _, paint in parts])

    def distance(self, points: Tensor, owner: Tensor) -> Tensor:
        """Signed distance (M,) of the union, negative inside."""
        return self.parts(points, owner)[0].amin(0)

    def surface(self, points: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Unit gradient of the distance (M, 3) and the paint of the nearest part (M,), for points near the surface."""
        with torch.enable_grad():
            at = points.detach().requires_grad_()
            distances, paints = self.parts(at, owner)
            nearest, part = distances.min(0)
            (normals,) = torch.autograd.grad(nearest.sum(), at)
        return normals / normals.norm(dim=-1, keepdim=True).clamp(min=1e-9), paints[part]

    def occupancy(self, n: int) -> Tensor:
        """Which centres of the voxels of [-1/2, 1/2]^3 are inside, (B, n, n, n), axes z, y, x."""
        points = grid_points(n).reshape(-1, 3)
        inside = [self.distance(points, torch.full((len(points),), i)) < 0 for i in range(len(self))]
        return torch.stack(inside).view(-1, n, n, n)


def draw(name: str, count: int, *, seed: int = 0) -> Solids:
    """`count` solids of a kind, solid i from (seed, i).

    Raises:
        InputError: a kind that is not there, or no solids.
    """
    category = next((kind for kind in CATEGORIES if kind.name == name), None)
    if category is None or count < 1:
        raise InputError(f"draw: {count} solids of kind {name!r}; expected 1 or more of {', '.join(names())}")
    number = CATEGORIES.index(category)
    low, high = torch.tensor(list(category.ranges.values())).T
    rows = []
    for i in range(count):
        generator = torch.Generator().manual_seed((seed * 1_000_003 + i) * 64 + number)
        rows.append(torch.rand(len(low), generator=generator))
    return Solids(category, low + (high - low) * torch.stack(rows))
