"""Samplers of other libraries, read from their configuration files."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from polyscore.processes import GaussianProcess
from polyscore.processes.grids import Grid
from polyscore.samplers.builder import Solver

__all__ = ["FromDiffusers", "from_diffusers"]


class FromDiffusers(NamedTuple):
    """What a diffusers scheduler is made of: pass all three to `sample` or `trajectory`."""

    process: GaussianProcess
    sampler: Solver
    grid: Grid


def from_diffusers(config: Mapping[str, Any] | str | Path | Any) -> FromDiffusers:
    """Read a diffusers scheduler_config.json and reproduce that scheduler (diffusers itself is not needed).

    The process keeps the scheduler's state coordinates and prior, the sampler its update, the grid its spacing;
    `grid.clock(process, n)` gives the timesteps its network is called with. Options diffusers takes at each step are fields
    of the sampler (`dataclasses.replace(sampler, eta=1.0)`).

    Args:
        config: the dictionary, the file, the folder that holds it, or a live scheduler object.

    Raises:
        ConfigError: a class, a field or a value that is not reproduced, named in the message.
    """
    # found at run time: `polyscore.interchange` stands on this package, not the other way round
    result: FromDiffusers = importlib.import_module("polyscore.interchange").from_diffusers(config)
    return result
