"""From views to a body: voxels of meshes, hulls, hidden places, colours, and the engines on a prior that knows the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Prediction
from polyscore.errors import CheckpointError, InputError
from polyscore.processes import Cosine
from polyscore.shapes.data.procedural import Solids, draw, grid_points
from polyscore.shapes.data.procedural_views import views
from polyscore.shapes.engine_table import ENGINES, engine
from polyscore.shapes.engines import (
    Consistent,
    Distill,
    OpaqueBody,
    Request,
    Sketch,
    body_field,
    fitted,
    last,
    mesh_of,
    voxelise,
)
from polyscore.shapes.engines.colour import carry_back
from polyscore.shapes.engines.fit import Fit, camera_of
from polyscore.shapes.engines.hull import hull
from polyscore.shapes.engines.opaque import calm, hidden, level_of
from polyscore.shapes.fields import SdfField, VoxelField
from polyscore.shapes.finishes import FINISHES
from polyscore.shapes.pictures import picture, rig
from polyscore.shapes.text import TextToShape
from polyscore.shapes.words import Words, palette, parse
from polyscore.state import Given

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("skimage")

EXTENT = 1.5


class Knowing(nn.Module):
    """A denoiser that has one solid in mind, and shows it from every camera it is told."""

    def __init__(self, solids: Solids, words: Words) -> None:
        super().__init__()
        self.solids, self.words, self.process = solids, words, Cosine(alpha_min=0.03)
        self.nothing = nn.Parameter(torch.zeros(()))

    def pictures(self, cameras: Tensor, size: int) -> Tensor:
        seen = views(self.solids, camera_of(cameras, EXTENT), size)
        assert self.words.colour is not None
        return picture(seen.coverage[0], palette(self.words.colour)[seen.paint[0]], seen.normals[0], self.words.finish)

    def forward(self, x: Tensor, t: Any, given: Given) -> Prediction:
        return Prediction(torch.stack([self.pictures(each, x.shape[-1]) for each in given.cond["cameras"]]).to(x))


def overlap(one: Tensor, other: Tensor) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_voxels_of_a_mesh_are_those_of_its_formula() -> None:
    box = trimesh.creation.box(extents=(0.5, 0.7, 0.31))
    inside = torch.from_numpy(voxelise(box.vertices, box.faces, 20))
    centres = grid_points(20).abs()
    assert torch.equal(inside, (centres < torch.tensor([0.25, 0.35, 0.155])).all(-1))
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.4)
    assert overlap(torch.from_numpy(voxelise(ball.vertices, ball.faces, 24)), grid_points(24).norm(dim=-1) < 0.4) > 0.98
    two = trimesh.util.concatenate([box, box.copy().apply_translation((0.1, 0.0, 0.0))])  # bodies that overlap are united
    both = torch.from_numpy(voxelise(two.vertices, two.faces, 20))
    across = (grid_points(20)[..., 0] - 0.05).abs() < 0.3
    assert torch.equal(both, (centres[..., 1:] < torch.tensor([0.35, 0.155])).all(-1) & across)
    assert np.allclose(fitted(two).bounds, [[-0.4114, -0.48, -0.2126], [0.4114, 0.48, 0.2126]], atol=1e-3)


def test_the_hull_of_silhouettes_is_the_ball_that_made_them() -> None:
    angles = torch.cat([rig(torch.tensor([10.0 * k]), torch.tensor([-50.0 + 25 * k]), 4)[0] for k in range(5)])
    line = (torch.arange(32) + 0.5) / 32 * EXTENT - EXTENT / 2
    disc = ((0.35 - (line[None] ** 2 + line[:, None] ** 2).sqrt()) / (EXTENT / 32) + 0.5).clamp(0, 1)
    h = hull(camera_of(angles, EXTENT), disc.expand(len(angles), 32, 32), 24)
    assert overlap(h > 0.5, grid_points(24).norm(dim=-1) < 0.35) > 0.9


def test_what_no_camera_sees_is_inside_however_thin_the_shell() -> None:
    """A shell of density around nothing: its level sets are hollow, its body is the ball."""
    field = VoxelField(24)
    radius = grid_points(24).norm(dim=-1)
    with torch.no_grad():
        field.raw.copy_(torch.where((radius - 0.32).abs() < 0.05, field.raw_at(60.0), 0.0)[None, None])
    values = hidden(field, 24)
    assert overlap(values > 0, radius < 0.37) > 0.9
    assert float(values[12, 12, 12]) > 0.45
    assert float(level_of(values)(torch.tensor([[0.0, 0.0, 0.0]]))) > 0.45
    assert float(level_of(values)(torch.tensor([[0.45, 0.45, 0.45]]))) < -0.14


def test_blurring_takes_crinkles_and_leaves_planes_and_legs() -> None:
    x, y, z = grid_points(32).unbind(-1)
    plane = calm(0.9 * (0.11 - x))
    assert torch.equal(plane[16, 16] > 0, x[16, 16] < 0.11)
    assert torch.allclose(plane[16, 16, 12:24], (0.9 * (0.11 - x))[16, 16, 12:24].clamp(-0.15, 0.15), atol=0.02)
    speck = torch.full((32, 32, 32), -0.15)
    speck[16, 16, 16] = 0.75
    assert (calm(speck) < 0).all()
    leg = torch.where((x.abs() < 0.07) & (z.abs() < 0.07), 0.75, -0.15)  # four voxels across
    assert (calm(leg)[16, :, 16] > 0).all()


def test_a_field_of_distances_and_its_mesh_agree() -> None:
    mesh = mesh_of(SdfField(24, beta=0.004, radius=0.3), resolution=32)
    assert mesh.is_watertight
    assert abs((mesh.volume * 3 / (4 * np.pi)) ** (1 / 3) - 0.3) < 0.5 / 32  # to half a voxel


def test_colours_come_back_from_shaded_pictures() -> None:
    solids, words = draw("mushroom", 1, seed=1), parse("a glossy red mushroom")
    angles = rig(torch.tensor([0.0, 45.0]), torch.tensor([20.0, -10.0]), 4).flatten(0, 1)
    field = VoxelField(24)
    inside = solids.occupancy(24)[0]
    with torch.no_grad():
        field.raw.copy_(torch.where(inside, field.raw_at(150.0), 0.0)[None, None])
    carry_back(field, camera_of(angles, EXTENT), Knowing(solids, words).pictures(angles, 32), words.finish)
    surface = inside & ~(-torch.nn.functional.max_pool3d(-inside[None].float(), 3, 1, 1)[0] > 0)
    points = grid_points(24)[surface]
    _, paint = solids.surface(points, torch.zeros(len(points), dtype=torch.long))
    error = (field.colour(points) - palette("red")[paint]).abs().amax(1)
    assert float(error.detach().median()) < 0.12
    everywhere = field.colour(grid_points(24).reshape(-1, 3))
    assert torch.isfinite(everywhere).all()


def test_a_sketch_pulls_the_density_to_its_body() -> None:
    sketch = Sketch.of(trimesh.creation.icosphere(subdivisions=3, radius=0.35), size=16)
    full, empty = VoxelField(16), VoxelField(16)
    with torch.no_grad():
        full.raw.copy_(torch.where(sketch.inside > 0, full.raw_at(80.0), 0.0)[None, None])
    assert float(sketch.loss(full)) < 0.1 * float(sketch.loss(empty))
    loss = sketch.loss(empty)
    loss.backward()  # type: ignore[no-untyped-call]
    assert empty.raw.grad is not None
    assert float(empty.raw.grad[0, 0, 8, 8, 8]) < 0  # denser in the middle
    assert float(sketch.share[0, 0, 0]) > 0.99
    assert float(sketch.share.min()) < 0.1  # near the surface it is free
    with pytest.raises(InputError, match="looseness 0"):
        Sketch.of(trimesh.creation.box(), looseness=0.0)


def test_a_mesh_becomes_a_field_with_its_surface() -> None:
    mesh = fitted(trimesh.creation.cylinder(radius=0.3, height=0.8))
    field = body_field(mesh, size=32)
    inside = torch.from_numpy(voxelise(mesh.vertices, mesh.faces, 32))
    assert overlap(field.inside(grid_points(32).reshape(-1, 3)).view(32, 32, 32) > 0, inside) > 0.97


@pytest.mark.parametrize(
    "engine",
    [
        Consistent(steps=4, elevations=(15.0, 40.0), coarse=16, fine=24, fits=10, last=20),
        Distill(geometry=50, colour=6, sizes=(16, 24)),
    ],
    ids=["consistent", "distill"],
)
def test_an_engine_finds_the_body_that_the_prior_has_in_mind(engine: Any) -> None:
    words = parse("a matte blue house")
    solids = draw("house", 1, seed=3)
    prior = TextToShape(Knowing(solids, words), 24, extent=EXTENT)
    frames = list(engine.frames(prior, Request(words, 1)))
    assert abs(len(frames) - engine.length) <= 2
    body = hidden(frames[-1].body.field, 24) > 0
    truth = solids.occupancy(24)[0]
    assert overlap(body, truth) > 0.6
    surface = body & ~(-torch.nn.functional.max_pool3d(-body[None].float(), 3, 1, 1)[0] > 0)
    mean = frames[-1].body.field.colour(grid_points(24)[surface]).mean(0)
    assert int(mean.argmax()) == 2
    again: Any = last(engine.frames(prior, Request(words, 1))).body
    assert torch.equal(again.field.raw, frames[-1].body.field.raw)  # bit for bit


def test_painting_keeps_the_geometry() -> None:
    words = parse("a green mushroom")
    solids = draw("mushroom", 1, seed=1)
    mesh = fitted(trimesh.creation.icosphere(subdivisions=3))
    engine = Consistent(steps=2, elevations=(15.0,), coarse=16, fine=24, fits=1, last=1)
    found = last(engine.frames(TextToShape(Knowing(solids, words), 24), Request(words, paint=mesh))).body
    assert isinstance(found, OpaqueBody)
    assert torch.equal(cast("VoxelField", found.field).raw, body_field(mesh, size=24).raw)
    assert int(found.colour(torch.tensor([[0.0, 0.45, 0.05]])).argmax()) == 1


def test_requests_that_contradict_themselves() -> None:
    with pytest.raises(InputError, match="'matte chair' names no colour; expected one of red"):
        Request(parse("a chair"))
    mesh = fitted(trimesh.creation.box())
    with pytest.raises(InputError, match="a sketch changes the geometry and painting keeps it"):
        Request(parse("red chair"), sketch=mesh, paint=mesh)
    with pytest.raises(InputError, match="expected at least one step of each kind and one rig"):
        Consistent(elevations=())
    with pytest.raises(InputError, match="expected steps of both stages"):
        Distill(colour=0)


def test_fitting_moves_towards_pictures() -> None:
    solids, words = draw("tree", 1, seed=0), parse("a red tree")
    angles = rig(torch.tensor([0.0]), torch.tensor([10.0]), 4)[0]
    wanted = Knowing(solids, words).pictures(angles, 16)
    fit = Fit(VoxelField(12), FINISHES[0], 16, EXTENT, torch.Generator().manual_seed(0))
    before = float((fit.pictures(angles) - wanted).square().mean())
    fit.inside(angles, wanted)
    fit.to(angles, wanted, 15)
    assert float((fit.pictures(angles) - wanted).square().mean()) < 0.4 * before


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, report, determinism and errors, on a prior that knows the answer and an engine that is short."""
    from polyscore.cli import shape
    from polyscore.cli.main import main
    from polyscore.shapes import engine_table

    words = parse("a red house")
    prior = TextToShape(Knowing(draw("house", 1, seed=0), words), 16, extent=EXTENT)
    monkeypatch.setattr(TextToShape, "from_pretrained", classmethod(lambda cls, name, device: prior))
    short = Consistent(steps=2, elevations=(15.0, 40.0), coarse=12, fine=16, fits=8, last=10)
    monkeypatch.setattr(engine_table, "engine", lambda name, **settings: short)
    monkeypatch.setattr(shape, "_RESOLUTION", 24)
    monkeypatch.setattr(shape, "_TURNTABLE", {"frames": 3, "size": 32})
    assert main(["shape", "a red house", "-o", str(tmp_path / "one"), "--faces", "1000"]) == 0
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {"shape.glb", "turntable.gif", "views.png", "viewer.html", "report.json"}
    [item] = json.loads((tmp_path / "one" / "report.json").read_text())["items"]
    assert item["watertight"] is True
    assert item["bodies"] == 1
    assert main(["shape", "a red house", "-o", str(tmp_path / "two"), "--faces", "1000", "--no-pictures", "--quiet"]) == 0
    assert (tmp_path / "one" / "shape.glb").read_bytes() == (tmp_path / "two" / "shape.glb").read_bytes()
    capsys.readouterr()
    assert main(["shape", "a red dragon", "-o", str(tmp_path / "three")]) == 2
    assert "the word 'dragon' is not known" in capsys.readouterr().err
    assert not (tmp_path / "three").exists()
    open_mesh = tmp_path / "open.obj"
    open_mesh.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert main(["shape", "a red house", "-o", str(tmp_path / "four"), "--sketch", str(open_mesh)]) == 2
    assert "the mesh is not closed" in capsys.readouterr().err


