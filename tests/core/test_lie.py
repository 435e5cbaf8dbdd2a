"""SO(3) and SE(3): against the matrix exponential, near 0 and near pi, and against the numbers of the original."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.lie import (
    angle,
    geodesic,
    hat,
    inverse,
    nearest_rotation,
    se3_exp,
    se3_log,
    so3_exp,
    so3_log,
    transform,
    vee,
)

ANGLES = [0.0, 1e-30, 1e-12, 1e-6, 1e-4, 0.01, 0.3, 0.499, 0.501, 1.0, 2.0, 3.0, 3.1, math.pi - 1e-3]


def twists(angles: list[float], *, each: int = 40, seed: int = 0) -> Tensor:
    """`each` random twists an angle, float64, with axes on and off the coordinate planes."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.randn(len(angles), each, 3, generator=generator, dtype=torch.float64)
    axis[:, :3] = torch.eye(3, dtype=torch.float64)
    axis[:, 3, 2] = 0
    axis = axis / axis.norm(dim=-1, keepdim=True)
    w = axis * torch.tensor(angles, dtype=torch.float64)[:, None, None]
    return torch.cat([w, torch.randn(len(angles), each, 3, generator=generator, dtype=torch.float64)], -1)


def algebra(twist: Tensor) -> Tensor:
    """The 4 x 4 matrix [[W, v], [0, 0]] of a twist."""
    out = twist.new_zeros(*twist.shape[:-1], 4, 4)
    out[..., :3, :3], out[..., :3, 3] = hat(twist[..., :3]), twist[..., 3:]
    return out


def test_hat_is_the_cross_product_and_vee_its_inverse() -> None:
    w, x = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close((hat(w) @ x[..., None])[..., 0], torch.linalg.cross(w, x))
    assert torch.equal(vee(hat(w)), w)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_exp_is_the_matrix_exponential(dtype: torch.dtype, tolerance: float) -> None:
    twist = twists([*ANGLES, math.pi, 5.0])
    exact = torch.linalg.matrix_exp(algebra(twist))
    torch.testing.assert_close(se3_exp(twist.to(dtype)).double(), exact, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_log_inverts_exp_up_to_a_half_turn(dtype: torch.dtype, tolerance: float) -> None:
    twist = twists(ANGLES).to(dtype)
    torch.testing.assert_close(se3_log(se3_exp(twist)), twist, atol=tolerance, rtol=0)


def test_at_a_half_turn_the_log_is_one_of_two_vectors() -> None:
    R = so3_exp(twists([math.pi])[..., :3])
    torch.testing.assert_close(so3_exp(so3_log(R)), R, atol=1e-12, rtol=0)
    torch.testing.assert_close(so3_log(R).norm(dim=-1), torch.full((1, 40), math.pi, dtype=torch.float64))


def test_a_trace_beyond_three_is_no_trouble() -> None:
    R = torch.eye(3) * (1 + 1e-6)  # arccos((tr R - 1) / 2) is not a number here
    assert torch.equal(so3_log(R), torch.zeros(3))


def test_derivatives_are_exact_at_zero_at_the_series_edge_and_near_pi() -> None:
    twist = twists([0.0, 1e-8, 0.4999999, 0.5000001, 3.0], each=4, seed=3)[:, 3].clone().requires_grad_()
    assert torch.autograd.gradcheck(se3_exp, (twist,))
    assert torch.autograd.gradcheck(lambda x: se3_log(se3_exp(x)), (twist,))


def test_the_derivative_of_log_exp_is_the_identity_in_float32() -> None:
    for one in twists([0.0, 1e-5, 1e-3, 0.4, 3.1], each=4).flatten(0, 1).float():
        slope = torch.func.jacrev(lambda x: se3_log(se3_exp(x)))(one)
        torch.testing.assert_close(slope, torch.eye(6), atol=5e-4, rtol=0)


def test_inverse_transform_and_composition() -> None:
    g, h = se3_exp(twists([1.0, 2.5], each=4, seed=5)).unbind(0)
    points = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(inverse(g) @ g, torch.eye(4, dtype=torch.float64).expand(4, 4, 4))
    torch.testing.assert_close(transform(g @ h, points), transform(g, transform(h, points)))
    torch.testing.assert_close(inverse(g), se3_exp(-se3_log(g)))


def test_a_geodesic_has_constant_speed_and_both_ends() -> None:
    g, h = se3_exp(twists([1.0, 0.7], each=4, seed=6)).unbind(0)
    torch.testing.assert_close(geodesic(g, h, 0.0), g)
    torch.testing.assert_close(geodesic(g, h, 1.0), h)
    stops = [geodesic(g, h, k / 4) for k in range(5)]
    for first, second in zip(stops, stops[1:], strict=False):
        torch.testing.assert_close(se3_log(second @ inverse(first)), se3_log(h @ inverse(g)) / 4)
        torch.testing.assert_close(angle(first[..., :3, :3], second[..., :3, :3]), angle(g[..., :3, :3], h[..., :3, :3]) / 4)


def test_the_nearest_rotation_solves_the_orthogonal_procrustes_problem() -> None:
    generator = torch.Generator().manual_seed(2)
    R = so3_exp(twists([2.0], each=5)[0, :, :3])
    x = torch.randn(5, 9, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(nearest_rotation((x @ R.mT).mT @ x), R)
    M = torch.randn(20, 3, 3, generator=generator, dtype=torch.float64)  # about half have a negative determinant
    best = nearest_rotation(M)
    torch.testing.assert_close(torch.det(best), torch.ones(20, dtype=torch.float64))
    gain = (best * M).sum((-2, -1))
    for w in 0.05 * torch.randn(30, 3, generator=generator, dtype=torch.float64):
        assert ((so3_exp(w) @ best * M).sum((-2, -1)) < gain + 1e-12).all()


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(InputError, match=r"se3_exp: a tensor of shape \(2, 7\), expected \(\.\.\., 6\)"):
        se3_exp(torch.zeros(2, 7))
    with pytest.raises(InputError, match=r"so3_log.*\(3, 2\)"):
        so3_log(torch.zeros(3, 2))


def test_the_originals_numbers(reference: Path) -> None:
    golden = {k: torch.from_numpy(v) for k, v in np.load(reference / "shapes" / "golden" / "diffreg_lie.npz").items()}
    torch.testing.assert_close(se3_exp(golden["twist"]), golden["se3_exp"], atol=5e-7, rtol=0)
    torch.testing.assert_close(so3_exp(golden["twist"][:, :3]), golden["so3_exp"], atol=5e-7, rtol=0)
    torch.testing.assert_close(inverse(golden["se3_exp"]), golden["inv"], atol=1e-6, rtol=0)
    # The original's own log is off by 2.1e-4 at 3.1 radians; ours returns the twist.
    torch.testing.assert_close(se3_log(golden["se3_exp"]), golden["twist"], atol=1e-5, rtol=0)
