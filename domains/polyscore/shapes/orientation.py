r"""Normals with one consistent side, for clouds that come without: a principal axis has no sign, neighbours should share it.

The sign is passed along a minimum spanning tree of the nearest-neighbour graph with weights 1 - |n_i . n_j|, so that it crosses
no edge it can avoid; then each connected piece as a whole is turned so that sum (p - mean) . n >= 0, which is outward for any
closed surface (it is three times the volume) and for any part of a convex one.

Source: Hoppe et al. 1992, Surface reconstruction from unorganized points.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["oriented_normals"]


def oriented_normals(points: Tensor, *, neighbours: int = 16) -> Tensor:
    """Unit normals (N, 3) of points (N, 3), float64: the thinnest direction of the nearest neighbours, outward.

    Raises:
        InputError: fewer than three points.
    """
    if points.ndim != 2 or points.shape[-1] != 3 or len(points) < 3:
        raise InputError(f"normals: points of shape {tuple(points.shape)}; expected (N, 3) with at least three points")
    p = points.detach().cpu().double().numpy()
    index = cKDTree(p).query(p, min(neighbours, len(p)))[1]
    off = p[index] - p[index].mean(1, keepdims=True)
    normals = np.linalg.eigh(np.einsum("nki,nkj->nij", off, off))[1][..., 0]
    rows, columns = np.repeat(np.arange(len(p)), index.shape[1] - 1), index[:, 1:].ravel()
    alike = np.abs((normals[rows] * normals[columns]).sum(-1))
    tree = minimum_spanning_tree(coo_matrix((1.001 - alike, (rows, columns)), shape=(len(p), len(p))).tocsr())
    tree = tree + tree.T
    count, label = connected_components(tree, directed=False)
    middle = p.mean(0)
    for piece in range(count):
        members = np.flatnonzero(label == piece)
        order, before = breadth_first_order(tree, members[0], directed=False)
        for k in order[1:]:
            if normals[k] @ normals[before[k]] < 0:
                normals[k] = -normals[k]
        own = middle if len(members) < 16 else p[members].mean(0)
        if ((p[members] - own) * normals[members]).sum() < 0:
            normals[members] = -normals[members]
    return torch.from_numpy(normals)
