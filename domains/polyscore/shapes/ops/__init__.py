"""Operations on point clouds (..., N, 3): neighbours, normals, point-pair features. Torch alone, batched, on any device."""

from polyscore.shapes.ops.neighbours import ball_query, gather, knn
from polyscore.shapes.ops.normals import estimate_normals
from polyscore.shapes.ops.pairs import between, point_pairs

__all__ = ["ball_query", "between", "estimate_normals", "gather", "knn", "point_pairs"]
