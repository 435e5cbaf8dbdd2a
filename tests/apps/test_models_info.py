"""`polyscore models` and `polyscore info`: what is shipped, and what a path is, from its headers alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.core import hub_models as models

from polyscore.cli.main import main
from polyscore.cli.report import validate
from polyscore.hub import card_template, save, shipped


def report_of(verb: str, *words: object, folder: Path, code: int = 0) -> dict[str, Any]:
    path = folder / "report.json"
    assert main([verb, *map(str, words), "--report", str(path)]) == code
    report: dict[str, Any] = json.loads(path.read_text())
    validate(report)
    assert report["command"] == verb
    return report


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A model shipped by a domain that exists for this test alone."""
    import polyscore

    card = card_template("tiny", "Does nothing", data="none", licence="Apache-2.0", metrics={}, command="none")
    monkeypatch.setattr(polyscore, "__path__", [*polyscore.__path__, str(tmp_path)])
    return save(tmp_path / "toys" / "models" / "tiny", models.Tied(4), card=card)


def test_models_shows_size_purpose_and_licence(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = {item["input"]: item for item in report_of("models", folder=tmp_path)["items"]}
    assert set(items) == {model.name for model in shipped()} >= {"tiny"}
    size = sum(file.stat().st_size for file in toy.iterdir())
    tiny = items["tiny"]
    assert (tiny["bytes"], tiny["licence"], tiny["what"], tiny["domain"]) == (size, "apache-2.0", "Does nothing", "toys")
    text = capsys.readouterr().out
    assert any(line.split()[:2] == ["tiny", "toys"] and "Does nothing" in line for line in text.splitlines())
    assert "config.json, model.safetensors, card.md" in text
    assert main(["models", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_every_shipped_model_has_a_card_with_its_licence(tmp_path: Path) -> None:
    for item in report_of("models", folder=tmp_path)["items"]:
        assert item["licence"] != "not stated"
        assert item["what"]
        assert item["bytes"] < 13_000_000


def test_info_of_a_saved_model_by_path_and_by_name(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for item in report_of("info", toy, "tiny", folder=tmp_path)["items"]:
        assert item["kind"] == "polyscore"
        assert item["class"] == "tests.core.hub_models.Tied"
        assert (item["tensors"], item["values"]) == (3, 16 + 10 + 3)  # the tied weight counts once
        assert item["dtypes"] == {"F32": 3}
        assert item["arguments"] == {"width": 4}
        assert item["licence"] == "apache-2.0"
    assert "tests.core.hub_models.Tied" in capsys.readouterr().out


def test_info_of_bare_tensors(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(2, dtype=torch.bfloat16)}, tmp_path / "x.safetensors")
    (item,) = report_of("info", tmp_path / "x.safetensors", folder=tmp_path)["items"]
    assert (item["kind"], item["values"], item["dtypes"]) == ("safetensors", 17, {"F32": 1, "BF16": 1})


def test_info_of_training_checkpoints(tmp_path: Path) -> None:
    content = {
        "epoch": 3,
        "global_step": 120,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {"network.w": torch.zeros(4, 4), "network.b": torch.zeros(4)},
        "optimizer_states": [{"state": {}}],
    }
    torch.save(content, tmp_path / "x.ckpt")
    (item,) = report_of("info", tmp_path / "x.ckpt", folder=tmp_path)["items"]
    assert (item["kind"], item["epoch"], item["global_step"], item["values"]) == ("lightning", 3, 120, 20)
    torch.save({"w": torch.zeros(2)}, tmp_path / "y.pt")
    (item,) = report_of("info", tmp_path / "y.pt", folder=tmp_path)["items"]
    assert (item["kind"], item["keys"], item["values"]) == ("torch", ["w"], 2)


def test_info_of_a_diffusers_scheduler(tmp_path: Path) -> None:
    config = {"_class_name": "DDIMScheduler", "_diffusers_version": "0.42.1", "num_train_timesteps": 1000}
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config))
    for path in (tmp_path, tmp_path / "scheduler_config.json"):
        (item,) = report_of("info", path, folder=tmp_path)["items"]
        assert (item["kind"], item["class"]) == ("diffusers-scheduler", "DDIMScheduler")
        assert "DDIM" in item["sampler"]


def test_info_goes_on_after_what_it_does_not_find(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = report_of("info", tmp_path / "none", toy, folder=tmp_path, code=1)["items"]
    assert [item["status"] for item in items] == ["failed", "done"]
    assert "there is no such file, folder or shipped model" in capsys.readouterr().err
