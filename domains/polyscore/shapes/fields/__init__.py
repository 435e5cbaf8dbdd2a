"""Fields of density and colour: a voxel grid, three planes, a hash grid, a signed distance."""

from polyscore.shapes.fields.base import SURFACE, RadianceField
from polyscore.shapes.fields.hashgrid import HashField
from polyscore.shapes.fields.sdf import SdfField
from polyscore.shapes.fields.triplane import TriplaneField
from polyscore.shapes.fields.voxel import VoxelField

__all__ = ["SURFACE", "HashField", "RadianceField", "SdfField", "TriplaneField", "VoxelField"]
