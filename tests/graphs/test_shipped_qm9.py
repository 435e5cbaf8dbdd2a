"""The shipped model `qm9`: small molecules, most of them valid and in one piece, the same in any batch."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("rdkit")

from polyscore.graphs import CategoricalDenoiser, GraphGenerator
from polyscore.graphs.chem import decode, outcome
from polyscore.hub import shipped


def test_it_draws_valid_connected_molecules() -> None:
    model = GraphGenerator.from_pretrained("qm9")
    assert isinstance(model.denoiser, CategoricalDenoiser)
    graphs = model.sample(48, preset="fast", seed=7)
    found = [outcome(graph) for graph in decode(graphs, model.atoms)]
    assert sum(made.valid for made in found) >= 40 and sum(made.fragments == 1 for made in found) >= 36
    assert sum(made.valid and not made.charged for made in found) >= 36
    assert len({made.smiles for made in found}) >= 46
    again = model.sample(3, preset="fast", seed=7)
    torch.testing.assert_close(again.adj, graphs[range(3)].adj, rtol=0, atol=1e-3)


def test_its_card_names_data_and_licence_and_it_is_small() -> None:
    folder = next(entry.path for entry in shipped() if entry.name == "qm9")
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert "QM9" in card and "license: apache-2.0" in card and "trained only on a CPU" in card
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 2**20
