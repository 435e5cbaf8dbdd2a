r"""Sketch-Shape: a coarse mesh that the shape follows, loosely near its surface and strictly away from it.

With the occupancy p = 1 - exp(-sigma l) of a voxel of side l, q = whether its centre is inside the sketch, kept within [.01,
.99], and d its distance to the sketch's surface,

    loss = mean CE(p, q) (1 - exp(-d^2 / (2 s^2))),        CE = -(q ln p + (1 - q) ln(1 - p))

(Metzer et al. 2023, Latent-NeRF, arXiv 2211.07600; its code swaps p and q in CE, which has the same minimum). Whether a centre is
inside is the winding number along a vertical line: crossings above it, counted with the sign of the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.data.procedural import grid_points
from polyscore.shapes.fields import SURFACE, RadianceField, VoxelField
from polyscore.shapes.packages import package

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["Sketch", "body_field", "fitted", "voxelise"]


def voxelise(vertices: NDArray[Any], faces: NDArray[Any], n: int, *, half: float = 0.5) -> NDArray[np.bool_]:
    """Which voxel centres of [-half, half]^3 are inside a closed mesh, (n, n, n), axes z, y, x.

    The lines through the centres run along y, moved by a hair so that they meet no edge.
    """
    line = ((np.arange(n) + 0.5) / n * 2 - 1) * half
    shift = np.array([1.234567e-5, 2.345678e-5]) * half
    corners = np.asarray(vertices, np.float64)[np.asarray(faces)]
    winding = np.zeros((n, n, n), np.int32)  # z, x, y
    (ax, _, az), (bx, _, bz), (cx, _, cz) = (corners[:, k].T for k in range(3))
    area = (bx - ax) * (cz - az) - (bz - az) * (cx - ax)
    step = 2 * half / n
    low = np.stack([corners[:, :, 0].min(1), corners[:, :, 2].min(1)], 1)
    high = np.stack([corners[:, :, 0].max(1), corners[:, :, 2].max(1)], 1)
    first = np.clip(np.floor((low + half) / step - 0.5).astype(int), 0, n - 1)
    final = np.clip(np.ceil((high + half) / step - 0.5).astype(int), 0, n - 1)
    for f in np.flatnonzero(np.abs(area) > 1e-14):
        xs = line[first[f, 0] : final[f, 0] + 1] + shift[0]
        zs = line[first[f, 1] : final[f, 1] + 1] + shift[1]
        x, z = xs[None, :], zs[:, None]
        u = ((bx[f] - x) * (cz[f] - z) - (bz[f] - z) * (cx[f] - x)) / area[f]
        v = ((cx[f] - x) * (az[f] - z) - (cz[f] - z) * (ax[f] - x)) / area[f]
        hit = (u >= 0) & (v >= 0) & (u + v <= 1)
        if hit.any():
            rows, columns = np.nonzero(hit)
            a, b, c = corners[f, :, 1]
            height = u[hit] * a + v[hit] * b + (1 - u - v)[hit] * c
            above = height[:, None] > line[None]
            winding[first[f, 1] + rows, first[f, 0] + columns] += above * (1 if area[f] > 0 else -1)
    inside: NDArray[np.bool_] = (winding != 0).transpose(0, 2, 1)
    return inside


def fitted(mesh: Trimesh, *, half: float = 0.48) -> Trimesh:
    """A copy whose bounding box is centred, with a longest side of 2 `half`."""
    copy = mesh.copy()
    low, high = copy.bounds
    size = float((high - low).max())
    if not size > 0:
        raise InputError("sketch: the mesh has no extent; expected a body")
    copy.apply_translation(-(low + high) / 2)
    copy.apply_scale(2 * half / size)  # type: ignore[no-untyped-call]
    return copy


@dataclass(frozen=True)
class Sketch:
    """A coarse body on a grid.

    Attributes:
        inside: q (n, n, n), 0 or 1, axes z, y, x.
        share: 1 - exp(-d^2 / (2 s^2)), of the same shape.
    """

    inside: Tensor
    share: Tensor

    @classmethod
    def of(cls, mesh: Trimesh, *, size: int = 32, looseness: float = 0.06) -> Sketch:
        """The sketch that a closed mesh in [-1/2, 1/2]^3 is; `looseness` is s, in units of the box.

        Raises:
            InputError: a looseness that is not positive, or a mesh that holds no voxel.
            MissingExtraError: a package of the extra `shapes` is missing.
        """
        if not looseness > 0:
            raise InputError(f"Sketch: looseness {looseness}, expected a positive length")
        inside = torch.from_numpy(voxelise(mesh.vertices, mesh.faces, size)).float()
        if not bool(inside.any()):
            raise InputError("Sketch: the mesh holds no point of the grid; expected a closed body in [-1/2, 1/2]^3")
        distance = _distance(mesh, grid_points(size).reshape(-1, 3).numpy()).view(size, size, size)
        return cls(inside, 1 - torch.exp(-(distance**2) / (2 * looseness**2)))

    def loss(self, field: RadianceField) -> Tensor:
        """How far the field's occupancy is from the sketch."""
        n, device = len(self.inside), next(field.parameters()).device
        density = field.density(grid_points(n).reshape(-1, 3).to(device)).view(n, n, n)
        p = (-torch.expm1(-density / n)).clamp(1e-4, 1 - 1e-4)
        q = self.inside.to(device).clamp(0.01, 0.99)
        entropy = -(q * p.log() + (1 - q) * (1 - p).log())
        return (entropy * self.share.to(device)).mean()


def body_field(mesh: Trimesh, *, size: int = 64) -> VoxelField:
    """A field whose surface is that of a closed mesh in [-1/2, 1/2]^3: its raw density is the signed distance, steep.

    Raises:
        InputError: a mesh that holds no voxel.
        MissingExtraError: a package of the extra `shapes` is missing.
    """
    inside = torch.from_numpy(voxelise(mesh.vertices, mesh.faces, size))
    if not bool(inside.any()):
        raise InputError("paint: the mesh holds no point of the grid; expected a closed body")
    distance = _distance(mesh, grid_points(size).reshape(-1, 3).numpy()).view(size, size, size)
    field = VoxelField(size)
    middle = field.raw_at(SURFACE)
    with torch.no_grad():
        field.raw.copy_((middle + 6 * size * torch.where(inside, distance, -distance) / 2).clamp(-2, 2 * middle)[None, None])
    return field


def _distance(mesh: Trimesh, points: NDArray[Any]) -> Tensor:
    """Distance (N,) of points to the surface, by many samples of it."""
    trimesh, spatial = package("trimesh", "a mesh"), package("scipy.spatial", "distances")
    samples, _ = trimesh.sample.sample_surface(mesh, 20_000, seed=0)
    found, _ = spatial.cKDTree(samples).query(points)
    return torch.from_numpy(found).float()
