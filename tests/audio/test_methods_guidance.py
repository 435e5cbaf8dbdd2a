"""The methods of guidance on speech: complex spectrograms that end at noisy ones (a bridge), the shipped two-stage enhancer."""

from __future__ import annotations

import pytest
from tests.editing_cells import Record
from tests.guidance_cells import Subject, guide


@pytest.mark.parametrize("name", ["vendi guidance", "reflection", "autoguidance", "minority score"])
def test_methods(name: str, speech: Subject, record_property: Record) -> None:
    guide(name, speech, record_property)
