"""The methods of guidance on molecules: nodes and bonds with their masks, the shipped model of QM9."""

from __future__ import annotations

import pytest
import torch
from tests.editing_cells import Record
from tests.guidance_cells import Subject, guide

from polyscore.graphs import GraphGenerator
from polyscore.state import Given


@pytest.fixture(scope="module")
def molecules() -> Subject:
    """Ethanol C-C-O and acetonitrile-like C-C#N, in a frame for four atoms."""
    model = GraphGenerator.from_pretrained("qm9").double().requires_grad_(False)
    mask = torch.tensor([[1.0, 1.0, 1.0, 0.0]] * 2, dtype=torch.float64)
    x = torch.zeros(2, 4, model.features, dtype=torch.float64)
    adj = torch.zeros(2, 4, 4, dtype=torch.float64)
    for row, (atoms, bonds) in enumerate((((0, 0, 2), (1, 1)), ((0, 0, 1), (1, 3)))):
        x[row, [0, 1, 2], atoms] = 1.0
        for i, order in enumerate(bonds):
            adj[row, i, i + 1] = adj[row, i + 1, i] = float(order)
    given = Given(mask=mask)
    return Subject(model.denoiser, model.denoiser.process, {"x": x, "adj": adj}, given, given, (model.denoiser,))


@pytest.mark.parametrize("name", ["vendi guidance", "perturbed attention", "reflection", "autoguidance"])
def test_methods(name: str, molecules: Subject, record_property: Record) -> None:
    guide(name, molecules, record_property)
