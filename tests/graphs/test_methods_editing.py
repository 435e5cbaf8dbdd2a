"""The editing package on molecules: nodes and bonds with their masks, the shipped model of QM9."""

from __future__ import annotations

import pytest
from tests.editing_cells import Record, Subject, edit


@pytest.mark.parametrize(
    "name",
    [
        "sdedit",
        "ddim inversion",
        "bdia",
        "edict",
        "edit friendly",
        "dpm encoder",
        "infedit",
        "direct inversion",
        "slerp of latents",
        "uniform attention",
    ],
)
def test_methods(name: str, molecules: Subject, record_property: Record) -> None:
    edit(name, molecules, record_property)