def test_every_engine_of_the_table_is_one() -> None:
    for name in ENGINES:
        made = engine(name)
        assert made.aids <= {"sketch", "paint"}
        assert made.nfe > 0
        assert made.length > 0
    with pytest.raises(InputError, match="engine 'magic': unknown; expected one of vecset, consistent, distill"):
        engine("magic")
    with pytest.raises(InputError, match="engine consistent: it has no setting 'colour'; it has steps, guidance"):
        engine("consistent", colour=1)


def test_a_model_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match="points is a ColouredPoints, expected a TextToShape"):
        engine("distill").load("points")


def test_the_verb_says_what_an_engine_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from polyscore.cli.main import main

    def complaint(*words: str) -> str:
        assert main(["shape", "a red house", "-o", str(tmp_path / "out"), *words]) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    assert "Guided: it ships no model; expected the name or the folder of one" in complaint("--engine", "diffusers")
    assert "engine consistent: it has no setting 'field'; it has steps" in complaint("--engine", "consistent", "--field", "hash")
    monkeypatch.setattr(Distill, "aids", frozenset({"paint"}))
    box = tmp_path / "box.ply"
    trimesh.creation.box().export(box)
    found = complaint("--engine", "distill", "--sketch", str(box))
    assert "--engine distill takes no --sketch; expected --engine" in found
    assert main(["shape", "a red house", "-o", str(tmp_path / "two"), "--engine", "distill", "--model", "points"]) == 1
    assert "points is a ColouredPoints, expected a TextToShape" in capsys.readouterr().err


