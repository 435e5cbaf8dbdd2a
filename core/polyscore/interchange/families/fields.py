"""The fields that scheduler classes share, read once."""

from __future__ import annotations

from dataclasses import dataclass

from polyscore.interchange.clock import StepGrid
from polyscore.interchange.config import SchedulerConfig
from polyscore.interchange.levels import Layout, Spacing
from polyscore.interchange.processes import UnitTable
from polyscore.interchange.readout import Clip, DynamicThreshold, Limit, Readout, TableReadout
from polyscore.processes import GaussianProcess, zero_terminal_snr
from polyscore.samplers import Solver

__all__ = [
    "TABLE_TYPES",
    "Scheduler",
    "check_range",
    "last_abar_of",
    "layout_of",
    "limit_of",
    "offset_of",
    "order_of",
    "spacing_of",
    "table_readout",
    "with_zero_snr",
]

TABLE_TYPES = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True)
class Scheduler:
    """A diffusers scheduler, taken apart.

    Attributes:
        process: the forward process, in the scheduler's own state coordinates and with its prior.
        sampler: the solver.
        grid: times for n steps, and `grid.clock(process, n)`, the network's timesteps for them.
        readout: what the network is given and what its output means.
    """

    process: GaussianProcess
    sampler: Solver
    grid: StepGrid
    readout: Readout


def spacing_of(config: SchedulerConfig) -> Spacing:
    """timestep_spacing."""
    spacing: Spacing = config.one_of("timestep_spacing", "linspace", "leading", "trailing")
    return spacing


def offset_of(config: SchedulerConfig) -> int:
    """steps_offset."""
    return config.count("steps_offset", low=0)


def order_of(config: SchedulerConfig, field: str = "solver_order", high: int = 3) -> int:
    """The order in `field`."""
    return config.count(field, high=high)


def limit_of(config: SchedulerConfig) -> Limit | None:
    """The bound on x0: thresholding, else clip_sample, else none."""
    if config.get("thresholding"):
        return DynamicThreshold(
            config.number("dynamic_thresholding_ratio", low=0, high=1), config.number("sample_max_value", low=0)
        )
    if config.get("clip_sample"):
        return Clip(config.number("clip_sample_range", low=0))
    return None


def table_readout(config: SchedulerConfig, *types: str, own_eps: bool = False) -> TableReadout:
    """The readout of a beta table's network; `types` are the prediction types the class knows (default all three)."""
    return TableReadout(config.one_of("prediction_type", *(types or TABLE_TYPES)), limit_of(config), own_eps)


def layout_of(config: SchedulerConfig) -> Layout | None:
    """The one schedule of levels that is switched on."""
    names: tuple[Layout, ...] = ("karras", "exponential", "beta")
    chosen = [name for name in names if config.get(f"use_{name}_sigmas")]
    if len(chosen) > 1:
        raise config.refuse(f"use_{chosen[1]}_sigmas", f"use_{chosen[0]}_sigmas is set, too; diffusers allows one of them")
    return chosen[0] if chosen else None


def with_zero_snr(config: SchedulerConfig, betas: tuple[float, ...]) -> tuple[float, ...]:
    """The table, with zero terminal SNR on demand."""
    return zero_terminal_snr(betas) if config.get("rescale_betas_zero_snr") else betas


def last_abar_of(config: SchedulerConfig) -> float | None:
    """The last abar of a level table that would end at zero SNR."""
    return 2.0**-24 if config.get("rescale_betas_zero_snr") else None


def check_range(config: SchedulerConfig, process: UnitTable, high: float | None) -> None:
    """Raise where the levels would begin above the table."""
    top = float(process.sigmas[-1])
    if high is not None and high > top * (1 + 1e-12):
        raise config.refuse("sigma_max", f"{high:g} is above the largest level of the beta table, {top:.6g}")
