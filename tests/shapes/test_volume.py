"""Volume rendering against closed forms: a slab of constant density, colours in front of one another, cameras, normals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.data.procedural import grid_points
from polyscore.shapes.fields import RadianceField, VoxelField
from polyscore.shapes.finishes import FINISHES
from polyscore.shapes.pictures import layers
from polyscore.shapes.render.cameras import Orthographic, Perspective
from polyscore.shapes.render.volume import absorb, march, render, shaded


class Slab(RadianceField):
    """A constant density where |z| < half, red in front of the middle and blue behind."""

    def __init__(self, sigma: float, half: float = 0.5) -> None:
        super().__init__()
        self.sigma, self.reach = sigma, half

    def density(self, points: Tensor) -> Tensor:
        return self.sigma * (points[:, 2].abs() < self.reach).to(points)

    @property
    def resolution(self) -> int:
        return 8

    def colour(self, points: Tensor) -> Tensor:
        red = (points[:, 2] > 0).to(points)
        return torch.stack([red, 0 * red, 1 - red], 1)

    def normals(self, points: Tensor) -> Tensor:
        return torch.tensor([0.0, 0.0, 1.0]).expand_as(points)


def front(elevation: float = 0.0) -> Orthographic:
    return Orthographic.orbit(torch.tensor([0.0]), torch.tensor([elevation]), 2.0, height=0.5)


@pytest.mark.parametrize("samples", [2, 8, 31])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 20.0])
def test_a_homogeneous_slab_absorbs_by_beers_law_whatever_the_samples(sigma: float, samples: int) -> None:
    seen = render(Slab(sigma), front(), 4, samples=samples)
    assert torch.allclose(seen.coverage, torch.full((1, 4, 4), 1 - math.exp(-sigma)), atol=1e-5)


def test_what_is_in_front_hides_what_is_behind() -> None:
    sigma = 3.0
    seen = render(Slab(sigma), front(), 2, samples=40)
    near, far = 1 - math.exp(-sigma / 2), math.exp(-sigma / 2) * (1 - math.exp(-sigma / 2))
    assert seen.colour[0, 0, 0].tolist() == pytest.approx([near, 0.0, far], abs=1e-4)
    other = render(Slab(sigma), Orthographic.orbit(torch.tensor([180.0]), torch.tensor([0.0]), 2.0, height=0.5), 2, samples=40)
    assert other.colour[0, 0, 0].tolist() == pytest.approx([far, 0.0, near], abs=1e-4)
    assert torch.allclose(seen.normal[..., 2], seen.coverage, atol=1e-4)  # towards the camera
    assert torch.allclose(other.normal[..., 2], -other.coverage, atol=1e-4)


def test_the_depth_is_the_mean_of_where_light_stops() -> None:
    """On [1.5, 2.5] with rate sigma: int_0^1 (1.5 + s) sigma exp(-sigma s) ds."""
    sigma = 2.0
    seen = render(Slab(sigma), front(), 2, samples=60)
    lost = math.exp(-sigma)
    expected = 1.5 * (1 - lost) + (1 - lost * (1 + sigma)) / sigma
    assert float(seen.depth[0, 0, 0]) == pytest.approx(expected, rel=5e-3)


def test_what_is_known_to_be_empty_need_not_be_asked() -> None:
    """With a room around everything there is, pictures and gradients are the same, from fewer rays and points."""
    field = VoxelField(16)
    radius = (grid_points(16) - torch.tensor([0.2, -0.1, 0.1])).norm(dim=-1)
    with torch.no_grad():
        field.raw.copy_(torch.where(radius < 0.2, field.raw_at(40.0), -40.0)[None, None])
        field.raw_colour.copy_(torch.randn(1, 3, 16, 16, 16, generator=torch.Generator().manual_seed(0)))
    room = radius < 0.2 + 2 / 16  # trilinear values reach one voxel further
    for camera in (front(25.0), Perspective.orbit(torch.tensor([30.0, 200.0]), torch.tensor([-20.0, 60.0]))):
        pictures, slopes = [], []
        for where in (None, room):
            seen = render(field, camera, (12, 20), samples=24, room=where)
            pictures.append(torch.cat([seen.coverage[..., None], seen.colour, seen.normal], -1))
            slopes.append(torch.autograd.grad(seen.coverage.square().sum(), field.raw)[0] * (radius < 0.2))
        assert float(pictures[0].detach().amax()) > 0.5
        assert torch.allclose(pictures[0], pictures[1], atol=1e-5)
        assert torch.allclose(slopes[0], slopes[1], atol=1e-5)
        assert len(march(camera, (12, 20), 24, room=room).pixel) < len(march(camera, (12, 20), 24).pixel)
    assert len(march(front(), 8, 4, room=torch.zeros(4, 4, 4, dtype=torch.bool)).pixel) == 0


def test_a_slanted_path_is_longer() -> None:
    thin = Slab(4.0, 0.1)
    camera = Orthographic.orbit(torch.tensor([0.0]), torch.tensor([40.0]), 2.0, height=0.2)
    seen = render(thin, camera, 4, samples=300)
    expected = 1 - math.exp(-4.0 * 0.2 / math.cos(math.radians(40)))
    assert torch.allclose(seen.coverage, torch.full((1, 4, 4), expected), atol=5e-3)


def test_rays_cross_the_cube_and_no_more() -> None:
    camera = Orthographic.orbit(torch.tensor([0.0]), torch.tensor([0.0]), 2.0, height=2.0)
    rays = march(camera, 16, 5)
    assert len(rays.pixel) == 8 * 8  # the cube is half as wide as the picture
    assert torch.allclose(rays.step, torch.full((64,), 0.2))
    assert rays.points[..., 2].amax() == pytest.approx(0.4, abs=1e-6)
    jittered = march(camera, 16, 5, generator=torch.Generator().manual_seed(0))
    parts = torch.floor((0.5 - jittered.points[..., 2]) / 0.2)
    assert torch.equal(parts, torch.arange(5.0).expand(64, 5))  # each sample in its own part
    inside = Perspective.orbit(torch.tensor([0.0]), torch.tensor([0.0]), 0.2)
    assert march(inside, 4, 3).depth.min() > 0  # nothing behind a camera in the cube
    with pytest.raises(InputError, match="0 samples a ray"):
        march(camera, 4, 0)


def test_weights_telescope() -> None:
    density = torch.rand(7, 12, generator=torch.Generator().manual_seed(1)) * 9
    step = torch.rand(7, generator=torch.Generator().manual_seed(2))
    weight = absorb(density, step)
    assert torch.allclose(weight.sum(1), 1 - torch.exp(-(density * step[:, None]).sum(1)), atol=1e-6)
    assert (weight >= 0).all()


def test_an_empty_field_shows_an_empty_picture() -> None:
    """No grey haze: coverage below 1 - exp(-haze * diagonal), colours and normals 0."""
    field = VoxelField(8, haze=0.02)
    seen = render(field, Perspective.orbit(torch.tensor([30.0]), torch.tensor([20.0])), 8, samples=16)
    assert float(seen.coverage.detach().max()) < 1 - math.exp(-0.02 * 3**0.5)
    assert float(seen.colour.detach().abs().max()) < 0.02


def test_a_ball_of_voxels_is_round_and_shaded_from_its_normals() -> None:
    field = VoxelField(32)
    with torch.no_grad():
        field.raw.copy_((400 * (0.3 - grid_points(32).norm(dim=-1)) - field.bias).clamp(-2, 20)[None, None])
    camera = Orthographic.orbit(torch.tensor([0.0, 70.0]), torch.tensor([0.0, 30.0]), height=1.0)
    seen = render(field, camera, 32, samples=64)
    assert torch.allclose(seen.coverage.sum((1, 2)) / 32**2, torch.full((2,), math.pi * 0.3**2), rtol=0.08)
    x = (torch.arange(32) + 0.5) / 32 - 0.5
    centre = (x[None] ** 2 + x[:, None] ** 2) < 0.2**2
    across = torch.stack([x.expand(32, 32), -x[:, None].expand(32, 32)], -1)[centre] / 0.3
    direction = torch.cat([across, torch.sqrt(1 - across.square().sum(1, keepdim=True))], 1)
    for view in range(2):
        assert float((seen.normal[view][centre].detach() * direction).sum(1).min()) > 0.93
    image = shaded(seen, FINISHES[0])
    parts = layers(image)
    assert torch.allclose(parts.coverage, seen.coverage, atol=1e-6)
    lit, dark = parts.colour[0, 8, 11].mean(), parts.colour[0, 22, 20].mean()
    assert lit > dark  # the light comes from the upper left


def test_empty_places_feel_the_pull_to_fill() -> None:
    field = VoxelField(8)
    wanted = render(field, front(), 4, samples=8).coverage
    (1 - wanted).square().sum().backward()  # type: ignore[no-untyped-call]
    assert field.raw.grad is not None
    assert (field.raw.grad[0, 0, :, 3:5, 3:5] < 0).all()  # more density at every voxel that the camera sees through
