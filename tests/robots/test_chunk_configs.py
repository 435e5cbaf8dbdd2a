"""The shipped configurations of chunks for a few steps, and a rollout with what they trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polyscore.cli.main import main
from polyscore.robots import ChunkPolicy, Policy
from polyscore.robots.rollout import rollout


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("record") / "demos.npz"
    assert main(["data", "record", "--episodes", "4", "-o", str(path), "--quiet"]) == 0
    return path


@pytest.mark.parametrize("name", ["push_chunks", "push_unet"])
def test_they_train_and_act(name: str, recorded: Path, tmp_path: Path) -> None:
    sizes = ["--data.init_args.batch_size", "4", "--data.init_args.steps_per_epoch", "2", "--trainer.max_epochs", "1"]
    words = ["fit", "--config", f"robots/{name}", "--data.init_args.path", str(recorded), "--out", str(tmp_path / "run")]
    assert main([*words, *sizes, "--trainer.accelerator", "cpu", "--quiet"]) == 0
    model = Policy.from_pretrained(tmp_path / "run" / "model")
    assert isinstance(model, ChunkPolicy)
    assert model.data["episodes"] == 3
    (outcome,) = rollout(model, 1, limit=9)
    assert outcome.actions.shape == (9, 2) and bool(np.isfinite(outcome.actions).all())
