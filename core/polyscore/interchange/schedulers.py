"""The diffusers scheduler classes that are covered, and the function that reads each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from polyscore.interchange.config import SchedulerConfig
from polyscore.interchange.families import edm, exploding, exponential, flow, indexed
from polyscore.interchange.families.fields import Scheduler

__all__ = ["TRANSLATORS", "Scheduler"]

TRANSLATORS: Mapping[str, Callable[[SchedulerConfig], Scheduler]] = MappingProxyType(
    {
        "DDIMScheduler": indexed.ddim,
        "DDIMParallelScheduler": indexed.ddim,
        "DDIMInverseScheduler": indexed.ddim_inverse,
        "CogVideoXDDIMScheduler": indexed.ddim_cogvideo,
        "DDPMScheduler": indexed.ddpm,
        "DDPMParallelScheduler": indexed.ddpm,
        "UnCLIPScheduler": indexed.unclip,
        "PNDMScheduler": indexed.pndm,
        "IPNDMScheduler": indexed.ipndm,
        "LCMScheduler": indexed.lcm,
        "TCDScheduler": indexed.tcd,
        "EulerDiscreteScheduler": exploding.euler,
        "EulerAncestralDiscreteScheduler": exploding.euler_ancestral,
        "HeunDiscreteScheduler": exploding.heun,
        "KDPM2DiscreteScheduler": exploding.kdpm2,
        "KDPM2AncestralDiscreteScheduler": exploding.kdpm2_ancestral,
        "LMSDiscreteScheduler": exploding.lms,
        "DPMSolverSDEScheduler": exploding.dpm_sde,
        "DPMSolverMultistepScheduler": exponential.dpm_multistep,
        "DPMSolverSinglestepScheduler": exponential.dpm_singlestep,
        "DEISMultistepScheduler": exponential.deis,
        "UniPCMultistepScheduler": exponential.unipc,
        "SASolverScheduler": exponential.sa_solver,
        "EDMEulerScheduler": edm.edm_euler,
        "EDMDPMSolverMultistepScheduler": edm.edm_dpm,
        "CosineDPMSolverMultistepScheduler": edm.edm_cosine,
        "CMStochasticIterativeScheduler": edm.consistency,
        "FlowMatchEulerDiscreteScheduler": flow.flow_euler,
        "FlowMatchHeunDiscreteScheduler": flow.flow_heun,
        "FlowMatchLCMScheduler": flow.flow_lcm,
        "LTXEulerAncestralRFScheduler": flow.flow_ancestral,
    }
)
