"""Consensus, ICP, FPFH and RANSAC: exact answers on exact data, and robustness to what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.lie import angle, se3_exp, transform
from polyscore.shapes.alignment import ICP, RANSAC, Surface, consensus, fit_motion, fpfh, overlap
from polyscore.shapes.data.compositions import composition
from polyscore.shapes.orientation import oriented_normals


def pose(seed: int, turn: float = 1.0, move: float = 1.0) -> Tensor:
    w = torch.randn(6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return se3_exp(torch.cat([turn * w[:3], move * w[3:]]))


def cloud(n: int = 60, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def solid(points: int = 3000, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    return composition(np.random.default_rng(seed), points)


def test_least_squares_is_exact_and_weights_leave_points_out() -> None:
    x, H = cloud(), pose(1)
    y = transform(H, x)
    torch.testing.assert_close(fit_motion(x, y, torch.ones(60).double()), H)
    y[:20] += 5
    weight = torch.ones(60).double()
    weight[:20] = 0
    torch.testing.assert_close(fit_motion(x, y, weight), H)


@pytest.mark.parametrize("wrong", [0.0, 0.5, 0.8])
def test_consensus_finds_the_motion_among_wrong_matches(wrong: float) -> None:
    x, H = torch.stack([cloud(100, 1), cloud(100, 2)]), torch.stack([pose(3), pose(4)])
    c = transform(H, x)
    bad = int(100 * wrong)
    c[:, :bad] = c[:, :bad].roll(1, 1) + 0.3 * cloud(bad, 9) if bad else c[:, :0]
    found = consensus(x, c, torch.ones(2, 100).double(), tolerance=0.05)
    torch.testing.assert_close(found, H, atol=1e-3, rtol=0)


@pytest.mark.parametrize("with_normals", [True, False])
def test_icp_polishes_a_pose_and_is_still_at_the_right_one(with_normals: bool) -> None:
    x, n = solid()
    surface = Surface(x, n if with_normals else None)
    still = ICP(steps=5)(x[::3], surface, np.eye(4))
    assert np.allclose(still, np.eye(4), atol=1e-9)
    off = pose(5, 0.06, 0.02).numpy()
    found = ICP(steps=60, reach=0.3, shrink=0.1)(x[::3], surface, off)
    error = float(angle(torch.from_numpy(found[:3, :3]), torch.eye(3).double()).rad2deg())
    assert error < (0.01 if with_normals else 1.0)
    with pytest.raises(InputError, match="ICP"):
        ICP(reach=0.0)


def test_overlap_counts_points_within_reach_on_the_same_side() -> None:
    x, n = solid()
    surface = Surface(x, n)
    assert overlap(x, n, surface, np.eye(4), within=0.05) == 1.0
    assert overlap(x, -n, surface, np.eye(4), within=0.05) == 0.0
    away = np.eye(4)
    away[:3, 3] = 100
    assert overlap(x, n, surface, away, within=0.05) == 0.0


def test_histograms_do_not_change_under_motions_and_sum_to_three() -> None:
    x, n = solid(1200)
    H = pose(6).numpy()
    f, g = fpfh(x, n, 0.3), fpfh(x @ H[:3, :3].T + H[:3, 3], n @ H[:3, :3].T, 0.3)
    assert f.shape == (len(x), 33) and np.allclose(f.sum(1), 3, atol=1e-6)
    assert np.abs(f - g).max(1).mean() < 1e-3  # a count may fall over the edge of a bin


def test_a_plane_has_one_histogram() -> None:
    line = np.linspace(0, 1, 21)
    x = np.stack([*np.meshgrid(line, line), np.zeros((21, 21))], -1).reshape(-1, 3)
    f = fpfh(x, np.tile([0.0, 0.0, 1.0], (441, 1)), 0.12)
    assert np.allclose(f, f[0], atol=1e-9)


def test_sample_consensus_is_exact_on_exact_features() -> None:
    x, H = cloud(80).numpy(), pose(7).numpy()
    y = x @ H[:3, :3].T + H[:3, 3]
    f = np.arange(80.0)[:, None]
    shuffled = f.copy()
    shuffled[:48] = f[:48][::-1]  # six in ten features are wrong
    found = RANSAC(draws=4000, reach=0.05)(x, shuffled, y, f, seed=1)
    assert np.allclose(found, H, atol=1e-8)


def test_normals_without_sides_get_one() -> None:
    x, n = solid(4000, seed=4)
    found = oriented_normals(torch.from_numpy(x)).numpy()
    agree = (found * n).sum(-1)
    assert (agree > 0.7).mean() > 0.85
    v = np.array([0.2, 0.5, 0.8]) / np.linalg.norm([0.2, 0.5, 0.8])
    ball = cloud(3000).numpy()
    ball /= np.linalg.norm(ball, axis=-1, keepdims=True)
    part = ball[ball @ v > 0.1]  # a view: its mean is near its surface, and the sides are still outward
    assert ((oriented_normals(torch.from_numpy(part)).numpy() * part).sum(-1) > 0.9).all()
