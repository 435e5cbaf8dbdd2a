"""`polyscore info` on hostile and damaged files: an answer, and nothing runs."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.core import hub_models as models

from polyscore.cli.main import main
from polyscore.hub import save


class Bomb:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder / "executed"),)


@pytest.mark.parametrize("name", ["lightning.ckpt", "torch.pt", "legacy.pt", "plain.pkl"])
def test_a_hostile_pickle_is_described_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    path, content = tmp_path / name, {"state_dict": {"w": torch.zeros(2)}, "evil": Bomb(tmp_path)}
    if name == "plain.pkl":
        path.write_bytes(pickle.dumps(content["evil"]))
    else:
        more = {"pytorch-lightning_version": "2.6.6"} if name == "lightning.ckpt" else {}
        torch.save({**content, **more}, path, _use_new_zipfile_serialization=name != "legacy.pt")
    assert main(["info", str(path)]) == 0
    text = capsys.readouterr().out
    assert "pickle" in text
    assert ("state_dict" in text) == (name in ("lightning.ckpt", "torch.pt"))
    assert not (tmp_path / "executed").exists()


def test_damaged_models_fail_with_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tmp_path / "m", models.Zoo([]))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    assert main(["info", str(folder), str(weights)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all("is truncated: its header announces" in line for line in errors)
    (folder / "config.json").write_text("{")
    assert main(["info", str(folder)]) == 1
    assert "config.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("size", [0, 1, 7, 100, 5000])
def test_random_bytes_have_a_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int) -> None:
    for name in ("x.ckpt", "x.json", "x.safetensors", "x"):
        path = tmp_path / name
        path.write_bytes(bytes(torch.randint(0, 256, (size,), generator=torch.Generator().manual_seed(size)).tolist()))
        assert main(["info", str(path)]) in (0, 1)
        shown = capsys.readouterr()
        assert "internal error" not in shown.err
        assert shown.out or shown.err