def test_the_record_of_a_distillation_is_written_with_debug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from polyscore.cli import shape
    from polyscore.cli.main import main
    from polyscore.shapes import engine_table

    image = pytest.importorskip("PIL.Image")
    prior = TextToShape(Knowing(draw("house", 1, seed=0), parse("a red house")), 16, extent=EXTENT)
    monkeypatch.setattr(TextToShape, "from_pretrained", classmethod(lambda cls, name, device: prior))
    monkeypatch.setattr(engine_table, "engine", lambda name, **settings: Distill(geometry=30, colour=2, sizes=(12,)))
    monkeypatch.setattr(shape, "_RESOLUTION", 24)
    words = ["shape", "a red house", "-o", str(tmp_path), "--no-pictures", "--quiet", "--faces", "500"]
    assert main([*words, "--debug"]) == 0
    [item] = json.loads((tmp_path / "report.json").read_text())["items"]
    levels = item["gradient_norms"]
    assert sum(level["views"] for level in levels) == 32
    assert [level["t"] for level in levels] == sorted(level["t"] for level in levels)
    strip = np.asarray(image.open(tmp_path / "strip.png"))
    assert strip.shape == (4 * 16, 16 * 16, 3)  # four cameras, sixteen moments
    assert strip[..., 0].mean() > strip[..., 1].mean() + 5  # a red house on white
