"""What the methods of editing and of guidance are tried on here: a shipped model and data of it."""

from __future__ import annotations

import pytest
import torch
from tests.editing_cells import Subject

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
