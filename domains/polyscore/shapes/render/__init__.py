"""Pictures of fields and meshes: cameras, rasterisers, lights. Torch alone, on any device."""

from polyscore.shapes.render.cameras import Camera, Orthographic, Perspective, Projection, Rays, Size, orbit
from polyscore.shapes.render.conventions import Matrices, from_opencv, opencv, pytorch3d
from polyscore.shapes.render.draw import Surface, draw, normal_map, over, surface_of
from polyscore.shapes.render.lights import Lambert
from polyscore.shapes.render.rasterise import Fragments, interpolate, rasterise, scan
from polyscore.shapes.render.silhouette import silhouette
from polyscore.shapes.render.splats import Splats, Splatted, splat

__all__ = [
    "Camera",
    "Fragments",
    "Lambert",
    "Matrices",
    "Orthographic",
    "Perspective",
    "Projection",
    "Rays",
    "Size",
    "Splats",
    "Splatted",
    "Surface",
    "draw",
    "from_opencv",
    "interpolate",
    "normal_map",
    "opencv",
    "orbit",
    "over",
    "pytorch3d",
    "rasterise",
    "scan",
    "silhouette",
    "splat",
    "surface_of",
]
