"""The editing package on actions: a policy's pushes under one goal and under another."""

from __future__ import annotations

import pytest
from tests.editing_cells import CELLS, Record, Subject, edit


@pytest.mark.parametrize("name", list(CELLS))
def test_methods(name: str, pushes: Subject, record_property: Record) -> None:
    edit(name, pushes, record_property)
