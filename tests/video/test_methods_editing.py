"""The editing package on clips: flow matching and the shipped model of moving digits."""

from __future__ import annotations

import pytest
from tests.editing_cells import CELLS, Record, Subject, edit


@pytest.mark.parametrize("name", list(CELLS))
def test_methods(name: str, clips: Subject, record_property: Record) -> None:
    edit(name, clips, record_property)
