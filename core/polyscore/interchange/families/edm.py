"""EDM's schedulers and consistency models."""

from __future__ import annotations

from typing import Literal

from polyscore.interchange.clock import StepGrid
from polyscore.interchange.config import SchedulerConfig
from polyscore.interchange.families.exponential import adams, dpm_form
from polyscore.interchange.families.fields import Scheduler, limit_of, order_of
from polyscore.interchange.free_grids import EDMSteps
from polyscore.interchange.levels import Layout
from polyscore.interchange.processes import WideEDM
from polyscore.interchange.readout import BoundaryReadout, Clip, EDMReadout, Readout
from polyscore.interchange.stepping import Renoise
from polyscore.interchange.table_grids import Final
from polyscore.processes import GaussianProcess
from polyscore.samplers import DDIM, HALF_GAIN, DataForm
from polyscore.samplers.forms import EXACT

__all__ = ["consistency", "edm_cosine", "edm_dpm", "edm_euler"]


def _edm_setup(
    config: SchedulerConfig, told: Literal["log", "angle"] = "log", last: Final = "table"
) -> tuple[GaussianProcess, StepGrid, Readout]:
    low, high = config.number("sigma_min", low=1e-12), config.number("sigma_max", low=1e-12)
    final: Final = last if config.one_of("final_sigmas_type", "zero", "sigma_min") == "sigma_min" else "zero"
    layout: Layout = config.one_of("sigma_schedule", "karras", "exponential")
    grid = EDMSteps(low, high, config.number("rho", low=1e-3), layout, final, told)
    predicts: Literal["epsilon", "v_prediction"] = config.one_of("prediction_type", "epsilon", "v_prediction")
    return WideEDM(high, low), grid, EDMReadout(predicts, config.number("sigma_data", low=1e-6), limit_of(config))


def edm_euler(config: SchedulerConfig) -> Scheduler:
    """EDMEulerScheduler."""
    process, grid, readout = _edm_setup(config, last="last")
    return Scheduler(process, DDIM(), grid, readout)


def edm_dpm(config: SchedulerConfig) -> Scheduler:
    """EDMDPMSolverMultistepScheduler."""
    config.one_of("algorithm_type", "dpmsolver++", "sde-dpmsolver++", "deis")
    form, rule = dpm_form(config, order_of(config))
    if config["algorithm_type"] == "sde-dpmsolver++" and order_of(config) == 3:
        raise config.refuse("solver_order", "diffusers has no third-order formula for sde-dpmsolver++ here")
    process, grid, readout = _edm_setup(config)
    return Scheduler(process, adams(config, order_of(config), form, rule), grid, readout)


def edm_cosine(config: SchedulerConfig) -> Scheduler:
    """CosineDPMSolverMultistepScheduler."""
    if order_of(config) == 3:
        raise config.refuse("solver_order", "diffusers has no third-order formula here")
    solver_type = config.one_of("solver_type", "midpoint", "heun", "logrho", "bh1", "bh2")
    process, grid, readout = _edm_setup(config, "angle")
    rule = EXACT if solver_type == "heun" else HALF_GAIN
    return Scheduler(process, adams(config, order_of(config), DataForm(eta=1.0), rule), grid, readout)


def consistency(config: SchedulerConfig) -> Scheduler:
    """CMStochasticIterativeScheduler."""
    low, high, sd = (config.number(f, low=1e-12) for f in ("sigma_min", "sigma_max", "sigma_data"))
    grid = EDMSteps(
        low, high, config.number("rho", low=1e-3), final="table", told="log1000", train=config.count("num_train_timesteps")
    )
    sampler = Renoise(floor=low**2, gain=config.number("s_noise", low=0))
    readout = BoundaryReadout(low, sd, Clip(1.0) if config["clip_denoised"] else None)
    return Scheduler(WideEDM(high, low, data_std=0.0), sampler, grid, readout)
