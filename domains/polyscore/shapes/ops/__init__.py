"""Operations on point clouds (..., N, 3), rotations and meshes (vertices, faces). Torch alone, batched, on any device.

Those that PyTorch3D users look for: `knn` (knn_points), `ball_query`, `farthest_points` (sample_farthest_points), `gather`
(knn_gather), `estimate_normals` (estimate_pointcloud_normals), `sample_points` (sample_points_from_meshes), `edge_length_loss`
(mesh_edge_loss), `laplacian_loss` (mesh_laplacian_smoothing), `normal_consistency` (mesh_normal_consistency), the conversions of
rotations, and from the core `so3_exp`, `so3_log`, `se3_exp`, `se3_log` (rotation first, column vectors). The chamfer distance is
`polyscore.shapes.metrics.chamfer`; cameras and rasterisers are in `polyscore.shapes.render`.
"""

from polyscore.lie import se3_exp, se3_log, so3_exp, so3_log
from polyscore.shapes.ops.farthest import farthest_points
from polyscore.shapes.ops.meshes import (
    edge_length_loss,
    edges_of,
    face_areas,
    face_normals,
    face_pairs,
    laplacian_loss,
    normal_consistency,
    sample_points,
    vertex_normals,
)
from polyscore.shapes.ops.neighbours import ball_query, gather, knn
from polyscore.shapes.ops.normals import estimate_normals
from polyscore.shapes.ops.pairs import between, point_pairs
from polyscore.shapes.ops.rotations import (
    axis_angle_to_matrix,
    euler_to_matrix,
    matrix_to_axis_angle,
    matrix_to_euler,
    matrix_to_quaternion,
    matrix_to_six,
    quaternion_to_matrix,
    six_to_matrix,
)

__all__ = [
    "axis_angle_to_matrix",
    "ball_query",
    "between",
    "edge_length_loss",
    "edges_of",
    "estimate_normals",
    "euler_to_matrix",
    "face_areas",
    "face_normals",
    "face_pairs",
    "farthest_points",
    "gather",
    "knn",
    "laplacian_loss",
    "matrix_to_axis_angle",
    "matrix_to_euler",
    "matrix_to_quaternion",
    "matrix_to_six",
    "normal_consistency",
    "point_pairs",
    "quaternion_to_matrix",
    "sample_points",
    "se3_exp",
    "se3_log",
    "six_to_matrix",
    "so3_exp",
    "so3_log",
    "vertex_normals",
]
