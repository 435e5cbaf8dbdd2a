"""What every test shares: one thread, and where the repository and the reference numbers are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

__all__ = ["reference"]

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    # Two spinning threads on a small busy machine are many times slower than one; results also stay reproducible.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of numbers computed with the original implementations; the test is skipped without it."""
    name = os.environ.get("POLYSCORE_REFERENCE", "")
    if not name:
        pytest.skip("POLYSCORE_REFERENCE is not set")
    folder = Path(name)
    if not folder.is_dir():
        pytest.fail(f"POLYSCORE_REFERENCE={name} is not a folder")
    return folder
