r"""The body of a fitted field: the places that no camera sees.

A fitted density is dense where light stops and says nothing behind that: a level set of it is a shell, thicker or thinner with
the level. What pictures do determine is where light still goes. With the transmittance T_v(p) = exp(-int sigma) from camera v to
p,

    body = { p : T_v(p) < .85 for every camera v },        level(p) = .85 - max over v of T_v(p),

so the surface lies where a seventh of the light has stopped. A fitted surface is soft, and what is fitted to exact views of true
solids has its surface there: at a quarter of the light a body has lost a fifth of its volume, at a half its thin parts too. What
is hidden inside is filled. The cameras are not those of the fit: as many as needed look from all sides.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.shapes.data.procedural import grid_points
from polyscore.shapes.fields import RadianceField
from polyscore.shapes.render.cameras import Orthographic

__all__ = ["blurred", "calm", "hidden", "level_of"]

_REACH = 0.87
_THROUGH = 0.85


def around() -> Tensor:
    """Angles (20, 2) of cameras on all sides: rings of azimuths at five elevations, the top and the bottom among them."""
    rings = [(90.0, 0.0, 1), (50.0, 0.0, 4), (20.0, 30.0, 6), (-10.0, 0.0, 6), (-50.0, 45.0, 2), (-90.0, 0.0, 1)]
    return torch.tensor([[turn + 360.0 * k / count, rise] for rise, turn, count in rings for k in range(count)])


@torch.no_grad()
def hidden(field: RadianceField, n: int = 64, *, angles: Tensor | None = None) -> Tensor:
    """.85 - max T at the voxel centres of [-1/2, 1/2]^3, (n, n, n), axes z, y, x."""
    device = next(field.parameters()).device
    angles = around() if angles is None else angles
    camera = Orthographic.orbit(angles[:, 0], angles[:, 1], _REACH, height=2 * _REACH).to(device)
    size = round(2 * _REACH * n)
    line = ((torch.arange(size, device=device) + 0.5) / size * 2 - 1) * _REACH
    centres = grid_points(n).reshape(-1, 3).to(device)
    most = torch.zeros(len(centres), device=device)
    for view in range(len(camera)):
        turn = camera.rotation[view]  # columns right, up, back
        far, up, right = torch.meshgrid(line, line, line, indexing="ij")
        points = torch.stack([right, up, -far], -1).reshape(-1, 3) @ turn.T
        reached = (points.abs() <= 0.5).all(-1).nonzero()[:, 0]
        density = torch.zeros(len(points), device=device)
        density[reached] = field.density(points[reached])
        depth = density.view(size, size, size) * (2 * _REACH / size)
        through = torch.exp(-(depth.cumsum(0) - depth / 2))
        place = centres @ turn / _REACH * torch.tensor([1.0, 1.0, -1.0], device=device)
        seen = F.grid_sample(through[None, None], place.view(1, 1, 1, -1, 3), padding_mode="border", align_corners=False)
        most = torch.maximum(most, seen.flatten())
    return (_THROUGH - most).view(n, n, n)


def calm(values: Tensor, sigma: float = 0.85) -> Tensor:
    """Levels (n, n, n) cut off symmetrically, where they are sure of themselves, and blurred by a Gaussian of `sigma` voxels.

    A plane stays where it is and a surface of curvature radius R moves by about sigma^2 / R; crinkles of a voxel or two go, and
    with them the tunnels that they would leave in the mesh.
    """
    most = 1 - _THROUGH
    return blurred(values.clamp(-most, most), sigma)


def blurred(values: Tensor, sigma: float) -> Tensor:
    """Numbers (n, n, n) after a Gaussian of `sigma` voxels, continued beyond the border by those on it."""
    reach = max(int(3 * sigma + 0.5), 1)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=values.device) / sigma) ** 2)
    line = (line / line.sum()).to(values)
    found = values[None, None]
    for shape in ((-1, 1, 1), (1, -1, 1), (1, 1, -1)):
        kernel = line.view(1, 1, *shape)
        padding = [size // 2 for size in reversed(kernel.shape[2:]) for _ in range(2)]
        found = F.conv3d(F.pad(found, padding, mode="replicate"), kernel)
    return found[0, 0]


def level_of(values: Tensor) -> Callable[[Tensor], Tensor]:
    """A field of numbers (n, n, n) on the voxel centres as a function of points (N, 3), trilinear."""

    @torch.no_grad()
    def level(points: Tensor) -> Tensor:
        place = (2 * points).view(1, 1, 1, -1, 3)
        found: Tensor = F.grid_sample(values[None, None], place, padding_mode="border", align_corners=False)
        return found.flatten()

    return level
