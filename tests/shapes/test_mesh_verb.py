"""`polyscore mesh check`: facts in the report, and a bad file does not stop the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trimesh

from polyscore.cli.main import main
from polyscore.cli.report import validate
from polyscore.shapes.mesh import write_mesh


def test_several_files_one_of_them_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box, hole = trimesh.creation.box(), trimesh.creation.box()
    hole.faces = hole.faces[2:]
    names = [str(tmp_path / name) for name in ("box.glb", "bad.glb", "hole.stl", "absent.obj")]
    write_mesh(names[0], box)
    (tmp_path / "bad.glb").write_bytes(b"glTF")
    write_mesh(names[2], hole)
    assert main(["mesh", "check", *names, "--report", str(tmp_path / "report.json")]) == 1
    report = json.loads((tmp_path / "report.json").read_text())
    validate(report)
    items = report["items"]
    assert [item["status"] for item in items] == ["done", "failed", "done", "failed"]
    assert items[0]["watertight"] and items[0]["winding"] and items[0]["volume"] == pytest.approx(1)
    assert (items[0]["bodies"], items[0]["euler_number"], items[0]["nan_vertices"]) == (1, 2, 0)
    assert items[0]["low"] == [-0.5] * 3 and items[0]["high"] == [0.5] * 3
    assert not items[2]["watertight"] and items[2]["volume"] is None and items[2]["open_edges"] == 4
    assert report["metrics"] == {"files": 2, "watertight": 1, "one_body": 2}
    shown = capsys.readouterr()
    assert "watertight        yes" in shown.out and "watertight        no" in shown.out
    assert "bad.glb" in shown.err and "no such file" in shown.err and "Traceback" not in shown.err


def test_all_well_and_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_mesh(tmp_path / "ball.ply", trimesh.creation.icosphere(1))
    assert main(["mesh", "check", str(path), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["mesh", "mend", str(path)]) == 2


def test_show_writes_pictures_and_a_page_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from polyscore.shapes import turntable

    for function, small in ((turntable.turntable, {"frames": 2, "size": 16}), (turntable.views, {"size": 16})):
        monkeypatch.setattr(function, "__kwdefaults__", {**(function.__kwdefaults__ or {}), **small})
    path = write_mesh(tmp_path / "ball.ply", trimesh.creation.icosphere(1))
    assert main(["mesh", "show", str(path), str(tmp_path / "none.ply"), "-o", str(tmp_path / "out"), "--quiet"]) == 1
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "ball-turntable.gif", "ball-viewer.html", "ball-views.png",
    ]  # fmt: skip
    assert main(["mesh", "show", str(path), "--quiet"]) == 2
    assert main(["mesh", "show", str(path), str(path), "-o", str(tmp_path), "--quiet"]) == 2
