"""The methods of guidance on actions: a policy's pushes."""

from __future__ import annotations

import pytest
from tests.editing_cells import Record
from tests.guidance_cells import CELLS, Subject, guide


@pytest.mark.parametrize("name", list(CELLS))
def test_methods(name: str, pushes: Subject, record_property: Record) -> None:
    guide(name, pushes, record_property)
