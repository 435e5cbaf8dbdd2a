"""`polyscore evaluate samples`: equal laws reach the floor, copies are told, files that do not fit are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from polyscore.cli.main import main


def run(tmp_path: Path, *words: object) -> dict[str, Any]:
    out = tmp_path / "report.json"
    assert main(["evaluate", "samples", *map(str, words), "--report", str(out)]) == 0
    metrics: dict[str, Any] = json.loads(out.read_text())["metrics"]
    return metrics


def test_equal_laws_reach_the_floor_and_a_shift_does_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    real, alike = rng.standard_normal((600, 2, 2)), rng.standard_normal((200, 2, 2))
    np.save(tmp_path / "real.npy", real)
    np.savez(tmp_path / "alike.npz", x=alike)
    save_file({"a": alike + 1, "b": alike}, tmp_path / "shifted.safetensors")
    found = run(tmp_path, tmp_path / "alike.npz", "--reference", tmp_path / "real.npy", "--training", tmp_path / "real.npy")
    shifted = run(tmp_path, tmp_path / "shifted.safetensors", "--key", "a", "--reference", tmp_path / "real.npy")
    for name in ("frechet", "kernel", "energy"):
        assert abs(found[name]["value"] - found[name]["floor"]) < 5 * found[name]["floor_std"]
        assert shifted[name]["value"] > found[name]["floor"] + 10 * found[name]["floor_std"]
    assert (found["samples"], found["width"]) == (200, 4)
    assert found["copied"] < 0.05 < 0.8 < found["precision"]
    copies = run(tmp_path, tmp_path / "real.npy", "--reference", tmp_path / "real.npy", "--training", tmp_path / "real.npy")
    assert copies["copied"] == 1


def test_pictures_and_an_embedder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    for name, low in (("a", 0), ("b", 100)):
        (tmp_path / name).mkdir()
        for i in range(20):
            Image.fromarray(rng.integers(low, low + 100, (4, 5, 3), dtype=np.uint8)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "own_embedder.py").write_text("def brightness(x):\n    return x.mean((1, 2))\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = run(tmp_path, tmp_path / "a", "--reference", tmp_path / "b", "--embed", "own_embedder:brightness")
    assert found["width"] == 3
    assert found["frechet"]["value"] == pytest.approx(3 * (100 / 255) ** 2, rel=0.1)
    assert found["precision"] == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", b"no array", "cannot be read as .npy"),
        ("a.npz", b"", "cannot be read as .npy"),
        ("a.safetensors", b"\xff" * 64, "cannot be read as .npy"),
    ],
    ids=["npy", "npz", "safetensors"],
)
def test_what_is_no_set_is_refused(
    name: str, content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["evaluate", "samples", str(tmp_path / name), "--reference", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_several_arrays_need_a_key_and_an_embedder_has_to_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((9, 2)), y=np.zeros((9, 2)))
    assert main(["evaluate", "samples", str(path), "--reference", str(path)]) == 2
    assert "name one of them with --key" in " ".join(capsys.readouterr().err.split())
    assert main(["evaluate", "samples", str(path), "--key", "x", "--reference", str(path), "--embed", "nowhere:f"]) == 2
    assert "MODULE:FUNCTION that can be imported" in " ".join(capsys.readouterr().err.split())
