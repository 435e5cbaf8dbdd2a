"""Schedulers of rectified flow."""

from __future__ import annotations

from polyscore.interchange.config import SchedulerConfig
from polyscore.interchange.families.fields import Scheduler, layout_of
from polyscore.interchange.free_grids import FlowSteps
from polyscore.interchange.processes import UnitFlow
from polyscore.interchange.readout import FlowReadout
from polyscore.interchange.stepping import FlowAncestral, Renoise
from polyscore.samplers import DDIM, VELOCITY, RungeKutta, Solver
from polyscore.samplers.runge_kutta import HEUN

__all__ = ["flow_ancestral", "flow_euler", "flow_heun", "flow_lcm"]


def _flow_grid(config: SchedulerConfig) -> FlowSteps:
    if config.get("invert_sigmas"):
        raise config.refuse("invert_sigmas", "the network's time and velocity run the other way; expected false")
    n, shift = config.count("num_train_timesteps"), config.number("shift", low=1e-6)
    dynamic = bool(config.get("use_dynamic_shifting"))
    low = 1 / n if dynamic else shift / n / (1 + (shift - 1) / n)  # the constructor shifts the ends, set_timesteps shifts again
    names = ("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len")
    base, top, few, many = (config.number(f) if f in config.fields else 0.0 for f in names)
    return FlowSteps(
        1.0,
        low,
        shift=shift,
        dynamic=dynamic,
        time_shift=config.one_of("time_shift_type", "exponential", "linear") if config.get("time_shift_type") else "exponential",
        tokens=(base, top, few, many),
        total=n,
        terminal=config.get("shift_terminal"),
        layout=layout_of(config),
        low=config.sigma_range[0] if layout_of(config) else None,
        high=config.sigma_range[1] if layout_of(config) else None,
    )


def _flow(config: SchedulerConfig, sampler: Solver) -> Scheduler:
    return Scheduler(UnitFlow(), sampler, _flow_grid(config), FlowReadout())


def flow_euler(config: SchedulerConfig) -> Scheduler:
    """FlowMatchEulerDiscreteScheduler."""
    return _flow(config, Renoise() if config["stochastic_sampling"] else DDIM())


def flow_heun(config: SchedulerConfig) -> Scheduler:
    """FlowMatchHeunDiscreteScheduler."""
    return _flow(config, RungeKutta(HEUN, VELOCITY))


def flow_lcm(config: SchedulerConfig) -> Scheduler:
    """FlowMatchLCMScheduler."""
    if config["scale_factors"]:
        raise config.refuse("scale_factors", "the state changes its size during the run; expected null")
    return _flow(config, Renoise())


def flow_ancestral(config: SchedulerConfig) -> Scheduler:
    """LTXEulerAncestralRFScheduler."""
    grid = FlowSteps(1.0, 1 / config.count("num_train_timesteps"), total=config.count("num_train_timesteps"))
    return Scheduler(
        UnitFlow(), FlowAncestral(config.number("eta", low=0, high=1), config.number("s_noise", low=0)), grid, FlowReadout()
    )
