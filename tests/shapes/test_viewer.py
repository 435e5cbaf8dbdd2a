"""The page with the solid, its turntable and its views: what is inside, and what its camera sees."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from polyscore.errors import InputError
from polyscore.shapes.mesh import bake, paint, unit_box
from polyscore.shapes.render import Perspective, orbit
from polyscore.shapes.turntable import photographs, turntable, views
from polyscore.shapes.viewer import viewer_page, write_viewer


def ball(size: float = 3.0) -> trimesh.Trimesh:
    mesh: trimesh.Trimesh = trimesh.creation.icosphere(2, radius=size)
    return mesh


def data_of(page: str) -> dict[str, Any]:
    text = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert text is not None
    found: dict[str, Any] = json.loads(text[1])
    return found


def array(text: str, kind: str) -> Any:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def test_the_page_holds_the_mesh_in_the_unit_box_and_calls_nobody(tmp_path: Path) -> None:
    mesh = paint(ball(), lambda p: p / 6 + 0.5, roughness=0.35)
    page = write_viewer(tmp_path / "viewer.html", mesh, "<script>alert(1)</script>").read_text()
    data = data_of(page)
    solid = unit_box(mesh)
    np.testing.assert_allclose(array(data["position"], "<f4").reshape(-1, 3), solid.vertices, atol=1e-6)
    np.testing.assert_allclose(array(data["normal"], "<f4").reshape(-1, 3), solid.vertex_normals, atol=1e-6)
    assert np.array_equal(array(data["faces"], "<u4").reshape(-1, 3), solid.faces)
    visual: Any = mesh.visual
    assert np.array_equal(array(data["colour"], "u1").reshape(-1, 3), visual.vertex_colors[:, :3])
    assert "picture" not in data and data["roughness"] == 0.35
    assert "{{" not in page and "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert not re.search(r"https?://|@import|\bfetch\(|XMLHttpRequest|<link|src=", page)


def test_the_page_holds_texture_and_material() -> None:
    mesh = bake(ball(0.5), lambda p: p + 0.5, 32, metallic=0.5, roughness=0.25)
    data = data_of(viewer_page(mesh))
    assert (data["metallic"], data["roughness"]) == (0.5, 0.25)
    visual: Any = mesh.visual
    np.testing.assert_allclose(array(data["uv"], "<f4").reshape(-1, 2), visual.uv, atol=1e-6)
    picture = Image.open(io.BytesIO(base64.b64decode(data["picture"].partition(",")[2])))
    assert np.array_equal(np.asarray(picture), np.asarray(visual.material.baseColorTexture))


HARNESS = """
const code = require("fs").readFileSync(0, "utf8");
const html = code, log = { arrays: [], uniforms: {}, draws: [] };
let frame = null, handlers = {};
const gl = new Proxy({}, { get(_, name) {
  if (name === "getShaderParameter" || name === "getProgramParameter" || name === "getExtension") return () => true;
  if (name === "getAttribLocation") return (_, what) => what === "uv" ? -1 : 1;
  if (name === "getUniformLocation") return (_, what) => what;
  if (name === "uniformMatrix4fv") return (what, _, value) => { log.uniforms[what] = Array.from(value); };
  if (name === "uniform1f") return (what, value) => { log.uniforms[what] = value; };
  if (name === "bufferData") return (_, value) => log.arrays.push(value.byteLength);
  if (name === "drawElements") return (_, count) => log.draws.push(count);
  return /^[A-Z0-9_]+$/.test(name) ? name : () => 1;
} });
const canvas = { getContext: () => gl, clientWidth: 300, clientHeight: 200, setPointerCapture() {},
  addEventListener: (name, call) => { handlers[name] = call; } };
globalThis.window = { addEventListener() {} };
globalThis.requestAnimationFrame = call => { frame = call; };
const parts = [...html.matchAll(/<script[^>]*>([^]*?)<\\/script>/g)].map(match => match[1]);
const elements = { view: canvas, note: {}, data: { textContent: parts[0] } };
globalThis.document = { getElementById: name => elements[name] };
(0, eval)(parts[1]);
frame(0);
handlers.wheel({ preventDefault() {}, deltaY: 100 });
handlers.pointerdown({ pointerId: 1, clientX: 10, clientY: 10 });
handlers.pointermove({ pointerId: 1, clientX: 60, clientY: 30 });
frame(16);
console.log(JSON.stringify({ ...log, note: elements.note.textContent || null, size: [canvas.width, canvas.height] }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="runs the page's script in node")
def test_the_script_draws_all_faces_and_its_camera_is_that_of_the_library() -> None:
    mesh = ball()
    run = subprocess.run(["node", "-e", HARNESS], input=viewer_page(mesh), capture_output=True, text=True, timeout=60, check=True)
    log = json.loads(run.stdout)
    assert log["note"] is None
    assert log["draws"] == [len(mesh.faces) * 3] * 2
    assert sorted(log["arrays"]) == sorted([len(mesh.vertices) * 12] * 2 + [len(mesh.vertices) * 3, len(mesh.faces) * 12])
    assert log["uniforms"]["aspect"] == 1.5 and log["size"] == [300, 200]
    # one step of the wheel is a factor e^0.1, a pixel is 0.008 rad
    degrees = [np.degrees(angle) for angle in (0.6 - 50 * 0.008, 0.35 + 20 * 0.008)]
    exact = torch.linalg.inv(orbit(degrees[0], degrees[1], 2.6 * np.exp(0.1)))[0]
    np.testing.assert_allclose(np.reshape(log["uniforms"]["view"], (4, 4)).T, exact, atol=1e-5)


def test_photographs_are_the_same_however_many_at_once() -> None:
    mesh = unit_box(paint(ball(), lambda p: p / 6 + 0.5))
    cameras = Perspective.orbit(torch.arange(9) * 40.0, 20.0)
    pictures = photographs(mesh, cameras, 24)
    assert pictures.shape == (9, 24, 24, 3)
    assert np.array_equal(pictures[8:], photographs(mesh, cameras[8], 24))
    assert (pictures[:, 0, 0] == 255).all() and (photographs(mesh, cameras[0], 24, background=0.0)[:, 0, 0] == 0).all()


def test_a_turntable_and_a_sheet_of_views(tmp_path: Path) -> None:
    mesh = unit_box(paint(ball(), lambda p: (p > 0).float()))
    film = Image.open(turntable(tmp_path / "turn.gif", mesh, frames=6, size=20, seconds=1.2))
    assert (film.n_frames, film.size, film.info["duration"]) == (6, (20, 20), 200)  # type: ignore[attr-defined]
    again = turntable(tmp_path / "again.gif", mesh, frames=6, size=20, seconds=1.2)
    assert again.read_bytes() == (tmp_path / "turn.gif").read_bytes()
    sheet = np.asarray(Image.open(views(tmp_path / "views.png", mesh, size=20)))
    assert sheet.shape == (2 * 21 + 1, 4 * 21 + 1, 3)
    front = sheet[1:21, 1:21]
    left, right = front[10, 5], front[10, 14]
    assert right[0] > 100 > left[0]  # +x, red, is on the right of a camera in front
    with pytest.raises(InputError, match="0 frames"):
        turntable(tmp_path / "none.gif", mesh, frames=0)
