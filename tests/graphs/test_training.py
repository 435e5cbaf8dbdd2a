"""Training: molecules in memory, losses that fall, networks that learn by themselves, and what is exported."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("rdkit")
from lightning.pytorch import Trainer
from rdkit import Chem

from polyscore.errors import ConfigError, InputError
from polyscore.graphs import GraphDenoiser, GraphGenerator, Graphs, ScoreNetworkA, ScoreNetworks, ScoreNetworkX, graph_process
from polyscore.graphs.chem import decode, outcome
from polyscore.graphs.data import Molecules, SmilesData, read_table
from polyscore.graphs.training import CategoricalTraining, GraphTraining
from polyscore.processes import VE
from polyscore.training import Stratified, Uniform
from polyscore.training.optimiser import AdamW

SMILES = ["CCO", "CC(=O)N", "c1ccoc1", "C#CC", "CNC", "OC=O", "CC(C)C", "C1CC1", "N#CC", "CCCC", "COC", "NC=O"]
ATOMS = (6, 7, 8)


def small(seed: int = 0) -> GraphGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adj = ScoreNetworkA(3, 5, 8, num_layers=2, num_linears=2, c_init=2, c_hid=4, c_final=2, adim=8, num_heads=2)
        networks = ScoreNetworks(ScoreNetworkX(3, 2, 8), adj)
    denoiser = GraphDenoiser(networks, graph_process(VE(0.1, 1.0), VE(0.1, 1.0)), {"x": "score", "adj": "score"})
    return GraphGenerator(denoiser, 3, (0, 0, 0, 6, 4, 2), atoms=ATOMS)


def test_molecules_come_back_from_their_bytes() -> None:
    data = Molecules.of([*SMILES, "nothing", "CCF", "CCCCCCC"], ATOMS, nodes=5)
    assert len(data) == len(SMILES) and data.sizes == (0, 0, 0, 8, 3, 1)
    batch = data.__getitems__(range(len(data)))
    graphs = Graphs(batch["x0"]["x"], batch["x0"]["adj"], batch["mask"])
    found = [outcome(graph).smiles for graph in decode(graphs, ATOMS)]
    assert found == [Chem.CanonSmiles(text) for text in SMILES]
    cut = data.__getitems__([0, 4])
    assert cut["mask"].shape == (2, 3)  # no larger than its largest molecule


def test_files_and_splits(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "all.csv.gz", "wt") as file:
        file.write("smiles,more\n" + "".join(f"{text},1\n" for text in SMILES))
    assert read_table(tmp_path / "all.csv.gz") == SMILES
    (tmp_path / "rows.json").write_text(json.dumps({"valid_idxs": ["000", "003"]}))
    train, held = SmilesData(str(tmp_path / "all.csv.gz"), ATOMS, test=str(tmp_path / "rows.json")).parts()
    assert (len(train), len(held)) == (10, 2)
    data = SmilesData(str(tmp_path / "all.csv.gz"), ATOMS, share=0.75, batch_size=4)
    assert [len(part) for part in data.parts()] == [9, 3]
    assert [len(batch["mask"]) for batch in data.train_dataloader()] == [4, 4]
    for bad, text in (("rows.json", "holds no molecules"), ("none.smi", "cannot be read")):
        (tmp_path / "rows.json").write_text("title\n")
        with pytest.raises(InputError, match=text):
            read_table(tmp_path / bad)
    with pytest.raises(InputError, match="expected a JSON list"):
        SmilesData(str(tmp_path / "all.csv.gz"), ATOMS, test=str(tmp_path / "rows.json")).parts()
    with pytest.raises(InputError, match="none of 1 can be used"):
        Molecules.of(["CCF"], ATOMS)


def fitted(tmp_path: Path, training: GraphTraining, epochs: int = 25) -> dict[str, float]:
    (tmp_path / "all.smi").write_text("\n".join(SMILES * 4))
    trainer = Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=str(tmp_path), num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(training, datamodule=SmilesData(str(tmp_path / "all.smi"), ATOMS, batch_size=16, share=0.75))
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def test_both_losses_fall_below_that_of_knowing_nothing(tmp_path: Path) -> None:
    settings = AdamW(learning_rate=0.02, warmup=5)
    metrics = fitted(tmp_path, GraphTraining(small(), Stratified(Uniform()), optimiser=settings, optimiser_adj=settings))
    data = Molecules.of(SMILES, ATOMS)
    sizes = torch.tensor([n for n, count in enumerate(data.sizes) for _ in range(count)]).double()
    # a score of zero leaves half of E|z|^2: F a node, and n (n - 1) entries of the matrix
    nothing = {"x": float(3 * sizes.mean() / 2), "adj": float((sizes * (sizes - 1)).mean() / 2)}
    assert metrics["val/loss_x"] < 0.8 * nothing["x"] and metrics["val/loss_adj"] < 0.95 * nothing["adj"]
    assert metrics["val/loss"] == pytest.approx(metrics["val/loss_x"] + metrics["val/loss_adj"], rel=1e-5)


def test_a_network_learns_as_if_alone(tmp_path: Path) -> None:
    fast, still = AdamW(learning_rate=0.01), AdamW(learning_rate=1e-12)
    together, alone = small(), small()
    fitted(tmp_path, GraphTraining(together, optimiser=fast, optimiser_adj=fast), epochs=2)
    fitted(tmp_path, GraphTraining(alone, optimiser=fast, optimiser_adj=still), epochs=2)
    networks: list[Any] = [model.denoiser.network for model in (together, alone, small())]
    a, b, start = networks
    for name, value in a.x.state_dict().items():
        torch.testing.assert_close(value, b.x.state_dict()[name], rtol=1e-4, atol=1e-6)
    moved: Any = [(p - q).abs().max() for p, q in zip(b.adj.parameters(), start.adj.parameters(), strict=True)]
    assert max(moved) < 1e-8 < (next(a.adj.parameters()) - next(start.adj.parameters())).abs().max()


def test_one_command_with_a_file_learns_its_vocabulary_and_sizes(repository: Path, tmp_path: Path) -> None:
    from polyscore import hub
    from polyscore.training.engine import assemble

    (tmp_path / "all.smi").write_text("\n".join([*SMILES, "CCCl", "CSC"] * 4))
    small = [f"--model.init_args.{name}" for name in ("width=16", "pair_width=8", "layers=1")]
    more = [f"--data.init_args.path={tmp_path / 'all.smi'}", "--data.init_args.batch_size=16", "--trainer.max_epochs=1"]
    run = assemble([repository / "configs" / "graphs" / "smiles.yaml"], folder=tmp_path / "run", overrides=[*small, *more])
    assert run.fit()
    model = hub.load(tmp_path / "run" / "model")
    assert isinstance(model, GraphGenerator) and model.atoms == (6, 7, 8, 16, 17)
    assert run.data is not None and model.sizes == run.data.parts()[0].sizes  # type: ignore[attr-defined]
    weights = run.trainer.strategy.model
    assert weights is not None and sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in weights.parameters())
    graphs = model.sample(3, preset="fast", steps=3, seed=1)
    assert graphs.adj.equal(graphs.adj.mT) and float(graphs.adj.min()) >= 0 and float(graphs.adj.max()) <= 3


def test_models_and_data_that_do_not_fit_are_told(tmp_path: Path) -> None:
    (tmp_path / "all.smi").write_text("\n".join(["CCO", "COC", "CCCO", "CC"] * 4))
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=str(tmp_path),
    )  # fmt: skip
    training, data = GraphTraining(small()), SmilesData(str(tmp_path / "all.smi"))
    with pytest.raises(ConfigError, match=r"3 features for the atoms \(6, 7, 8\), the data have 2 for \(6, 8\)"):
        trainer.fit(training, datamodule=data)
    with pytest.raises(ConfigError, match="expected a CategoricalDenoiser"):
        CategoricalTraining(small())
