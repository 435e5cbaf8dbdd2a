"""Gaussian splats: closed forms of one and of two, a permutation, gradients, and gsplat's projection where it is installed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.ops import axis_angle_to_matrix, matrix_to_quaternion
from polyscore.shapes.render import Orthographic, Perspective, Splats, Splatted, opencv, splat
from polyscore.shapes.render.splats import ellipses

F64 = torch.float64


def ball(*means: tuple[float, float, float], radius: float = 0.05, opacity: float = 0.8) -> Splats:
    at = torch.tensor(means, dtype=F64)
    return Splats.of_points(at, torch.eye(3, dtype=F64)[: len(means)], radius=radius, opacity=opacity)


def scene(count: int = 40, seed: int = 0) -> Splats:
    generator = torch.Generator().manual_seed(seed)
    u, v, w, c = (torch.rand(count, 3, generator=generator, dtype=F64) for _ in range(4))
    turns = torch.randn(count, 4, generator=generator, dtype=F64)
    return Splats(u - 0.5, 0.02 + 0.06 * v, turns, w[:, 0], c)


def front(kind: type[Perspective] | type[Orthographic]) -> Perspective | Orthographic:
    return kind.orbit(torch.zeros(1, dtype=F64), 0.0, 2.0)


def centres(size: int) -> Tensor:
    y, x = torch.meshgrid(*[torch.arange(size, dtype=F64) + 0.5] * 2, indexing="ij")
    return torch.stack([x, y], -1)


@pytest.mark.parametrize("kind", [Perspective, Orthographic])
def test_one_ball_is_a_gaussian(kind: type[Perspective] | type[Orthographic]) -> None:
    """On the axis: o exp(-|p - c|^2 / 2 s^2), s^2 = (f r)^2 + .3 with f pixels a unit of space there."""
    camera, size = front(kind), 64
    focal = (camera.project(torch.tensor([[1.0, 0.0, 0.0]], dtype=F64), size).xy[0, 0, 0] - size / 2).item()
    square = (centres(size) - size / 2).square().sum(-1)
    exact = 0.8 * torch.exp(-square / 2 / ((focal * 0.05) ** 2 + 0.3))
    exact = torch.where(exact < 1 / 255, 0.0, exact)
    seen = splat(ball((0.0, 0.0, 0.0)), camera, size)
    torch.testing.assert_close(seen.coverage[0], exact)
    torch.testing.assert_close(seen.colour[0], exact[..., None] * torch.tensor([1.0, 0.0, 0.0], dtype=F64))
    torch.testing.assert_close(seen.depth[0], 2.0 * exact)


def test_a_ball_beside_the_axis_is_drawn_out() -> None:
    """S = (f r / d)^2 (I + u u^T) + .3 I, with u the ray's slope: the projection's derivative times its transpose."""
    camera, size, radius = front(Perspective), 64, 0.05
    at = (0.3, 0.2, 0.4)
    found = ellipses(ball(at, radius=radius), camera, size)
    depth, focal = 2.0 - at[2], size / 2 / math.tan(math.radians(20))
    slope = torch.tensor([at[0] / depth, -at[1] / depth], dtype=F64)
    shape = (focal * radius / depth) ** 2 * (torch.eye(2, dtype=F64) + torch.outer(slope, slope))
    torch.testing.assert_close(found.spread[0, 0], shape + 0.3 * torch.eye(2, dtype=F64))
    torch.testing.assert_close(found.middle[0, 0], size / 2 + focal * slope)


def test_an_ellipsoid_seen_by_parallel_rays_is_its_shadow() -> None:
    """The covariance across the rays, whatever lies along them."""
    turn = axis_angle_to_matrix(torch.tensor([[0.3, -0.7, 0.4]], dtype=F64))
    scales = torch.tensor([[0.2, 0.05, 0.1]], dtype=F64)
    one = Splats(torch.zeros(1, 3, dtype=F64), scales, 3 * matrix_to_quaternion(turn), torch.ones(1, dtype=F64), scales)
    camera, size = front(Orthographic), 90
    covariance = (turn * scales.square()[:, None]) @ turn.mT
    flip = torch.tensor([50.0, -50.0], dtype=F64)  # pixels a unit, y down
    expected = flip[:, None] * covariance[0, :2, :2] * flip + 0.3 * torch.eye(2, dtype=F64)
    torch.testing.assert_close(ellipses(one, camera, size).spread[0, 0], expected)


def test_the_nearer_one_hides_the_farther_one() -> None:
    camera = front(Perspective)
    near, far = (splat(ball(at), camera, 33).coverage[0] for at in ((0.0, 0.0, 0.3), (0.02, 0.0, -0.3)))
    both = ball((0.02, 0.0, -0.3), (0.0, 0.0, 0.3))  # the farther one first, red; the nearer one green
    seen = splat(both, camera, 33)
    torch.testing.assert_close(seen.colour[0, ..., 1], near)
    torch.testing.assert_close(seen.colour[0, ..., 0], (1 - near) * far)
    torch.testing.assert_close(seen.coverage[0], 1 - (1 - near) * (1 - far))


def test_order_and_batch_do_not_matter() -> None:
    some = scene()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    mixed = Splats(**{name: value[order] for name, value in vars(some).items()})
    cameras = Perspective.orbit(torch.tensor([0.0, 75.0], dtype=F64), 20.0)
    together = splat(some, cameras, (20, 28))
    for b, view in enumerate((cameras[0], cameras[1])):
        alone = splat(mixed, view, (20, 28))
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(one[b], other[0])


def test_light_that_is_used_up_is_used_up() -> None:
    wall = ball((0.0, 0.0, 0.3), (0.0, 0.0, 0.2), (0.0, 0.0, -0.3), radius=0.5, opacity=1.0)
    middle = splat(wall, front(Perspective), 9).colour[0, 4, 4]
    assert middle.tolist() == pytest.approx([0.999, 0, 0])  # 1e-6 would come through the second: it and all behind are left out
    assert splat(ball((0.0, 0.0, 2.5)), front(Perspective), 9).coverage.max() == 0  # behind the camera


def test_gradients() -> None:
    some, camera = scene(6), front(Perspective)
    parts = [value.clone().requires_grad_() for value in vars(some).values()]

    def picture(*values: Tensor) -> Tensor:
        return torch.cat([part.flatten() for part in splat(Splats(*values), camera, 6)])

    assert torch.autograd.gradcheck(picture, parts, fast_mode=True)


def test_points_take_the_distance_of_their_neighbours() -> None:
    line = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]], dtype=F64)
    assert Splats.of_points(line, line).scales[:, 0].tolist() == pytest.approx([2, 4 / 3, 4 / 3, 2])
    with pytest.raises(InputError, match="expected a radius"):
        Splats.of_points(line[:3], line[:3])
    with pytest.raises(InputError, match="expected \\(N, 3\\)"):
        Splats(line, line, line, line[:, 0], line)


@pytest.mark.parametrize("kind", [Perspective, Orthographic])
def test_ellipses_are_those_of_gsplat(kind: type[Perspective] | type[Orthographic]) -> None:
    """Its own projection in torch, which runs on a CPU; its rasteriser does not."""
    theirs = pytest.importorskip("gsplat.cuda._torch_impl")
    some, size = scene(), (40, 64)
    camera = kind.orbit(torch.tensor([20.0, 110.0], dtype=F64), 25.0)
    matrices, model = opencv(camera, size), "pinhole" if kind is Perspective else "ortho"
    covariance, _ = theirs._quat_scale_to_covar_preci(some.turns, some.scales, True, False, False)
    _, middle, depth, conics, _ = theirs._fully_fused_projection(some.means, covariance, *matrices, 64, 40, camera_model=model)
    found = ellipses(some, camera, size)
    torch.testing.assert_close(found.middle, middle)
    torch.testing.assert_close(found.depth, depth)
    inverse = torch.linalg.inv(found.spread)
    torch.testing.assert_close(torch.stack([inverse[..., 0, 0], inverse[..., 0, 1], inverse[..., 1, 1]], -1), conics)


def test_splatted_is_premultiplied() -> None:
    seen: Splatted = splat(scene(), front(Orthographic), 24)
    assert bool((seen.colour <= seen.coverage[..., None] + 1e-12).all())
    assert float(seen.coverage.max()) > 0.9
