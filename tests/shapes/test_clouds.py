"""Files of clouds, sets of clouds, clouds of solids, and the scores of the command."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from polyscore.cli.main import main
from polyscore.errors import InputError
from polyscore.shapes.cloud_pictures import draw_cloud
from polyscore.shapes.data.cloud_files import read_cloud, write_cloud
from polyscore.shapes.data.cloud_sets import from_pyg, normalised, read_clouds
from polyscore.shapes.data.procedural import draw
from polyscore.shapes.data.procedural_clouds import ColouredClouds, clouds_of

trimesh = pytest.importorskip("trimesh")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 3)).astype(np.float32)
    n = x / np.linalg.norm(x, axis=-1, keepdims=True)
    c = rng.integers(0, 256, (20, 3)) / 255
    found = read_cloud(write_cloud(tmp_path / "a.ply", x, normals=n, colours=c))
    assert found.normals is not None and found.colours is not None and not found.sampled
    assert np.array_equal(found.points, x) and np.allclose(found.normals, n, atol=1e-6) and np.allclose(found.colours, c)
    plain = read_cloud(write_cloud(tmp_path / "b.npy", x, normals=n))
    assert np.array_equal(plain.points, x) and plain.normals is not None
    np.savez(tmp_path / "c.npz", points=x, normals=2 * n)
    assert np.allclose(np.linalg.norm(read_cloud(tmp_path / "c.npz").normals, axis=-1), 1)  # type: ignore[arg-type]
    (tmp_path / "d.pts").write_text("20\n" + "\n".join(" ".join(map(str, row)) for row in x.tolist()))
    assert np.allclose(read_cloud(tmp_path / "d.pts").points, x)


@pytest.mark.parametrize("kind", ["obj", "stl", "off", "ply", "glb"])
def test_a_mesh_is_sampled_on_its_surface_with_its_normals(tmp_path: Path, kind: str) -> None:
    trimesh.creation.box((2.0, 4.0, 6.0)).export(tmp_path / f"box.{kind}")
    found = read_cloud(tmp_path / f"box.{kind}", points=3000)
    assert found.sampled and found.points.shape == (3000, 3) and found.normals is not None
    share = np.abs(found.points) / np.array([1.0, 2.0, 3.0])
    assert np.allclose(share.max(1), 1, atol=1e-6)
    assert np.allclose(np.abs(found.normals).max(1), 1) and np.array_equal(np.abs(found.normals).argmax(1), share.argmax(1))
    by_axis = np.bincount(share.argmax(1), minlength=3) / 3000  # the areas are as 24 : 12 : 8
    assert np.allclose(by_axis, np.array([24, 12, 8]) / 44, atol=0.03)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.ply", None, "no such file"),
        ("a.doc", b"x", "a suffix .doc"),
        ("a.xyz", b"1 2 3\nnan 1 1\n4 4 4\n", "1 of 3 points are not finite"),
        ("b.xyz", b"1 2 3\n4 5 6\n", r"points of shape \(2, 3\)"),
        ("c.npy", b"\x93NUMPY broken", "cannot be read as NPY"),
        ("d.ply", b"ply\nformat ascii 1.0\nelement vertex 9\n", "cannot be read as PLY|holds no points"),
        ("e.xyz", b"a b c\n", "cannot be read as XYZ"),
    ],
)
def test_files_that_hold_no_cloud(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_cloud(tmp_path / name)


def test_sets_in_the_forms_of_the_field(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    x = torch.randn(3, 40, 3).numpy()
    with h5py.File(tmp_path / "shapenet.hdf5", "w") as file:
        file["03001627/test"], file["02691156/test"] = x, x[:1]
    assert len(read_clouds(tmp_path / "shapenet.hdf5", points=40)) == 4
    chairs = read_clouds(tmp_path / "shapenet.hdf5", points=40, category="03001627")
    assert torch.equal(chairs, torch.from_numpy(x))
    for split in ("train", "test"):
        (tmp_path / "pc15k" / "03001627" / split).mkdir(parents=True)
        np.save(tmp_path / "pc15k" / "03001627" / split / "a.npy", x[0] if split == "test" else x[1])
        (tmp_path / "modelnet" / "chair" / split).mkdir(parents=True)
        trimesh.creation.icosphere(2, 1.0 if split == "test" else 5.0).export(tmp_path / "modelnet" / "chair" / split / "c.off")
    found = read_clouds(tmp_path / "pc15k", points=30, category="03001627", split="train")
    assert found.shape == (1, 30, 3) and bool((torch.cdist(found[0], torch.from_numpy(x[1])).amin(1) < 2e-3).all())
    assert float(read_clouds(tmp_path / "modelnet", points=50).norm(dim=-1).max()) < 1.01
    np.savez(tmp_path / "clouds.npz", xyz=x)
    assert torch.equal(read_clouds(tmp_path / "clouds.npz", points=40, count=2), torch.from_numpy(x[:2]))
    (tmp_path / "mixed" / "deep").mkdir(parents=True)
    trimesh.creation.box((2.0, 2.0, 2.0)).export(tmp_path / "mixed" / "b.stl")
    np.save(tmp_path / "mixed" / "deep" / "a.npy", x[0])
    (tmp_path / "mixed" / "notes.md").write_text("not a cloud")
    mixed = read_clouds(tmp_path / "mixed", points=40)
    assert torch.allclose(mixed[0].abs().amax(-1), torch.ones(40)) and torch.equal(mixed[1], torch.from_numpy(x[0]))


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("small.npy", {"points": 50}, "expected 50 or more points"),
        ("nan.npy", {}, "cloud 1: 1 of 9 points are not finite"),
        ("small.npy", {"category": "chair"}, "has no categories"),
        ("procedural:dragon", {}, "of kind 'dragon'"),
        ("broken.hdf5", {}, "cannot be read as HDF5"),
        ("set.hdf5", {"category": "chair"}, "has no chair/test; it holds 02691156"),
        ("broken.npz", {}, "cannot be read"),
        ("objects.npy", {}, "Python objects"),
        ("empty", {}, "holds no clouds"),
        ("set.doc", {}, "no set of clouds"),
    ],
)
def test_sets_that_cannot_be_read(tmp_path: Path, name: str, asked: dict[str, Any], message: str) -> None:
    h5py = pytest.importorskip("h5py")
    x = np.random.default_rng(0).standard_normal((2, 9, 3))
    np.save(tmp_path / "small.npy", x)
    x[1, 4, 2] = np.inf
    np.save(tmp_path / "nan.npy", x)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for broken in ("broken.hdf5", "broken.npz"):
        (tmp_path / broken).write_bytes(b"PK\x03\x04 cut off")
    with h5py.File(tmp_path / "set.hdf5", "w") as file:
        file["02691156/test"] = x
    (tmp_path / "empty").mkdir()
    place = name if ":" in name else tmp_path / name
    with pytest.raises(InputError, match=message):
        read_clouds(place, **{"points": 9, **asked})


def test_sets_of_pytorch_geometric() -> None:
    x = torch.randn(30, 3)
    sphere = trimesh.creation.icosphere(2)
    mesh = SimpleNamespace(pos=torch.tensor(sphere.vertices).float(), face=torch.tensor(sphere.faces.T.copy()))
    found = from_pyg([SimpleNamespace(pos=x), mesh], points=30)  # their `Data` have these attributes
    assert torch.equal(found[0].sort(0).values, x.sort(0).values)
    assert 0.9 < float(found[1].norm(dim=-1).min()) <= 1.0001


def test_scales_do_what_they_say() -> None:
    x = torch.randn(2, 100, 3) * torch.tensor([1.0, 4.0, 2.0]) + 7
    box, unit = normalised(x, "bbox"), normalised(x, "unit")
    torch.testing.assert_close(box.amax(1), -box.amin(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(box.abs().amax((1, 2)), torch.ones(2))
    torch.testing.assert_close(unit.mean(1), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(unit.flatten(1).square().mean(1), torch.ones(2))
    assert normalised(x, "none") is x


def test_clouds_of_solids_lie_on_them_evenly() -> None:
    solids = draw("house", 1, seed=3)
    cloud = clouds_of(solids, 3000, seed=1)
    owner = torch.zeros(3000, dtype=torch.long)
    assert float(solids.distance(cloud.points[0], owner).abs().max()) < 2e-3
    torch.testing.assert_close(cloud.normals.norm(dim=-1), torch.ones(1, 3000))
    assert torch.equal(clouds_of(solids, 3000, seed=1).points, cloud.points)
    assert float(cloud.normals[0].mean(0).norm()) < 0.05  # a closed surface has no net normal
    with pytest.raises(InputError, match="0 points"):
        clouds_of(solids, 0)


def test_coloured_examples_are_of_their_epoch_and_index() -> None:
    data = ColouredClouds(1, 64, 32, seed=0)
    first = data.__getitems__([3, 7])
    again = data.__getitems__([3, 7])
    assert torch.equal(first["x0"], again["x0"]) and first["cond"]["labels"][:, 0].tolist() == [3, 7]
    data.epoch = 1
    assert not torch.equal(data.__getitems__([3, 7])["x0"], first["x0"])
    near = torch.cdist(first["x0"].abs(), data.clouds[[3, 7]].abs()).amin(-1)  # a choice of the points, up to the mirror
    assert float(near.max()) < 2e-3 and 0 <= float(first["cond"]["rgb"].min()) <= float(first["cond"]["rgb"].max()) <= 1


def test_a_picture_shows_the_near_point_where_two_lie_in_line() -> None:
    line = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    colours = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    frame = np.array([[-1.0, -1, -1], [1, 1, 1]])
    picture = draw_cloud(line, colours, size=65, side=(0.0, 0.0), frame=frame, radius=0.03)
    assert picture[32, 32].argmax() == 1 and picture[32, 32, 0] == 0  # the camera looks from +z
    assert picture[32, 50].argmax() == 2 and picture[0, 0].tolist() == [255, 255, 255]


def test_the_command_scores_clouds_and_the_floor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_from = torch.Generator().manual_seed(0)
    sets = {}
    for name, stretch in (("real", (1.0, 1.0, 1.0)), ("drawn", (1.0, 1.0, 1.0)), ("far", (1.0, 0.1, 0.1))):
        sets[name] = torch.randn(8, 64, 3, generator=draw_from) * torch.tensor(stretch)
        np.save(tmp_path / f"{name}.npy", sets[name].numpy())
    found = {}
    for name in ("drawn", "far"):
        sets_of = [str(tmp_path / f"{name}.npy"), str(tmp_path / "real.npy")]
        assert main(["evaluate", "points", *sets_of, "--points", "64", "--report", str(tmp_path / "r.json"), "--quiet"]) == 0
        found[name] = json.loads((tmp_path / "r.json").read_text())["metrics"]
    assert found["far"]["scores"]["1-NNA-CD"] == 1.0 and found["drawn"]["scores"]["1-NNA-CD"] < 0.9
    assert found["far"]["scores"]["MMD-EMD"] > 1.2 * found["drawn"]["scores"]["MMD-EMD"]
    assert found["drawn"]["floor_clouds"] == 4 and found["drawn"]["scale"] == "bbox"
    assert all(0 <= found[name][part]["JSD"] <= 1 for name in found for part in ("scores", "floor"))
    np.save(tmp_path / "one.npy", sets["real"][:1].numpy())
    few = ["evaluate", "points", str(tmp_path / "real.npy"), str(tmp_path / "one.npy"), "--points", "64", "--no-emd", "--quiet"]
    assert main(few) == 2 and "no halves" in capsys.readouterr().err
    assert main([*few, "--floor", str(tmp_path / "drawn.npy")]) == 0
