"""The official run folders: every published configuration makes its network, and weights of the official format load strictly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from polyscore.cli.main import main
from polyscore.errors import CheckpointError
from polyscore.robots.data import recordings
from polyscore.robots.demonstrations import Demonstrations, Episode
from polyscore.robots.policy import Policy
from polyscore.robots.upstream import Settings

RUNS = [f"{task}/{kind}_{i}" for task in ("block_push", "kitchen") for kind in ("c_beso", "cfg_beso") for i in (1, 2, 3)]


@pytest.fixture(scope="module")
def folder(reference: Path) -> Path:
    return reference / "robots"


@pytest.mark.parametrize("run", RUNS)
def test_published_configurations(run: str, folder: Path) -> None:
    settings = Settings.read(folder / "beso_configs" / run / ".hydra" / "config.yaml")
    with torch.device("meta"):
        network = settings.network()
    meta = json.loads((folder / "golden" / "meta.json").read_text(encoding="utf-8"))
    block = run.startswith("block")
    published = meta["block_full" if block else "kitchen_full"]
    # The original counts nothing but parameters; its masks are buffers.
    assert sum(p.numel() for p in network.parameters()) == published["n_params"]
    shapes = {f"inner_model.{name}": tuple(p.shape) for name, p in network.named_parameters()}
    assert shapes == {name: tuple(entry[0]) for name, entry in published["state_dict"].items() if not name.endswith("mask")}
    assert settings.environment == ("block push" if block else "kitchen")
    assert settings.scaling() == (("standard", "range") if block else ("identity", "identity"))
    sampling = settings.sampling()
    assert (sampling.sampler, sampling.sigma_min) == (("ddim", 0.1) if block else ("euler_ancestral", 0.005))
    assert sampling.guidance == (1.0 if "/c_" in run else 2.0 if block else 1.5)
    assert (sampling.steps, sampling.schedule, sampling.history) == (3, "linear", "redenoise")


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Path:
    """A run folder as published, of the reference's small size."""
    out = tmp_path / "run"
    (out / ".hydra").mkdir(parents=True)
    text = (folder / "beso_configs" / "block_push" / "cfg_beso_1" / ".hydra" / "config.yaml").read_text(encoding="utf-8")
    for old, new in (("hidden_dim: 240", "hidden_dim: 96"), ("num_hidden_layers: 4", "num_hidden_layers: 2")):
        assert old in text
        text = text.replace(old, new)
    (out / ".hydra" / "config.yaml").write_text(text, encoding="utf-8")
    for name in ("model_state_dict.pth", "non_ema_model_state_dict.pth"):
        shutil.copyfile(folder / "golden" / "block_small_model_state_dict.pth", out / name)
    return out


def data() -> Demonstrations:
    generator = torch.Generator().manual_seed(0)
    return Demonstrations.of([Episode(torch.randn(30, 16, generator=generator), 0.02 * torch.randn(30, 2, generator=generator))])


@pytest.mark.parametrize("weights", ["ema", "raw"])
def test_a_run_folder_acts(weights: str, run: Path) -> None:
    policy = Policy.from_pretrained(run, demonstrations=data(), weights=weights)
    observation = data().observations[3]
    first = policy.act(observation, observation, seed=0)
    assert torch.equal(policy.act(observation, observation, seed=0), first) is False  # the window has grown
    assert policy.normaliser.action.widen == "multiply"
    assert policy.features.goal_mask == (1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_a_run_of_block_push_is_rolled_out(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mujoco")
    recordings.write(tmp_path / "demos.npz", data())
    words = ["rollout", "--model", str(run), "--episodes", "1", "-o", str(tmp_path / "out"), "--no-films", "--quiet"]
    assert main([*words, "--demonstrations", str(tmp_path / "demos.npz")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert (report["nfe"], report["metrics"]["full_success"]["n"]) == (3, 1)  # guided, in one pass of twice the batch
    assert main(words) == 1
    assert "holds no statistics" in capsys.readouterr().err


def test_what_is_missing_is_named(run: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no statistics"):
        Policy.from_pretrained(run)
    config = run / ".hydra" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("num_hidden_layers: 2", "num_hidden_layers: 3"), encoding="utf-8")
    with pytest.raises(CheckpointError, match="it lacks blocks.2"):
        Policy.from_pretrained(run, demonstrations=data())
    config.write_text(text.replace("hidden_dim: 96", "hidden_dim: ${hidden_dim}"), encoding="utf-8")
    with pytest.raises(CheckpointError, match="refers to itself"):
        Policy.from_pretrained(run, demonstrations=data())
    config.write_text(text, encoding="utf-8")
    (run / "model_state_dict.pth").unlink()
    with pytest.raises(CheckpointError, match="no such file"):
        Policy.from_pretrained(run, demonstrations=data())
