"""Schedulers on the indices of a beta table: DDIM, DDPM, PNDM and their kin, and the consistency models distilled on them."""

from __future__ import annotations

from typing import Literal

from polyscore.interchange.config import SchedulerConfig
from polyscore.interchange.families.fields import TABLE_TYPES, Scheduler, offset_of, spacing_of, table_readout, with_zero_snr
from polyscore.interchange.free_grids import AngleSteps
from polyscore.interchange.pndm import IPNDM, IndexPLMS, IndexPNDM
from polyscore.interchange.processes import SineProcess, UnitTable
from polyscore.interchange.readout import Readout, TableReadout
from polyscore.interchange.stepping import LargeVariance, Renoise, StridedDDIM, TrajectoryConsistency
from polyscore.interchange.table_grids import DistilledSteps, IndexSteps
from polyscore.interchange.tables import betas_of, shifted_betas
from polyscore.processes import cosine_betas
from polyscore.samplers import DDIM, DDPM

__all__ = ["ddim", "ddim_cogvideo", "ddim_inverse", "ddpm", "ipndm", "lcm", "pndm", "tcd", "unclip"]


def _index_ddim(config: SchedulerConfig, betas: tuple[float, ...], readout: Readout) -> Scheduler:
    floor = -1 if config["set_alpha_to_one"] else 0
    grid = IndexSteps(spacing_of(config), offset_of(config), floor=floor)
    sampler = DDIM() if grid.spacing == "leading" else StridedDDIM(len(betas), floor)
    return Scheduler(UnitTable(betas), sampler, grid, readout)


def ddim(config: SchedulerConfig) -> Scheduler:
    """DDIMScheduler, DDIMParallelScheduler."""
    return _index_ddim(config, with_zero_snr(config, betas_of(config)), table_readout(config, own_eps=True))


def ddim_cogvideo(config: SchedulerConfig) -> Scheduler:
    """CogVideoXDDIMScheduler: a table with its SNR shifted."""
    shift, zero = config.number("snr_shift_scale", low=0), bool(config["rescale_betas_zero_snr"])
    readout = TableReadout(config.one_of("prediction_type", *TABLE_TYPES))  # its clip_sample has no effect
    return _index_ddim(config, shifted_betas(betas_of(config), shift, zero_snr=zero), readout)


def ddim_inverse(config: SchedulerConfig) -> Scheduler:
    """DDIMInverseScheduler: DDIM from data to noise."""
    if config["set_alpha_to_one"]:
        raise config.refuse("set_alpha_to_one", "inversion from clean data has no noise to continue; set it to false")
    config.one_of("timestep_spacing", "leading")
    if config["clip_sample"] and offset_of(config) == 0:
        raise config.refuse("clip_sample", "with steps_offset 0 the first step has no length, and clips; set it to false")
    grid = IndexSteps("leading", offset_of(config), floor=0, reverse=True)
    return Scheduler(UnitTable(with_zero_snr(config, betas_of(config))), DDIM(), grid, table_readout(config, own_eps=True))


def ddpm(config: SchedulerConfig) -> Scheduler:
    """DDPMScheduler, DDPMParallelScheduler."""
    variance = config.one_of("variance_type", "fixed_small", "fixed_small_log", "fixed_large")
    betas = with_zero_snr(config, betas_of(config, "laplace", "sigmoid"))
    sampler = LargeVariance(1 / len(betas)) if variance == "fixed_large" else DDPM()
    return Scheduler(
        UnitTable(betas), sampler, IndexSteps(spacing_of(config), offset_of(config), stride=False), table_readout(config)
    )


def unclip(config: SchedulerConfig) -> Scheduler:
    """UnCLIPScheduler, as its pipelines run it (each step goes to the next timestep)."""
    config.one_of("variance_type", "fixed_small_log")
    config.one_of("beta_schedule", "squaredcos_cap_v2")
    betas = cosine_betas(config.count("num_train_timesteps"))
    grid = IndexSteps("linspace", stride=False)
    return Scheduler(UnitTable(betas), DDPM(), grid, table_readout(config, "epsilon", "sample"))


def pndm(config: SchedulerConfig) -> Scheduler:
    """PNDMScheduler, with and without its Runge-Kutta steps."""
    betas, floor = betas_of(config), -1 if config["set_alpha_to_one"] else 0
    readout = table_readout(config, "epsilon", "v_prediction")
    output: Literal["eps", "v"] = "v" if readout.predicts == "v_prediction" else "eps"
    sampler = (IndexPLMS if config["skip_prk_steps"] else IndexPNDM)(len(betas), floor, output)
    return Scheduler(UnitTable(betas), sampler, IndexSteps(spacing_of(config), offset_of(config), floor=floor), readout)


def ipndm(config: SchedulerConfig) -> Scheduler:
    """IPNDMScheduler."""
    if config["trained_betas"] is not None:
        raise config.refuse(
            "trained_betas", "IPNDM reads them as the noise levels of one run; only its sine schedule is reproduced"
        )
    return Scheduler(SineProcess(), IPNDM(), AngleSteps(), TableReadout("v_prediction"))


def _distilled(config: SchedulerConfig) -> tuple[UnitTable, int]:
    return UnitTable(with_zero_snr(config, betas_of(config))), config.count("original_inference_steps")


def lcm(config: SchedulerConfig) -> Scheduler:
    """LCMScheduler."""
    process, original = _distilled(config)
    sampler = Renoise(config.number("timestep_scaling", low=1e-6), len(process))
    return Scheduler(process, sampler, DistilledSteps(original), table_readout(config))


def tcd(config: SchedulerConfig) -> Scheduler:
    """TCDScheduler."""
    process, original = _distilled(config)
    readout = TableReadout(config.one_of("prediction_type", *TABLE_TYPES))  # its clip_sample and thresholding have no effect
    return Scheduler(process, TrajectoryConsistency(total=len(process)), DistilledSteps(original, floor=0), readout)
