r"""BESO's samplers under its names: members of the core, and k-diffusion's two solvers that end at the lowest level.

| original name | sampler |
|---|---|
| ddim | `DDIM` |
| euler, heun | `EDMChurn` around Euler or Heun in sigma |
| dpm | `DPM2` |
| dpmpp_2s, dpmpp_2m | `DPMSolverPP2S`, `DPMSolverPP` |
| lms | `LMS` |
| euler_ancestral, ancestral, dpmpp_2s_ancestral | `EulerAncestral`, `DPM2Ancestral`, `DPMSolverPP2SAncestral` |
| dpmpp_sde | `DPMSolverPPSDE`; the original runs it under the name dpmpp_2m_sde as well |
| dpmpp_2m_sde | `SDEDPMSolverPP(order=2)`, what the name says |
| dpm_fast, dpm_adaptive | `DPMFast`, `DPMAdaptive` |

Source: Crowson's k-diffusion (2022); Lu et al. 2022, arXiv:2206.00927 and arXiv:2211.01095; Karras et al. 2022, arXiv:2206.00364.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyscore.errors import InputError
from polyscore.processes import GaussianProcess
from polyscore.processes.clocks import LOG_SNR
from polyscore.samplers import (
    DDIM,
    DPM2,
    HALF_GAIN,
    LMS,
    NOISE,
    AdaptiveDPMSolver,
    Builder,
    DPM2Ancestral,
    DPMSolver3,
    DPMSolverPP,
    DPMSolverPP2S,
    DPMSolverPP2SAncestral,
    DPMSolverPPSDE,
    DPMSolverSinglestep,
    EDMChurn,
    EulerAncestral,
    Heun,
    Plan,
    Run,
    RungeKutta,
    SDEDPMSolverPP,
    StepState,
)
from polyscore.samplers.adaptive import _Stride
from polyscore.samplers.runge_kutta import EULER

__all__ = ["SAMPLERS", "DPMAdaptive", "DPMFast", "make"]

SAMPLERS = (
    "ddim",
    "euler",
    "heun",
    "dpm",
    "dpmpp_2s",
    "dpmpp_2m",
    "lms",
    "euler_ancestral",
    "ancestral",
    "dpmpp_2s_ancestral",
    "dpmpp_sde",
    "dpmpp_2m_sde",
    "dpm_fast",
    "dpm_adaptive",
)
