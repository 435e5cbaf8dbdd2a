r"""Scores of a set of clouds against a set of references, from the distances d (S, R) of all pairs, and of where points are.

    MMD   = mean over references of min over samples          (how well the references are met; a set of copies of one passes)
    COV   = references that are the nearest of some sample / R (how many are met at all)
    1-NNA = accuracy of leave-one-out nearest neighbours in telling samples from references (1/2 is ideal, 1 is far apart)
    JSD   = Jensen-Shannon divergence, base 2, of the counts of all points in the cells of a grid

A finite set of references has a noise floor: score a second set of real clouds against it to know what perfect samples would get.

Sources: Achlioptas et al. 2018, arXiv 1707.02392; Lopez-Paz and Oquab 2017, arXiv 1610.06545; Yang et al. 2019, arXiv 1906.12320.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.metrics.clouds import nearest

__all__ = ["coverage", "minimum_matching", "nearest_neighbour_accuracy", "occupancy_divergence"]


def minimum_matching(d: Tensor) -> float:
    """MMD of distances (S, R)."""
    return float(d.amin(0).mean())


def coverage(d: Tensor) -> float:
    """COV of distances (S, R), 0 to 1."""
    return len(torch.unique(d.argmin(1))) / d.shape[1]


def nearest_neighbour_accuracy(samples: Tensor, across: Tensor, references: Tensor) -> float:
    """1-NNA of the distances among samples (S, S), from samples to references (S, R), and among references (R, R).

    Raises:
        InputError: shapes that do not fit.
    """
    s, r = across.shape
    if samples.shape != (s, s) or references.shape != (r, r):
        raise InputError(
            f"1-NNA: distances of shapes {tuple(samples.shape)}, {(s, r)}, {tuple(references.shape)}; "
            "expected (S, S), (S, R), (R, R)"
        )
    joint = torch.cat([torch.cat([samples, across], 1), torch.cat([across.T, references], 1)])
    nearest = joint.fill_diagonal_(float("inf")).argmin(0)
    is_sample = torch.arange(s + r, device=joint.device) < s
    return float((is_sample[nearest] == is_sample).double().mean())


def occupancy_divergence(xs: Tensor, ys: Tensor, *, resolution: int = 28) -> float:
    """JSD, 0 to 1, of clouds (S, N, 3) and (R, M, 3) that lie in the cube [-1/2, 1/2]^3.

    Every point is counted in the nearest of the resolution^3 grid nodes that are inside the ball of radius 1/2.

    Raises:
        InputError: clouds of other shapes, fewer than two nodes, or points outside the cube.
        MissingExtraError: scipy is not installed.
    """
    if resolution < 2 or xs.shape[-1:] != (3,) or ys.shape[-1:] != (3,):
        shapes = f"{tuple(xs.shape)} and {tuple(ys.shape)}"
        raise InputError(f"JSD: clouds {shapes}, resolution {resolution}; expected (S, N, 3) and at least 2")
    largest = max(float(part.abs().max()) for part in (xs, ys))
    if not largest <= 0.5 + 1e-3:
        raise InputError(f"JSD: a coordinate of size {largest:.4g}; expected clouds inside [-0.5, 0.5]: divide by their extent")
    line = torch.linspace(-0.5, 0.5, resolution, dtype=torch.float64)
    nodes = torch.cartesian_prod(line, line, line)
    nodes = nodes[nodes.norm(dim=-1) <= 0.5]
    p, q = (_counts(nodes, part) for part in (xs, ys))
    middle = (p + q) / 2
    return float(_entropy(middle) - (_entropy(p) + _entropy(q)) / 2)


def _counts(nodes: Tensor, clouds: Tensor) -> Tensor:
    index = nearest(nodes[None], clouds.reshape(1, -1, 3))[0].cpu()
    return torch.bincount(index, minlength=len(nodes)).double() / len(index)


def _entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum() / math.log(2)
