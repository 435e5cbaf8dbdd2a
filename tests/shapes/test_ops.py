"""Neighbours, normals and pair features: brute force, exact surfaces, invariance under rigid motions."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from polyscore.errors import InputError
from polyscore.lie import se3_exp, transform
from polyscore.shapes.ops import ball_query, between, estimate_normals, gather, knn, neighbours, point_pairs


def cloud(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_knn_is_that_of_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    points, queries = cloud(2, 200), cloud(2, 90, seed=1)
    for pairs in (1 << 22, 1000):  # in one piece, and two queries at a time
        monkeypatch.setattr(neighbours, "_PAIRS", pairs)
        distance, index = knn(points, queries, 7)
        for b in range(2):
            exact, where = cKDTree(points[b].numpy()).query(queries[b].numpy(), 7)
            torch.testing.assert_close(distance[b], torch.from_numpy(exact))
            assert torch.equal(index[b], torch.from_numpy(where))


def test_knn_keeps_near_points_apart_far_from_the_origin() -> None:
    points = torch.tensor([[1000.0, 0.0, 0.0], [1000.0, 1e-3, 0.0], [1000.0, 3e-3, 0.0]])
    distance, index = knn(points, points, 3)
    torch.testing.assert_close(distance[0], torch.tensor([0.0, 1e-3, 3e-3]))
    assert index[:, 0].tolist() == [0, 1, 2]


def test_a_ball_holds_the_first_points_inside_and_fills_up_with_the_point_itself() -> None:
    points, k, radius = cloud(2, 60), 5, 0.9
    found = ball_query(points, k, radius)
    for b in range(2):
        for i in range(60):
            inside = [j for j in range(60) if j != i and (points[b, i] - points[b, j]).norm() <= radius][:k]
            assert found[b, i].tolist() == inside + [i] * (k - len(inside))


def test_a_ball_asked_for_more_points_than_there_are() -> None:
    found = ball_query(torch.zeros(1, 3, 3), 5, 1.0)
    assert found[0].tolist() == [[1, 2, 0, 0, 0], [0, 2, 1, 1, 1], [0, 1, 2, 2, 2]]


def test_gather_picks_rows() -> None:
    points = cloud(2, 10)
    index = torch.randint(10, (2, 6, 4), generator=torch.Generator().manual_seed(0))
    assert torch.equal(gather(points, index)[1, 5, 3], points[1, index[1, 5, 3]])


def test_normals_of_a_plane_and_of_a_sphere() -> None:
    flat = cloud(400) * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    normals = estimate_normals(flat, toward=torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64))
    torch.testing.assert_close(normals, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(400, 3))
    ball = torch.nn.functional.normalize(cloud(4000), dim=-1)
    off = between(estimate_normals(ball + 3.0, radius=0.2), ball)
    assert off.max() < math.radians(5)
    inward = estimate_normals(ball, toward=torch.zeros(3, dtype=torch.float64))
    assert ((inward * ball).sum(-1) < 0).all()


def test_normals_turn_with_the_cloud() -> None:
    points, g = cloud(3, 120), se3_exp(cloud(3, 2).flatten(1))
    torch.testing.assert_close(
        estimate_normals(transform(g, points)), estimate_normals(points) @ g[:, :3, :3].mT, atol=1e-9, rtol=0
    )


def test_normals_need_a_cloud() -> None:
    with pytest.raises(InputError, match=r"points of shape \(2, 3\)"):
        estimate_normals(torch.zeros(2, 3))


def test_the_angle_is_exact_where_arccos_is_not() -> None:
    a = torch.tensor([1.0, 0.0, 0.0])
    small = torch.tensor([0.0, 1e-6, 1e-3, math.pi - 1e-6])
    b = torch.stack([small.cos(), small.sin(), torch.zeros(4)], -1)
    torch.testing.assert_close(between(a[None], b), small, atol=1e-7, rtol=0)
    assert float(between(a, torch.zeros(3))) == 0.0


def test_pair_features_do_not_feel_rigid_motions() -> None:
    points, normals = cloud(2, 30), torch.nn.functional.normalize(cloud(2, 30, seed=1), dim=-1)
    index = ball_query(points, 6, 1.0)
    g = se3_exp(cloud(2, 2, seed=2).flatten(1))
    offset, pairs = point_pairs(points, normals, index)
    turned, same = point_pairs(transform(g, points), normals @ g[:, :3, :3].mT, index)
    torch.testing.assert_close(same, pairs)
    torch.testing.assert_close(turned, offset @ g[:, None, :3, :3].mT)
    torch.testing.assert_close(pairs[..., 3], offset.norm(dim=-1))
