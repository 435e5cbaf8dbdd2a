r"""Distances of two clouds, as PointFlow and DPM define them.

    CD(X, Y)  = mean_x min_y |x - y|^2 + mean_y min_x |x - y|^2          (squared, the sum of both directions)
    EMD(X, Y) = min over bijections phi of mean_x |x - phi(x)|           (not squared; an exact assignment)

Which points belong together is found by a k-d tree or an assignment on the CPU; the distances themselves are torch, so both are
differentiable with the matching held, which is their derivative almost everywhere. Clouds must be in one scale: scores of clouds
normalised differently cannot be compared.

Sources: Yang et al. 2019 (PointFlow), arXiv 1906.12320; Achlioptas et al. 2018, arXiv 1707.02392.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from polyscore.errors import InputError, MissingExtraError

__all__ = ["chamfer", "earth_mover", "nearest", "pairwise"]


def chamfer(x: Tensor, y: Tensor) -> Tensor:
    """CD (B,) of clouds (B, N, 3) and (B, M, 3).

    Raises:
        InputError: other shapes.
        MissingExtraError: scipy is not installed.
    """
    _check(x, y, "chamfer")
    return _squared(x, _take(y, nearest(y, x))).mean(-1) + _squared(y, _take(x, nearest(x, y))).mean(-1)


def earth_mover(x: Tensor, y: Tensor) -> Tensor:
    """EMD (B,) of clouds (B, N, 3) of the same number of points. The assignment costs N^3: a minute at some thousand points.

    Raises:
        InputError: other shapes.
        MissingExtraError: scipy is not installed.
    """
    _check(x, y, "earth_mover")
    if x.shape[1] != y.shape[1]:
        raise InputError(f"earth_mover: clouds of {x.shape[1]} and {y.shape[1]} points; expected the same number")
    assign = _scipy("optimize").linear_sum_assignment
    costs = torch.cdist(x.detach().double(), y.detach().double(), compute_mode="donot_use_mm_for_euclid_dist").cpu().numpy()
    match = torch.stack([torch.from_numpy(assign(cost)[1]) for cost in costs]).to(x.device)
    distance: Tensor = torch.linalg.vector_norm(x - _take(y, match), dim=-1).mean(-1)
    return distance


def pairwise(distance: Callable[[Tensor, Tensor], Tensor], xs: Tensor, ys: Tensor) -> Tensor:
    """All distances (S, R) of clouds (S, N, 3) and (R, M, 3)."""
    return torch.stack([distance(x.expand(len(ys), *x.shape), ys) for x in xs])


def _check(x: Tensor, y: Tensor, name: str) -> None:
    if x.ndim != 3 or y.ndim != 3 or x.shape[-1] != y.shape[-1] or len(x) != len(y) or 0 in (*x.shape, *y.shape):
        raise InputError(f"{name}: clouds of shapes {tuple(x.shape)} and {tuple(y.shape)}; expected (B, N, 3) and (B, M, 3)")


def nearest(points: Tensor, queries: Tensor) -> Tensor:
    """Index (B, Q) of the point (B, N, 3) nearest to each query (B, Q, 3)."""
    tree = _scipy("spatial").cKDTree
    clouds = zip(points.detach().cpu().double().numpy(), queries.detach().cpu().double().numpy(), strict=True)
    return torch.stack([torch.from_numpy(tree(p, balanced_tree=False, compact_nodes=False).query(q)[1]) for p, q in clouds]).to(
        points.device
    )


def _take(points: Tensor, index: Tensor) -> Tensor:
    return points.gather(1, index[..., None].expand(-1, -1, points.shape[-1]))


def _squared(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().sum(-1)


def _scipy(part: str) -> Any:
    try:
        return importlib.import_module(f"scipy.{part}")
    except ImportError as error:
        raise MissingExtraError("scores of clouds need the package scipy: pip install 'polyscore[shapes]'") from error
