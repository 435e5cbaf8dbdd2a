r"""Orbits of 4-node graphlets by matrix algebra (Przulj 2007; Hocevar and Demsar 2014, ORCA).

Subgraphs that need not be induced are counted with A, A^2 and the neighbourhoods; a triangular system then takes out what larger
graphlets contain. With o = induced and N = all counts, from K4 (14) over diamond (12, 13), cycle (8), paw (9, 10, 11) and claw
(6, 7) to path (4, 5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["orbit_counts"]


def orbit_counts(adj: NDArray[np.int64]) -> NDArray[np.int64]:
    """Orbits 0 to 14 of every node, (n, 15), of a symmetric 0/1 matrix (n, n) with zero diagonal."""
    a = np.asarray(adj, np.int64)
    d = a.sum(1)
    common = a @ a
    np.fill_diagonal(common, 0)
    near = a * common  # common neighbours along edges
    t = near.sum(1) // 2
    pairs = common * (common - 1) // 2

    o = np.zeros((15, len(a)), np.int64)
    o[0], o[3] = d, t
    o[1] = a @ (d - 1) - 2 * t
    o[2] = d * (d - 1) // 2 - t
    o[14] = [_triangles(a[np.ix_(row, row)]) for row in a.astype(bool)]
    o[13] = (a * pairs).sum(1) - 3 * o[14]
    thick = a * (common - 1)
    o[12] = np.einsum("iu,uv,iv->i", a, thick, a, optimize=True) // 2 - 3 * o[14]
    o[8] = pairs.sum(1) - o[12] - o[13] - 3 * o[14]
    o[11] = t * (d - 2) - 2 * o[13] - 3 * o[14]
    o[10] = near @ (d - 2) - 2 * o[12] - 2 * o[13] - 6 * o[14]
    o[9] = a @ t - 2 * t - 2 * o[12] - 3 * o[14]
    o[7] = d * (d - 1) * (d - 2) // 6 - o[11] - o[13] - o[14]
    o[6] = a @ ((d - 1) * (d - 2) // 2) - o[9] - o[10] - 2 * o[12] - o[13] - 3 * o[14]
    o[5] = (d - 1) * (a @ (d - 1)) - 2 * t - 2 * o[8] - 2 * o[11] - o[10] - 2 * o[12] - 4 * o[13] - 6 * o[14]
    ends = a @ (a @ (d - 1)) - d * (d - 1) - 2 * t
    o[4] = ends - 2 * o[8] - 2 * o[9] - o[10] - 4 * o[12] - 2 * o[13] - 6 * o[14]
    return o.T


def _triangles(a: NDArray[np.int64]) -> int:
    return int((a * (a @ a)).sum()) // 6
