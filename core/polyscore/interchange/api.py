"""The two ways in: a scheduler's parts for sampling here, or everything it says."""

from __future__ import annotations

from polyscore.interchange.config import ConfigSource, read_config
from polyscore.interchange.schedulers import TRANSLATORS, Scheduler
from polyscore.samplers.foreign import FromDiffusers

__all__ = ["from_diffusers", "read_scheduler"]


def read_scheduler(config: ConfigSource) -> Scheduler:
    """Process, sampler, grid and readout of a diffusers scheduler configuration.

    Args:
        config: the dictionary of a scheduler_config.json, that file, its folder, or a live scheduler.

    Raises:
        ConfigError: a class, a field or a value that is not reproduced, named in the message.
    """
    read = read_config(config)
    return TRANSLATORS[read.name](read)


def from_diffusers(config: ConfigSource) -> FromDiffusers:
    """(process, sampler, grid) that reproduce a diffusers scheduler; see `polyscore.samplers.from_diffusers`."""
    scheduler = read_scheduler(config)
    return FromDiffusers(scheduler.process, scheduler.sampler, scheduler.grid)
