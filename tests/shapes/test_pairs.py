"""Random solids, views and pairs: areas, normals, visibility, poses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polyscore.errors import InputError
from polyscore.lie import transform
from polyscore.shapes.data.compositions import Part, box, composition, ellipsoid, frustum, random_rotation, torus
from polyscore.shapes.data.pairs import axis_normals, partial_pair, visible
from polyscore.shapes.data.registration_data import Onward, PairsData, synthetic_pair

PARTS = {
    "box": (box([0.5, 0.3, 0.2]), 8 * 0.5 * 0.3 * 0.2),
    "ellipsoid": (ellipsoid([0.5, 0.3, 0.2]), 4 / 3 * math.pi * 0.5 * 0.3 * 0.2),
    "cone": (frustum(0.5, 0.2, 0.4), math.pi * 0.8 / 3 * (0.25 + 0.1 + 0.04)),
    "cylinder": (frustum(0.3, 0.3, 0.4), math.pi * 0.09 * 0.8),
    "torus": (torus(0.5, 0.2), 2 * math.pi**2 * 0.5 * 0.04),
}


@pytest.mark.parametrize("name", PARTS)
def test_points_and_normals_of_a_part_give_its_volume(name: str) -> None:
    part, volume = PARTS[name]  # the divergence theorem: V = area mean(x . n) / 3, whatever the origin
    x, n = part.sample(200_000, np.random.default_rng(0))
    assert np.allclose(np.linalg.norm(n, axis=-1), 1)
    shift = np.array([0.3, -0.2, 0.1])
    assert part.area * ((x + shift) * n).sum(-1).mean() / 3 == pytest.approx(volume, rel=0.02)
    assert np.abs(n.mean(0)).max() < 0.01


@pytest.mark.parametrize("name", PARTS)
def test_the_inside_lies_behind_the_normals(name: str) -> None:
    part, _ = PARTS[name]
    x, n = part.sample(2000, np.random.default_rng(1))
    assert part.inside(x - 1e-3 * n).mean() > 0.99
    assert not part.inside(x + 1e-3 * n).any()


def test_a_union_keeps_its_surface_alone() -> None:
    rng = np.random.default_rng(3)
    x, n = composition(rng, 4000)
    assert 500 < len(x) <= 4000 and np.allclose(np.linalg.norm(n, axis=-1), 1)
    again = composition(np.random.default_rng(3), 4000)
    assert np.array_equal(again[0], x) and np.array_equal(again[1], n)
    # a closed surface has no net normal
    assert np.linalg.norm(n.mean(0)) < 0.08
    with pytest.raises(InputError, match="parts"):
        composition(rng, parts=(3, 2))


def test_rotations_are_uniform() -> None:
    rng = np.random.default_rng(0)
    R = np.stack([random_rotation(rng) for _ in range(4000)])
    assert np.allclose(R @ R.transpose(0, 2, 1), np.eye(3), atol=1e-12) and np.allclose(np.linalg.det(R), 1)
    trace = np.trace(R, axis1=1, axis2=2)  # of a uniform rotation the trace has mean 0 and variance 1
    assert abs(trace.mean()) < 0.06 and abs(trace.var() - 1) < 0.08


def test_a_camera_sees_the_near_half_of_a_ball_and_nothing_behind_it() -> None:
    part: Part = ellipsoid([1.0, 1.0, 1.0])
    x, n = part.sample(6000, np.random.default_rng(0))
    v = np.array([0.0, 0.6, 0.8])
    seen = visible(x, n, 2 * v, cell=0.05, depth=0.1)
    assert (seen == (x @ v > 0.05)).mean() > 0.94  # at the rim a cell spans a steep piece
    behind = 0.3 * x - 3 * v  # a small ball in its shadow
    both = visible(np.concatenate([x, behind]), np.concatenate([n, n]), v, cell=0.2, depth=0.3)
    assert not both[len(x) :].any()


def test_normals_of_points_are_those_of_the_plane() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-1, 1, (300, 2)), np.zeros((300, 1))], 1)
    up = np.tile([0.0, 0.0, 1.0], (300, 1))
    assert np.allclose(axis_normals(x, up), up, atol=1e-6)
    assert np.allclose(axis_normals(x, -up), -up, atol=1e-6)


def test_the_pose_of_a_pair_lays_the_part_on_the_whole() -> None:
    pair = synthetic_pair(5, noise=(0.0, 0.0))
    distance = torch.cdist(transform(pair.pose, pair.source), pair.target).amin(1) / pair.diameter
    assert float(distance.median()) < 0.03 and float(distance.max()) < 0.15
    R = pair.pose[:3, :3]
    near = torch.cdist(transform(pair.pose, pair.source), pair.target).argmin(1)
    agree = ((pair.source_normals @ R.T) * pair.target_normals[near]).sum(-1)
    assert float((agree > 0.7).double().mean()) > 0.85
    assert torch.equal(synthetic_pair(5, noise=(0.0, 0.0)).source, pair.source)


def test_noise_is_in_diameters() -> None:
    x, n = composition(np.random.default_rng(0), 4096)
    pairs = [
        partial_pair(scale * x, n, np.random.default_rng(7), noise=0.01, estimated=(False, False), move=0.0) for scale in (1, 50)
    ]
    moved = [transform(pair.pose, pair.source) / pair.diameter for pair in pairs]
    torch.testing.assert_close(moved[0], moved[1], atol=1e-4, rtol=0)
    with pytest.raises(InputError, match="10 points"):
        partial_pair(x[:10], n[:10], np.random.default_rng(0))


def test_no_pair_comes_twice() -> None:
    order = Onward(4)
    first = list(order)
    order.set_epoch(3)
    assert first == [0, 1, 2, 3] and list(order) == [12, 13, 14, 15] and len(order) == 4
    data = PairsData(2, 1, validation=2, source_points=64, target_points=96)
    train, held_out = next(iter(data.train_dataloader())), next(iter(data.val_dataloader()))
    assert not torch.allclose(train["x0"], held_out["x0"])
    source, target = train["cond"]["source"], train["cond"]["target"]
    torch.testing.assert_close(source.mean(1), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.cdist(target, target).amax((1, 2)), torch.full((2,), 2.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(target.amin(1), -target.amax(1), atol=1e-5, rtol=0)
    laid = torch.cdist(transform(train["x0"], source), target).amin(-1)
    assert float(laid.median()) < 0.15
