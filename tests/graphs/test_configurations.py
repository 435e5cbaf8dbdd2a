"""Every configuration of graphs trains two steps, is saved, loaded, and draws; scores of samples are logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rdkit")
pytest.importorskip("lightning")
import torch
from lightning.pytorch import LightningModule, Trainer

from polyscore import hub
from polyscore.cli.configs import shipped
from polyscore.errors import ConfigError, InputError
from polyscore.graphs import GraphGenerator
from polyscore.graphs.batch import Graphs, mask_of
from polyscore.graphs.data import Communities, GraphData, quantise
from polyscore.graphs.sample_scores import SampleScores, score_graphs, score_molecules
from polyscore.graphs.transformer_training import TransformerTraining
from polyscore.training.engine import assemble
from polyscore.training.optimiser import AdamW

SMILES = ["CCO", "CC(=O)N", "c1ccoc1", "C#CC", "CNC", "OC=O", "CC(C)C", "C1CC1", "N#CC", "CCCC", "COC", "NC=O"]
TINY = {"width": 16, "pair_width": 8, "heads": 2, "layers": 1}
SMALL = [f"--model.init_args.{name}={value}" for name, value in TINY.items()]
PARAMETERS = {
    "gdss_qm9": 8564 + 23825,
    "gdss_zinc250k": 11429 + 62873,
    "gdss_community_small": 72434 + 134369,
    "gdss_ego_small": 44093 + 135713,
    "gdss_enzymes": 182066 + 204113,
    "gdss_grid": 170081 + 203153,
}


@pytest.fixture
def words(tmp_path: Path) -> dict[str, list[str]]:
    """What each configuration is given so that it has data and takes no time."""
    (tmp_path / "all.smi").write_text("\n".join(SMILES * 4))
    molecules = [f"--data.init_args.path={tmp_path / 'all.smi'}", "--data.init_args.batch_size=16", "--data.init_args.share=0.8"]
    (tmp_path / "big.cites").write_text("".join(f"{i} {j}\n" for i in range(30) for j in (i + 1, (7 * i) % 30)))
    (tmp_path / "SET_A.txt").write_text("".join(f"{12 * g + i}, {12 * g + i + 1}\n" for g in range(10) for i in range(1, 12)))
    (tmp_path / "SET_graph_indicator.txt").write_text("".join(f"{g}\n" * 12 for g in range(1, 11)))
    source, once = "--data.init_args.source.init_args", ["--data.init_args.repeat=1"]
    return {
        "smiles": [*SMALL, *molecules],
        "qm9": molecules,
        "gdss_qm9": molecules,
        "gdss_zinc250k": molecules,
        "community_small": [*SMALL, f"{source}.count=20", *once, "--data.init_args.batch_size=8"],
        "gdss_community_small": [f"{source}.count=20", "--data.init_args.batch_size=8"],
        "gdss_ego_small": [f"{source}.path={tmp_path / 'big.cites'}", f"{source}.smallest=3", "--data.init_args.batch_size=8"],
        "gdss_enzymes": [f"{source}.path={tmp_path}", "--data.init_args.batch_size=4"],
        "gdss_grid": [f"{source}.count=10", f"{source}.low=2", f"{source}.high=3", "--data.init_args.batch_size=4"],
        "transformer": [*SMALL, f"{source}.count=20", f"{source}.nodes=8", *once, "--data.init_args.batch_size=6"],
    }


NAMES = sorted(name.removeprefix("graphs/") for name in shipped() if name.startswith("graphs/"))
MINE = {"smiles", "qm9", "community_small", "transformer", *PARAMETERS}


def test_the_configurations_that_the_documentation_promises() -> None:
    assert set(NAMES) >= MINE


@pytest.mark.parametrize("name", sorted(MINE))
def test_it_trains_saves_and_draws(name: str, repository: Path, tmp_path: Path, words: dict[str, list[str]]) -> None:
    limits = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
    limits += ["--trainer.check_val_every_n_epoch=1", "--trainer.num_sanity_val_steps=0"]
    file, out = repository / "configs" / "graphs" / f"{name}.yaml", tmp_path / "run"
    run = assemble([file], folder=out, overrides=[*words[name], *limits])
    for callback in run.trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, SampleScores):
            callback.every_n_epochs, callback.count, callback.steps = 1, 3, 2
    assert run.fit()
    assert run.trainer.global_step == 2
    model = hub.load(out / "model")
    assert isinstance(model, GraphGenerator)
    data: Any = run.data
    assert model.sizes == data.facts.sizes and model.atoms == data.facts.atoms
    if name in PARAMETERS:
        assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]
    graphs = model.sample(2, preset="fast", steps=2, seed=1)
    assert graphs.adj.equal(graphs.adj.mT) and torch.isfinite(graphs.x).all() and graphs.x.shape[-1] == model.features
    if any(isinstance(callback, SampleScores) for callback in run.trainer.callbacks):  # type: ignore[attr-defined]
        logged = {key for key in run.trainer.callback_metrics if key.startswith("sample/")}
        assert logged >= ({"sample/validity_strict"} if model.atoms else {"sample/degree", "sample/orbit", "sample/spectral"})


def test_scores_of_the_data_themselves(tmp_path: Path) -> None:
    from polyscore.graphs.data import Molecules

    known = Molecules.of(SMILES, (6, 7, 8)).__getitems__(range(len(SMILES)))
    graphs = Graphs.of(known["x0"], known["mask"])
    scores = score_molecules(graphs, graphs, (6, 7, 8))
    assert (scores["validity_without_correction"], scores["validity_strict"], scores["uniqueness"]) == (1.0, 1.0, 1.0)
    assert scores["nspdk"] < 0  # unbiased, of a set with itself
    broken = Graphs(graphs.x, 4 * graphs.adj, graphs.mask)
    assert score_molecules(broken, graphs, (6, 7, 8))["validity_without_correction"] < 1
    nothing = Graphs(torch.zeros(2, 3, 3), torch.zeros(2, 3, 3), mask_of([3, 3], 3))
    assert set(score_molecules(nothing, graphs, (6, 7, 8))) == {"validity_without_correction", "validity_strict"}
    same = score_graphs(quantise(graphs), quantise(graphs))
    assert all(abs(value) < 1e-12 for value in same.values())


def test_scores_are_those_of_the_epochs_asked_for_and_the_training_is_not_disturbed(tmp_path: Path) -> None:
    def trained(callbacks: list[Any]) -> tuple[Any, Trainer]:
        training = TransformerTraining(width=16, pair_width=8, heads=2, layers=1)
        trainer = Trainer(
            accelerator="cpu", max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=str(tmp_path), callbacks=callbacks,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            trainer.fit(training, datamodule=GraphData(Communities(20), batch_size=8))
        return training, trainer

    seen: list[int] = []

    class Counting(SampleScores):
        def _known(self, trainer: Trainer) -> Graphs:
            seen.append(trainer.current_epoch)
            return super()._known(trainer)

    scored, trainer = trained([Counting(2, count=3, reference=2, steps=2)])
    plain, _ = trained([])
    assert seen == [1]
    model: Any = scored.model
    assert {name for name in trainer.callback_metrics if name.startswith("sample/")} == {
        f"sample/{name}" for name in ("degree", "cluster", "orbit", "spectral")
    }
    for one, other in zip(model.parameters(), plain.model.parameters(), strict=True):
        assert one.equal(other)


def test_what_cannot_be_scored_is_told_before_training(tmp_path: Path) -> None:
    trainer = Trainer(logger=False, enable_checkpointing=False, default_root_dir=str(tmp_path))
    with pytest.raises(ConfigError, match="expected a GraphGenerator"):
        SampleScores().on_fit_start(trainer, LightningModule())


def test_the_rate_falls_as_published() -> None:
    settings = AdamW(0.01, decay="exponential", floor=0.00672)
    assert settings.factor(0, 5000) == 1.0 and settings.factor(5000, 5000) == pytest.approx(0.00672)
    steps = 5000 * 7  # of 7 batches an epoch
    for epoch in (1, 10, 1000):
        assert settings.factor(7 * epoch, steps) == pytest.approx(0.999**epoch, rel=1e-3)
    with pytest.raises(InputError, match="never reaches the floor 0"):
        AdamW(decay="exponential")
