"""Meshes and clouds that are none, to every verb that reads them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from tests.robustness.hostile import Case, Shelf, attack, cases
from tests.robustness.hostile_files import (
    ABSENT,
    BINARY,
    DANGLING,
    DEEP_JSON,
    FOLDER,
    LOOP,
    cut,
    lying_npy,
    lying_npz,
    npy,
    npz,
    object_npy,
    object_npz,
    pickled,
    zip_bomb,
)
from tests.robustness.hostile_shelf import mesh

pytest.importorskip("trimesh")


def ply(vertices: str, faces: str, *, count: int | None = None) -> str:
    rows, corners = vertices.split("\n"), faces.split("\n")
    head = f"ply\nformat ascii 1.0\nelement vertex {len(rows) if count is None else count}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz")
    head += f"element face {len(corners)}\nproperty list uchar int vertex_indices\nend_header\n"
    return f"{head}{vertices}\n{faces}\n"


def binary_ply(count: int) -> bytes:
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n"
    return (head + "".join(f"property float {axis}\n" for axis in "xyz") + "end_header\n").encode() + bytes(36)


def glb(tree: object, length: int | None = None) -> bytes:
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    size = 20 + len(text) if length is None else length
    return b"glTF" + struct.pack("<II", 2, size) + struct.pack("<I", len(text)) + b"JSON" + text


CORNERS = "0 0 0\n1 0 0\n0 1 0"
TREE = {
    "asset": {"version": "2.0"},
    "scene": 0,
    "scenes": [{"nodes": [0]}],
    "nodes": [{"mesh": 0}],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    "accessors": [{"bufferView": 0, "componentType": 5126, "count": 10**12, "type": "VEC3"}],
    "bufferViews": [{"buffer": 0, "byteLength": 10**12}],
    "buffers": [{"byteLength": 10**12}],
}
MESHES = [
    ("empty.ply", b"", "cannot be read as PLY"),
    ("text.ply", "no mesh", "cannot be read as PLY"),
    ("binary.stl", BINARY, "no triangles|no points"),
    ("pickle.obj", pickled(), "cannot be read as OBJ|no triangles|no points"),
    ("nan.ply", ply("nan 0 0\n1 0 0\n0 1 0", "3 0 1 2"), "finite"),
    ("infinite.ply", ply("inf 0 0\n1 0 0\n0 1 0", "3 0 1 2"), "finite"),
    ("beyond.ply", ply(CORNERS, "3 0 1 7"), "vertices that it does not have|cannot be read"),
    ("before.ply", ply(CORNERS, "3 0 1 -1"), "vertices that it does not have|cannot be read"),
    ("lying.ply", ply(CORNERS, "3 0 1 2", count=10**12), "cannot be read as PLY|no triangles"),
    ("lying-binary.ply", binary_ply(10**12), "cannot be read as PLY"),
    ("cut.glb", cut(mesh), "cannot be read as GLB"),
    ("cut.stl", cut(mesh, 0.4), "no triangles|no points"),
    ("lying.stl", bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(100), "no triangles|no points"),
    ("lying.glb", glb({"asset": {"version": "2.0"}}, 2**32 - 1), "cannot be read as GLB|no triangles|no points"),
    ("huge-buffer.glb", glb(TREE), "cannot be read as GLB"),
    ("deep.glb", glb(DEEP_JSON.encode()), "cannot be read as GLB"),
    ("beyond.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "vertices that it does not have|cannot be read"),
    ("nan.off", "OFF\n3 1 0\nnan 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "finite|cannot be read"),
    ("lying.off", "OFF\n1000000000000 1 0\n0 0 0\n", "cannot be read as OFF"),
    ("model.fbx", BINARY, "a suffix .fbx; expected"),
    ("folder.ply", FOLDER, "no such file"),
    ("dangling.ply", DANGLING, "no such file"),
    ("loop.ply", LOOP, "no such file"),
    ("p" * 300 + ".ply", ABSENT, "too long"),
]


@pytest.mark.parametrize("case", cases("mesh check {bad} {ply} --quiet", MESHES))
def test_mesh(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


FLAT = ply("0 0 0\n1 0 0\n2 0 0", "3 0 1 2")
CLOUDS = [
    *MESHES,
    ("flat.ply", FLAT, "without area"),
    ("two-points.xyz", "0 0 0\n1 1 1\n", "at least 3"),
    ("words.xyz", "a b c\n", "cannot be read as XYZ"),
    ("ragged.xyz", "0 0 0\n1 1\n2 2 2\n", "cannot be read as XYZ"),
    ("nan.xyz", "0 0 0\n1 nan 1\n2 2 2\n3 3 1\n", "finite"),
    ("binary.csv", BINARY, "cannot be read as CSV"),
    ("empty.npy", b"", "cannot be read as NPY"),
    ("object.npy", object_npy(), "cannot be read as NPY"),
    ("pickle.npy", pickled(), "cannot be read as NPY"),
    ("lying.npy", lying_npy(), "cannot be read as NPY"),
    ("lying.npz", lying_npz("points"), "cannot be read as NPZ"),
    ("bomb.npz", zip_bomb("points"), "cannot be read as NPZ"),
    ("object.npz", object_npz("points"), "cannot be read as NPZ"),
    ("text.npy", npy(np.array([["a", "b", "c"]] * 4)), "numbers|cannot be read"),
    ("other.npz", npz(other=np.zeros((4, 3))), "expected an array `points`"),
    ("wide.npy", npy(np.zeros((4, 9))), "expected rows of 3 numbers"),
]


@pytest.mark.parametrize(
    "case", [*cases("register {bad} {ply} -o {out} --points 64 --quiet", CLOUDS), *cases("pose {bad} -o {out}", CLOUDS[:4])]
)
def test_register(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


OTHERS = [row for row in CLOUDS if row[0] in ("nan.ply", "lying.glb", "empty.ply", "dangling.ply")]


@pytest.mark.parametrize(
    "case",
    [
        *cases("points chair -n 1 --steps 1 --points 16 -o {out} --paint {bad}", OTHERS),
        *cases("shape 'a red chair' -o {out} --sketch {bad}", OTHERS),
        *cases("shape 'a red chair' -o {out} --paint {bad}", OTHERS),
        *cases("register {ply} {bad} -o {out} --points 64", OTHERS),
        *cases("mesh show {bad} -o {out}", OTHERS),
    ],
)
def test_what_else_reads_them(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


SETS = [
    ("empty.npy", b"", r"cannot be read .*expected an array \(S, N, 3\)"),
    ("object.npy", object_npy(), "cannot be read"),
    ("lying.npy", lying_npy((10**9, 2048, 3)), "cannot be read"),
    ("lying.npz", lying_npz("xyz"), "cannot be read"),
    ("cut.npz", npz(xyz=np.zeros((4, 40, 3)))[:200], "cannot be read"),
    ("bomb.npz", zip_bomb("xyz"), "cannot be read"),
    ("flat.npy", npy(np.zeros((40, 3))), r"expected numbers of clouds \(S, N, 3\)"),
    ("words.npy", npy(np.full((2, 40, 3), "a")), "numbers"),
    ("nan.npy", npy(np.full((2, 40, 3), np.nan)), "finite numbers"),
    ("few.npy", npy(np.zeros((2, 8, 3))), "16 or more points"),
    ("none.npy", npy(np.zeros((0, 40, 3))), "holds no clouds"),
    ("text.hdf5", "no such thing", "cannot be read as HDF5"),
    ("cut.hdf5", b"\x89HDF\r\n\x1a\n" + bytes(40), "cannot be read as HDF5"),
    ("empty", FOLDER, "holds no clouds"),
    ("dangling.npy", DANGLING, "cannot be read|no set of clouds"),
]


@pytest.mark.parametrize("case", cases("evaluate points {bad} {clouds} --points 16 --no-emd --quiet", SETS))
def test_evaluate(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if case.name.endswith("hdf5"):
        pytest.importorskip("h5py")
    attack(case, shelf, tmp_path, capfd)


ARRAYS = [
    ("empty.npy", b"", "cannot be read as .npy, .npz or .safetensors"),
    ("object.npy", object_npy(), "cannot be read as"),
    ("pickle.npy", pickled(), "cannot be read as"),
    ("lying.npy", lying_npy(), "cannot be read as"),
    ("cut.npz", npz(x=np.zeros((40, 3)))[:200], "cannot be read as"),
    ("lying.npz", lying_npz("x"), "cannot be read as"),
    ("bomb.npz", zip_bomb("x"), "cannot be read as"),
    ("text.safetensors", "no tensors", "cannot be read as"),
    ("lying.safetensors", struct.pack("<Q", 2**62) + b"{}", "cannot be read as"),
    ("two.npz", npz(a=np.zeros(3), b=np.zeros(3)), "name one of them with --key"),
    ("words.npy", npy(np.array(["a", "b"])), "expected numbers"),
    ("number.npy", npy(3.0), "expected numbers"),
    ("one.npy", npy(np.zeros((1, 3))), "at least|expected"),
    ("none.npy", npy(np.zeros((0, 3))), "expected|at least"),
    ("nan.npy", npy(np.full((12, 3), np.nan)), "finite"),
    ("wide.npy", npy(np.zeros((12, 4))), "3|width"),
    ("empty", FOLDER, "holds no picture"),
    ("dangling.npy", DANGLING, "cannot be read as"),
    ("x" * 300 + ".npy", ABSENT, "too long"),
]


def pictures(path: Path) -> None:
    path.mkdir()
    (path / "a.png").write_bytes(b"\x89PNG no picture")


@pytest.mark.parametrize(
    "case",
    [
        *cases(
            "evaluate samples {bad} --reference {samples} --quiet",
            [*ARRAYS, ("pictures", pictures, "a.png: cannot be read as a picture")],
        ),
        *cases("evaluate samples {samples} --reference {samples} --embed {bad}", [("mod:f", b"", "expected MODULE:FUNCTION")]),
    ],
)
def test_samples(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)
