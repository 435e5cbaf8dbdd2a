"""Reading other libraries' sampler configurations, and standing in for their parts. Nothing here imports the other library."""

from polyscore.interchange.api import from_diffusers, read_scheduler
from polyscore.interchange.clock import Clock, StepGrid
from polyscore.interchange.config import SchedulerConfig, read_config
from polyscore.interchange.readout import Readout
from polyscore.interchange.schedulers import TRANSLATORS, Scheduler

__all__ = [
    "TRANSLATORS",
    "Clock",
    "Readout",
    "Scheduler",
    "SchedulerConfig",
    "StepGrid",
    "from_diffusers",
    "read_config",
    "read_scheduler",
]
