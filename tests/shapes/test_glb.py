"""The bytes of a GLB, read by the rules of glTF 2.0 and by nothing of ours: header, chunks, accessors, material, the box."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyscore.shapes.mesh import bake, mesh_bytes, paint, unit_box

trimesh = pytest.importorskip("trimesh")
TYPES = {5121: np.uint8, 5125: np.uint32, 5126: np.float32}
WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


def opened(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk."""
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack("<I4s", data[12:20])
    assert kind == b"JSON"
    assert size % 4 == 0
    rest = data[20 + size :]
    binary, second = struct.unpack("<I4s", rest[:8])
    assert second == b"BIN\0"
    assert binary == len(rest) - 8
    assert binary % 4 == 0
    return json.loads(data[20 : 20 + size]), rest[8:]


def numbers(tree: dict[str, Any], binary: bytes, index: int) -> NDArray[Any]:
    """The values of an accessor, which lie inside its view and between its bounds."""
    accessor = tree["accessors"][index]
    view = tree["bufferViews"][accessor["bufferView"]]
    kind, width = np.dtype(TYPES[accessor["componentType"]]), WIDTH[accessor["type"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    size = accessor["count"] * width * kind.itemsize
    assert start % kind.itemsize == 0
    assert accessor.get("byteOffset", 0) + size <= view["byteLength"]
    assert view.get("byteOffset", 0) + view["byteLength"] <= tree["buffers"][view["buffer"]]["byteLength"]
    found = np.frombuffer(binary, kind, accessor["count"] * width, start).reshape(-1, width)
    if "min" in accessor:
        assert np.allclose(found.min(0), accessor["min"])
        assert np.allclose(found.max(0), accessor["max"])
    return found


def tint(points: Tensor) -> Tensor:
    return (points + 0.5).clamp(0, 1)


@pytest.mark.parametrize("texture", [0, 64])
def test_a_glb_is_what_the_format_says(texture: int) -> None:
    tower = trimesh.creation.box(extents=(0.3, 2.0, 0.5)).subdivide()
    mesh = bake(tower, tint, texture, roughness=0.3) if texture else paint(tower, tint, metallic=0.8, roughness=0.3)
    tree, binary = opened(mesh_bytes(unit_box(mesh), ".glb"))
    assert tree["asset"]["version"] == "2.0"
    assert tree["scenes"][tree["scene"]]["nodes"] == [0]
    assert "matrix" not in tree["nodes"][0]  # the box is that of the vertices themselves
    [primitive] = tree["meshes"][tree["nodes"][0]["mesh"]]["primitives"]
    assert primitive.get("mode", 4) == 4
    places = numbers(tree, binary, primitive["attributes"]["POSITION"])
    assert "min" in tree["accessors"][primitive["attributes"]["POSITION"]]  # the format asks for them there
    assert np.allclose([places.min(0), places.max(0)], [[-0.075, -0.5, -0.125], [0.075, 0.5, 0.125]], atol=1e-6)  # y is up
    faces = numbers(tree, binary, primitive["indices"]).reshape(-1, 3)
    assert faces.max() < len(places)
    corners = places[faces].astype(np.float64)
    assert np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6 == pytest.approx(0.0375)
    normals = numbers(tree, binary, primitive["attributes"]["NORMAL"])
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    material = tree["materials"][primitive["material"]]["pbrMetallicRoughness"]
    assert material["roughnessFactor"] == 0.3
    if texture:
        assert material["metallicFactor"] == 0.0
        uv = numbers(tree, binary, primitive["attributes"]["TEXCOORD_0"])
        assert uv.min() >= 0
        assert uv.max() <= 1
        image = tree["images"][tree["textures"][material["baseColorTexture"]["index"]]["source"]]
        view = tree["bufferViews"][image["bufferView"]]
        assert image["mimeType"] == "image/png"
        assert binary[view["byteOffset"] :][:8] == b"\x89PNG\r\n\x1a\n"
    else:
        assert material["metallicFactor"] == 0.8
        colours = numbers(tree, binary, primitive["attributes"]["COLOR_0"])[:, :3] / 255
        shown = tint(torch.from_numpy(places.copy()) * 2).numpy()  # unit_box halved the tower
        linear = np.where(shown > 0.04045, ((shown + 0.055) / 1.055) ** 2.4, shown / 12.92)  # the format's colours are light
        assert np.allclose(colours, linear, atol=0.01)
