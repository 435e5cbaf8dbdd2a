"""The mesh tool chain: from a field to a closed, coloured body in a file. Packages of the extra `shapes` load when used."""

from polyscore.shapes.mesh.bodies import clean, is_solid, largest_body, simplify, smooth, unit_box
from polyscore.shapes.mesh.check import MeshFacts, examine
from polyscore.shapes.mesh.files import mesh_bytes, read_mesh, write_mesh
from polyscore.shapes.mesh.fit import FitStep, NormalViews, fit_views
from polyscore.shapes.mesh.grid import Field, Samples, sample_surface
from polyscore.shapes.mesh.paint import Colour, bake, paint
from polyscore.shapes.mesh.remesh import remesh
from polyscore.shapes.mesh.solid import body, solid
from polyscore.shapes.mesh.surface import isosurface, triangulate

__all__ = [
    "Colour",
    "Field",
    "FitStep",
    "MeshFacts",
    "NormalViews",
    "Samples",
    "bake",
    "body",
    "clean",
    "examine",
    "fit_views",
    "is_solid",
    "isosurface",
    "largest_body",
    "mesh_bytes",
    "paint",
    "read_mesh",
    "remesh",
    "sample_surface",
    "simplify",
    "smooth",
    "solid",
    "triangulate",
    "unit_box",
    "write_mesh",
]
