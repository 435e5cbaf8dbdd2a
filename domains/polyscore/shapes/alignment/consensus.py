r"""A rigid motion from matches of which most may be wrong: the largest set of them that agree on all lengths.

A motion keeps lengths, so two right matches (x_i, c_i), (x_j, c_j) have | |x_i - x_j| - |c_i - c_j| | small. With first-order
agreement A_ij = 1 where it is below the tolerance, the second order S = A o (A A) counts how many others agree with both, which
is large between right matches alone. Each of the best-connected matches proposes the least-squares motion of those that agree
with it most; the proposal that brings most of the weight within the tolerance wins and is refitted to its inliers.

Source: Chen et al. 2022 (SC^2-PCR), arXiv 2203.14453. Deterministic, batched, torch alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyscore.lie import motion, nearest_rotation, transform

__all__ = ["consensus", "fit_motion"]


def fit_motion(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """The motion (..., 4, 4) that minimises sum w |y - R x - t|^2 of points (..., N, 3) with weights (..., N) of positive sum."""
    w = (weight / weight.sum(-1, keepdim=True).clamp(min=1e-12))[..., None]
    here, there = (w * x).sum(-2, keepdim=True), (w * y).sum(-2, keepdim=True)
    R = nearest_rotation((y - there).mT @ (w * (x - here)))
    return motion(R, (there - here @ R.mT)[..., 0, :])


def consensus(
    x: Tensor, c: Tensor, weight: Tensor, *, tolerance: float, seeds: int = 24, support: int = 24, refits: int = 3
) -> Tensor:
    """The motion (B, 4, 4) on which most matches x_i -> c_i, both (B, N, 3), with weights (B, N), agree.

    Args:
        x, c: what is matched; a wrong match is a point like any other.
        weight: how sure a match is, 0 or more.
        tolerance: distance within which a match counts as met.
        seeds: matches that propose.
        support: matches that a proposal is fitted to.
        refits: to the inliers of the winner.
    """
    lengths = (torch.cdist(x, x) - torch.cdist(c, c)).abs()
    agree = (lengths < tolerance).to(x.dtype)
    first = agree * weight[..., :, None] * weight[..., None, :]
    second = agree * (first @ agree)
    seed = second.sum(-1).topk(min(seeds, x.shape[1])).indices
    rows = second.gather(1, seed[..., None].expand(-1, -1, x.shape[1]))
    most = rows.topk(min(support, x.shape[1]))
    spread = most.indices[..., None].expand(-1, -1, -1, 3)
    proposals = fit_motion(
        x[:, None].expand(-1, len(seed[0]), -1, -1).gather(2, spread),
        c[:, None].expand(-1, len(seed[0]), -1, -1).gather(2, spread),
        most.values * weight[:, None].expand(-1, len(seed[0]), -1).gather(2, most.indices) + 1e-9,
    )
    met = (transform(proposals, x[:, None]) - c[:, None]).norm(dim=-1) < tolerance
    best = (met * weight[:, None]).sum(-1).argmax(-1)
    pose = proposals[torch.arange(len(x), device=x.device), best]
    for _ in range(refits):
        far = (transform(pose, x) - c).norm(dim=-1) / tolerance
        pose = fit_motion(x, c, weight * (1 - far.square()).clamp(min=0).square() + 1e-9)  # Tukey's biweight
    return pose
