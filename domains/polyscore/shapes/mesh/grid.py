r"""A field on the grid points that its surface needs, and on no others.

A field f maps points to values, positive inside. On a grid of n^3 cells only the cells with corners of both signs carry surface:
about n^2 of them. They are found in two moves:

1. a coarse grid, every s-th point, is asked; every coarse edge whose ends differ in sign is bisected down to one fine edge;
2. the surface is followed: the four cells around an edge that crosses it are asked completely, which shows further such edges,
   until there are none.

The second move ends with whole components, whatever their thickness: a thin leg is followed from the seat it hangs on. What may
be missed is a component that no coarse edge pierces an odd number of times; with `coarse` = n every point is asked and none is.

Three changes make the surface a closed manifold with distinct vertices. The outermost grid points count as outside, so that a
body which meets the box is cut off flat. A face whose corners alternate in sign (two bodies that touch along an edge; the
ambiguous case of marching cubes) gets the nearer of its outside corners inside, until no such face is left; then each cell's
triangles depend on nothing but its signs, and neighbours agree on the face they share (Latecki 1997, 3D Well-Composed Pictures).
And |f| is at least a hundredth of the largest |f| across an edge, so that no crossing comes closer to a grid point than about a
hundredth of the edge.

Related: Lai et al. 2025 (FlashVDM), arXiv 2503.16302, which refines cells level by level and dilates them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["Field", "Samples", "sample_surface"]

Field = Callable[[Tensor], Tensor]  # points (N, 3) -> values (N,), positive inside
Index = NDArray[np.int64]

_NEAR = 0.01  # least distance of a crossing from a grid point, in edges
_SIDES = np.array([-1, 0, 1])


@dataclass(frozen=True)
class Samples:
    """A field near its surface.

    Attributes:
        values: (n + 1, n + 1, n + 1) float32; below 0 at points that were not asked.
        cells: of the same shape; True at the upper corner of every cell that carries surface.
        queries: how many points the field was asked for.
        low: coordinate of the first grid point, on each axis.
        spacing: edge of a cell.
    """

    values: NDArray[np.float32]
    cells: NDArray[np.bool_]
    queries: int
    low: float
    spacing: float


@torch.no_grad()
def sample_surface(
    field: Field,
    resolution: int = 128,
    *,
    coarse: int = 32,
    box: tuple[float, float] = (-0.5, 0.5),
    batch: int = 1 << 16,
    device: str | torch.device = "cpu",
) -> Samples:
    """Ask `field` near its surface, on a grid of `resolution`^3 cells over the cube [box[0], box[1]]^3.

    Args:
        field: points (N, 3) float32 on `device` -> values (N,) or (N, 1), positive inside; each point's value must not depend on
            the others.
        resolution: n, at least 4.
        coarse: cells a side of the grid asked first: the least n / 2^k that is not smaller, so `coarse` = n asks every point.
        box: lower and upper coordinate on each axis.
        batch: points in one call.
        device: where the points go.

    Raises:
        InputError: values that are not finite or not one a point, or sizes that make no grid.
    """
    if resolution < 4 or coarse < 1 or batch < 1 or not box[0] < box[1]:
        raise InputError(
            f"sample_surface: resolution {resolution}, coarse {coarse}, batch {batch}, box {box}; expected at least 4, 1, 1 and "
            "a lower before an upper coordinate"
        )
    grid = _Grid(field, resolution, box, batch, torch.device(device))
    stride = 1
    while resolution % (2 * stride) == 0 and resolution // (2 * stride) >= coarse:
        stride *= 2
    grid.ask(grid.lattice(stride))
    grid.bisect(stride)
    new = grid.asked()
    while len(new):
        grid.follow(new)
        new = grid.open_corners()
    return grid.samples()


class _Grid:
    """The grid as it fills; points are flat indices, `state` is 1 inside, -1 outside, 0 not asked."""

    def __init__(self, field: Field, n: int, box: tuple[float, float], batch: int, device: torch.device) -> None:
        self.field, self.n, self.batch, self.device = field, n, batch, device
        self.low, self.spacing = box[0], (box[1] - box[0]) / n
        self.steps = ((n + 1) ** 2, n + 1, 1)
        self.values = np.full((n + 1) ** 3, -np.finfo(np.float32).tiny, dtype=np.float32)
        state = np.full((n + 1,) * 3, -1, dtype=np.int8)  # the border stays outside
        state[1:-1, 1:-1, 1:-1] = 0
        self.state: NDArray[np.int8] = state.reshape(-1)
        self.queries = 0

    def lattice(self, stride: int) -> Index:
        """Every `stride`-th point, without the border."""
        ticks = np.arange(stride, self.n, stride)
        return (ticks[:, None, None] * self.steps[0] + ticks[:, None] * self.steps[1] + ticks).reshape(-1)

    def asked(self) -> Index:
        """All points that were asked."""
        mask = (self.state != 0).reshape((self.n + 1,) * 3)
        inner = np.zeros_like(mask)
        inner[1:-1, 1:-1, 1:-1] = mask[1:-1, 1:-1, 1:-1]
        return np.flatnonzero(inner)

    def ask(self, points: Index) -> Index:
        """Ask the field for those of `points` that are not known yet; returns them."""
        wanted = np.zeros(len(self.state), dtype=np.bool_)
        wanted[points] = True
        points = np.flatnonzero(wanted & (self.state == 0))
        for part in np.split(points, range(self.batch, len(points), self.batch)) if len(points) else ():
            where = np.stack(np.unravel_index(part, (self.n + 1,) * 3), -1) * self.spacing + self.low
            found = self.field(torch.from_numpy(where.astype(np.float32)).to(self.device))
            if found.shape not in ((len(part),), (len(part), 1)) or not bool(torch.isfinite(found).all()):
                raise InputError(
                    f"the field's values at {len(part)} points have shape {tuple(found.shape)} and "
                    f"{int((~torch.isfinite(found)).sum())} that are not finite; expected one finite number a point"
                )
            self.values[part] = found.reshape(-1).float().cpu().numpy()
        self.queries += len(points)
        self.state[points] = np.where(self.values[points] > 0, 1, -1)
        return points

    def bisect(self, stride: int) -> None:
        """Narrow each coarse edge that crosses the surface down to a fine one that does."""
        n = self.n
        coarse = self.state.reshape((n + 1,) * 3)[::stride, ::stride, ::stride]
        for axis, step in enumerate(self.steps):
            ends = [np.delete(coarse, where, axis) for where in (-1, 0)]
            at = np.nonzero(ends[0] * ends[1] == -1)
            low: Index = np.stack(at, -1) @ (np.array(self.steps) * stride)
            length = stride
            while length > 1:
                length //= 2
                middle = low + length * step
                self.ask(middle)
                low = np.where(self.state[middle] == self.state[low], middle, low)

    def crossings(self, points: Index) -> tuple[list[Index], list[Index]]:
        """For each axis, the lower and the upper ends of the edges at `points` that cross the surface."""
        lower: list[Index] = []
        upper: list[Index] = []
        for step in self.steps:
            below = points[self.state[points] * self.state[points - step] == -1] - step
            above = points[self.state[points] * self.state[points + step] == -1]
            lower.append(np.concatenate([below, above]))
            upper.append(lower[-1] + step)
        return lower, upper

    def follow(self, points: Index) -> None:
        """Ask the four cells around every edge at `points` that crosses the surface, and so on along the surface."""
        while len(points):
            corners = []
            for axis, lower in enumerate(self.crossings(points)[0]):
                u, v = (step for other, step in enumerate(self.steps) if other != axis)
                around = (_SIDES[:, None] * u + _SIDES * v).reshape(-1)
                corners += [(lower[:, None] + around).reshape(-1), (lower[:, None] + self.steps[axis] + around).reshape(-1)]
            points = self.ask(np.concatenate(corners))

    def open_corners(self) -> Index:
        """Where corners of a face alternate in sign, put the outside corner of larger value inside; returns those points."""
        n = self.n
        state = self.state.reshape((n + 1,) * 3)
        changed = []
        for u, v in ((0, 1), (0, 2), (1, 2)):
            corner = {}
            for i, j in product((0, 1), (0, 1)):
                cut = [slice(None)] * 3
                cut[u], cut[v] = slice(i, n + i), slice(j, n + j)
                corner[i, j] = state[tuple(cut)]
            twist = corner[0, 0] * corner[1, 1] + corner[0, 1] * corner[1, 0] - 2 * corner[0, 0] * corner[0, 1]
            base = np.ravel_multi_index(np.nonzero((twist == 4) & (corner[0, 0] != 0)), (n + 1,) * 3)
            su, sv = self.steps[u], self.steps[v]
            first = np.where(self.state[base] < 0, base, base + su)
            second = np.where(self.state[base] < 0, base + su + sv, base + sv)
            changed.append(np.where(self.values[first] >= self.values[second], first, second))
        points = np.unique(np.concatenate(changed))
        self.values[points] = np.maximum(np.abs(self.values[points]), np.finfo(np.float32).tiny)
        self.state[points] = 1
        return points

    def samples(self) -> Samples:
        """The values, kept away from 0, and the cells with surface."""
        lower, upper = (np.concatenate(ends) for ends in self.crossings(self.asked()))
        size, largest = np.abs(self.values), np.zeros_like(self.values)
        np.maximum.at(largest, lower, size[upper])
        np.maximum.at(largest, upper, size[lower])
        cells = np.zeros(len(self.state), dtype=np.bool_)
        for axis, ends in enumerate(self.crossings(self.asked())[1]):
            u, v = (step for other, step in enumerate(self.steps) if other != axis)
            for corner in (0, u, v, u + v):
                cells[ends + corner] = True
        values = np.where(self.state > 0, 1, -1) * np.maximum(size, _NEAR * largest)
        shape = (self.n + 1,) * 3
        return Samples(values.reshape(shape).astype(np.float32), cells.reshape(shape), self.queries, self.low, self.spacing)
