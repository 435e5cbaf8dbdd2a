"""The methods of guidance on clips, the shipped model of moving digits.

Without attention between frames this model denoises as well (1.00 of the error), so perturbed attention has no direction here.
"""

from __future__ import annotations

import pytest
from tests.editing_cells import Record
from tests.guidance_cells import CELLS, Subject, guide


@pytest.mark.parametrize("name", [name for name in CELLS if name != "perturbed attention"])
def test_methods(name: str, clips: Subject, record_property: Record) -> None:
    guide(name, clips, record_property)
