"""The editing package on speech: complex spectrograms that end at noisy ones (OUVE), StoRM."""

from __future__ import annotations

import pytest
from tests.editing_cells import Record, Subject, edit


@pytest.mark.parametrize(
    "name", ["sdedit", "bdia", "edict", "edit friendly", "dpm encoder", "infedit", "direct inversion", "slerp of latents"]
)
def test_methods(name: str, speech: Subject, record_property: Record) -> None:
    edit(name, speech, record_property)
