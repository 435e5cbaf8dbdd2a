"""The methods of guidance on point clouds, the shipped model of coloured points.

Without attention among its latents this model denoises as well (1.00 of the error), so perturbed attention has no direction here.
"""

from __future__ import annotations

import pytest
from tests.editing_cells import Record
from tests.guidance_cells import CELLS, Subject, guide


@pytest.mark.parametrize("name", [name for name in CELLS if name != "perturbed attention"])
def test_methods(name: str, clouds: Subject, record_property: Record) -> None:
    guide(name, clouds, record_property)
