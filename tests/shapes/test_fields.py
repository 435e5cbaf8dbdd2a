"""Fields: empty at the start, interpolation by closed forms, normals, hashing, distances."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from polyscore.errors import InputError
from polyscore.shapes.data.procedural import grid_points
from polyscore.shapes.fields import SURFACE, HashField, RadianceField, SdfField, TriplaneField, VoxelField
from polyscore.shapes.fields.triplane import smooth_sample

MAKERS: list[Callable[[], RadianceField]] = [
    lambda: VoxelField(12, haze=0.03),
    lambda: TriplaneField(12, 4, 8, haze=0.03),
    lambda: HashField(3, 4, 16, log2_table=10, haze=0.03),
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_field_starts_empty(make: Callable[[], RadianceField]) -> None:
    """Its density is the haze everywhere, so that the whole cube absorbs 1 - exp(-haze), and 0 outside."""
    points = 1.4 * torch.rand(300, 3, generator=torch.Generator().manual_seed(0)) - 0.7
    field = make()
    density = field.density(points)
    within = (points.abs() <= 0.5).all(1)
    assert torch.allclose(density[within], torch.full((int(within.sum()),), 0.03), rtol=1e-4)
    assert (density[~within] == 0).all()
    assert (field.inside(points) < 0).all()
    assert torch.allclose(field.colour(points), torch.full((300, 3), 0.5))


def slope(points: torch.Tensor) -> torch.Tensor:
    return 3.0 * points[:, 0] - 2.0 * points[:, 1] + 1.0 * points[:, 2]


def test_a_voxel_field_interpolates_linear_functions_exactly() -> None:
    field = VoxelField(10)
    with torch.no_grad():
        field.raw.copy_(slope(grid_points(10).reshape(-1, 3)).view(1, 1, 10, 10, 10))
    points = (torch.rand(200, 3, generator=torch.Generator().manual_seed(1)) - 0.5) * 0.85
    expected = field.scale * torch.nn.functional.softplus(field.bias + slope(points))
    assert torch.allclose(field.density(points), expected, rtol=1e-4)
    finer = field.refined(20)
    assert torch.allclose(finer.density(points), expected, rtol=1e-3)
    down = -torch.tensor([3.0, -2.0, 1.0]) / 14**0.5
    with torch.no_grad():
        field.raw.add_(-field.bias)  # where the activation is nearly linear, normals are those of the plane
        normal = field.normals(points * 0.8)
    assert (torch.nn.functional.normalize(normal, dim=1) @ down).min() > 0.97
    assert (normal.norm(dim=1) < 1).all()
    surface = torch.nn.functional.softplus(torch.tensor(field.raw_at(SURFACE) + field.bias)) * field.scale
    assert float(surface) == pytest.approx(SURFACE, rel=1e-5)


def test_fog_has_no_normals_and_a_surface_has_unit_ones() -> None:
    """Noise of a few per cent in thin fog is no surface; a step of the density from nothing to `SURFACE` is one."""
    field = VoxelField(16)
    noise = torch.randn(16, 16, 16, generator=torch.Generator().manual_seed(0))
    x = grid_points(16)[..., 0]
    with torch.no_grad():
        field.raw.copy_((field.raw_at(4.0) + 0.03 * noise)[None, None])
        fog = field.normals((grid_points(16) * 0.8).reshape(-1, 3)).norm(dim=1)
        field.raw.copy_(torch.where(x > 0, field.raw_at(SURFACE), 0.0)[None, None])
        wall = field.normals(torch.tensor([[0.0, 0.1, -0.2]]))
    assert float(fog.max()) < 0.15
    assert torch.allclose(wall, torch.tensor([[-1.0, 0.0, 0.0]]), atol=0.05)


def test_general_normals_are_those_of_the_density_and_train() -> None:
    field = TriplaneField(8, 4, 8, seed=3)
    with torch.no_grad():
        field.last.weight.copy_(torch.randn(4, 8, generator=torch.Generator().manual_seed(5)))
    p = torch.tensor([[0.11, -0.07, 0.21], [-0.3, 0.2, 0.02]])
    step = 1e-3
    numeric = torch.stack([field.density(p + step * e) - field.density(p - step * e) for e in torch.eye(3)], 1)
    expected = -numeric / numeric.norm(dim=1, keepdim=True)
    assert torch.allclose(field.normals(p), expected, atol=2e-2)
    field.normals(p).sum().backward()  # type: ignore[no-untyped-call]
    assert field.planes.grad is not None
    assert field.planes.grad.abs().sum() > 0


def test_smooth_sampling_is_torchs() -> None:
    generator = torch.Generator().manual_seed(2)
    planes, place = torch.randn(3, 2, 7, 7, generator=generator), torch.rand(3, 40, 1, 2, generator=generator) * 1.7 - 0.85
    expected = torch.nn.functional.grid_sample(planes, place, align_corners=False, padding_mode="border")[..., 0]
    assert torch.allclose(smooth_sample(planes, place), expected, atol=1e-5)


def test_a_hash_level_is_trilinear_between_its_corners() -> None:
    field = HashField(1, 4, 4, features=1, log2_table=8)  # 125 corners fit: every corner has its own entry
    corners = torch.stack(torch.meshgrid(*[torch.arange(5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    with torch.no_grad():
        at = (corners[:, 0] * 5 + corners[:, 1]) * 5 + corners[:, 2]
        field.table[0][at, 0] = slope(corners / 4 - 0.5)
    points = torch.rand(100, 3, generator=torch.Generator().manual_seed(3)) - 0.5
    assert torch.allclose(field.features_at(points)[:, 0], slope(points), atol=1e-5)
    crowded = HashField(1, 16, 16, features=1, log2_table=6)
    entries = crowded._entry(corners * 4, 16)
    assert int(entries.max()) < 64
    x, y, z = (corners[37] * 4).tolist()
    assert int(entries[37]) == (x ^ y * 2654435761 ^ z * 805459861) % 64


def test_a_signed_distance_has_half_its_density_at_the_surface_and_is_a_distance() -> None:
    field = SdfField(40, beta=0.03, radius=0.3)
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(4)), dim=1)
    assert torch.allclose(field.density(0.3 * directions), torch.full((50,), 0.5 / 0.03), rtol=0.05)
    assert torch.allclose(field.normals(0.3 * directions), directions, atol=0.02)
    assert float(field.eikonal().detach()) < 2e-2  # all but the middle, where a ball's distance has a kink
    assert torch.allclose(field.inside(0.2 * directions), torch.full((50,), 0.1), atol=2e-3)
    deep = field.density(torch.zeros(1, 3))
    assert float(deep.detach()) == pytest.approx((1 - 0.5 * torch.tensor(-0.27 / 0.03).exp().item()) / 0.03, rel=0.02)
    assert torch.equal(SdfField(8, radius=-1.0).inside(torch.zeros(1, 3)) < 0, torch.tensor([True]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VoxelField(1), "1 voxels a side"),
        (lambda: VoxelField(8, haze=0.0), "haze 0.0"),
        (lambda: TriplaneField(1), "1 texels"),
        (lambda: HashField(2, 8, 4), "from 8 to 4"),
        (lambda: SdfField(2), "2 points a side"),
    ],
)
def test_what_no_field_can_be(make: Callable[[], RadianceField], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
