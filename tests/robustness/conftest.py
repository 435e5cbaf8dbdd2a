"""The shelf of sound things, made once."""

from __future__ import annotations

import pytest
from tests.robustness.hostile import Shelf
from tests.robustness.hostile_shelf import MAKERS


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Sound things by name."""
    return Shelf(tmp_path_factory.mktemp("shelf"), MAKERS)
