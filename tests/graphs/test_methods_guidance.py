"""The methods of guidance on molecules: nodes and bonds with their masks, the shipped model of QM9."""

from __future__ import annotations

import pytest
from tests.editing_cells import Record
from tests.guidance_cells import Subject, guide


@pytest.mark.parametrize("name", ["vendi guidance", "perturbed attention", "reflection", "autoguidance"])
def test_methods(name: str, molecules: Subject, record_property: Record) -> None:
    guide(name, molecules, record_property)
