"""Schedulers on sigma = s / a, in exploding coordinates: Euler, Heun, LMS, KDPM2, DPM-SDE."""

from __future__ import annotations

from typing import Literal

from polyscore.interchange.config import SchedulerConfig
from polyscore.interchange.families.fields import (
    Scheduler,
    check_range,
    last_abar_of,
    layout_of,
    offset_of,
    spacing_of,
    table_readout,
    with_zero_snr,
)
from polyscore.interchange.free_grids import EDMSteps
from polyscore.interchange.processes import ExplodingTable, WideEDM
from polyscore.interchange.table_grids import LevelSteps
from polyscore.interchange.tables import betas_of
from polyscore.samplers import DDIM, DPM2, LMS, DPM2Ancestral, DPMSolverPPSDE, EulerAncestral, Heun, Solver

__all__ = ["dpm_sde", "euler", "euler_ancestral", "heun", "kdpm2", "kdpm2_ancestral", "lms"]


def _exploding(
    config: SchedulerConfig,
    sampler: Solver,
    *types: str,
    schedules: tuple[str, ...] = (),
    rounded: bool = False,
    inner: Literal["none", "midpoint", "ancestral"] = "none",
) -> Scheduler:
    betas, layout, spacing = betas_of(config, *schedules), layout_of(config), spacing_of(config)
    process = ExplodingTable(
        with_zero_snr(config, betas), last_abar=last_abar_of(config), data_std=1.0 if spacing == "leading" else 0.0
    )
    low, high = config.sigma_range if layout else (None, None)
    log_linear = config.get("interpolation_type") == "log_linear"
    if layout == "karras" and config.name in ("LMSDiscreteScheduler", "DPMSolverSDEScheduler"):
        low, high = None, None
    check_range(config, process, high)
    # log_linear lays n + 1 levels where diffusers expects n, so the last step ends at the table whatever final_sigmas_type says
    at_table = config.get("final_sigmas_type") == "sigma_min" or (log_linear and layout is None)
    grid = LevelSteps(
        spacing,
        offset_of(config),
        layout,
        log_linear=log_linear,
        low=low,
        high=high,
        final="table" if at_table else "zero",
        rounded=rounded and layout == "karras",
        inner=inner,
    )
    return Scheduler(process, sampler, grid, table_readout(config, *types))


def euler(config: SchedulerConfig) -> Scheduler:
    """EulerDiscreteScheduler."""
    config.one_of("interpolation_type", "linear", "log_linear")
    config.one_of("final_sigmas_type", "zero", "sigma_min")
    config.one_of("timestep_type", "discrete", "continuous")
    if config["timestep_type"] == "continuous" and config["prediction_type"] == "v_prediction":
        return _euler_continuous(config)
    return _exploding(config, DDIM())


def _euler_continuous(config: SchedulerConfig) -> Scheduler:
    """Levels from the file, ln(sigma) / 4 as timestep (Stable Video Diffusion)."""
    low, high = config.sigma_range
    layout = layout_of(config)
    if layout not in ("karras", "exponential") or low is None or high is None:
        raise config.refuse("timestep_type", "it needs sigma_min, sigma_max and use_karras_sigmas or use_exponential_sigmas")
    config.one_of("final_sigmas_type", "zero")
    process = WideEDM(high, low, data_std=1.0 if spacing_of(config) == "leading" else 0.0)
    return Scheduler(process, DDIM(), EDMSteps(low, high, layout=layout), table_readout(config, "v_prediction"))


def euler_ancestral(config: SchedulerConfig) -> Scheduler:
    """EulerAncestralDiscreteScheduler."""
    return _exploding(config, EulerAncestral(), "epsilon", "v_prediction")


def heun(config: SchedulerConfig) -> Scheduler:
    """HeunDiscreteScheduler."""
    return _exploding(config, Heun(), schedules=("exp",))


def kdpm2(config: SchedulerConfig) -> Scheduler:
    """KDPM2DiscreteScheduler."""
    return _exploding(config, DPM2(), "epsilon", "v_prediction", rounded=True, inner="midpoint")


def kdpm2_ancestral(config: SchedulerConfig) -> Scheduler:
    """KDPM2AncestralDiscreteScheduler."""
    return _exploding(config, DPM2Ancestral(), "epsilon", "v_prediction", rounded=True, inner="ancestral")


def lms(config: SchedulerConfig) -> Scheduler:
    """LMSDiscreteScheduler."""
    return _exploding(config, LMS())


def dpm_sde(config: SchedulerConfig) -> Scheduler:
    """DPMSolverSDEScheduler (with any source of noise; `Brownian` is the one it uses)."""
    return _exploding(config, DPMSolverPPSDE(), "epsilon", "v_prediction", inner="midpoint")
