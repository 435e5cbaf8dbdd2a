"""`ns-export-polyscore`: the trained field's body as a closed coloured mesh, y up and in the unit box as glTF has it."""

from __future__ import annotations

from pathlib import Path

import tyro
from nerfstudio.utils.eval_utils import eval_setup

from nerfstudio_polyscore.model import PolyscoreModel
from polyscore.errors import InputError, PolyscoreError
from polyscore.shapes.engines.result import OpaqueBody, coloured
from polyscore.shapes.mesh import write_mesh

__all__ = ["export", "main"]


def export(
    load_config: Path, output_path: Path = Path("shape.glb"), *, resolution: int = 96, faces: int = 10_000, texture: int = 0
) -> None:
    """Write the body of a run of polyscore-sds as .glb, .obj, .ply or .stl.

    Args:
        load_config: config.yml of the run.
        output_path: the mesh.
        resolution: cells a side that the surface is found on.
        faces: about how many triangles.
        texture: texels a side; 0 gives colours at the vertices.

    Raises:
        InputError: a run of another method, or a field without a body.
    """
    config, pipeline, _, _ = eval_setup(load_config, test_mode="inference")
    model = pipeline.model
    if not isinstance(model, PolyscoreModel):
        raise InputError(f"{load_config}: a run of {config.method_name}, expected one of polyscore-sds")
    found = OpaqueBody(model.field)
    mesh = found.mesh(resolution=resolution, faces=faces)
    write_mesh(output_path, coloured(mesh, found.colour, model.teacher.finish, texture=texture))


def main() -> None:
    """The command."""
    try:
        tyro.cli(export)
    except PolyscoreError as error:
        raise SystemExit(f"ns-export-polyscore: {error}") from None
