"""Diffusers' schedulers as shipped, or recomputed in float64, with noise that the test supplies.

`load` executes a copy of the installed scheduler's source in a module of its own: on demand every float32 literal is replaced by
float64; `randn_tensor` and the Brownian tree are replaced by given draws, torchsde is not imported. The installed package is not
touched.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor

FOLDER = Path(diffusers.__file__).parent / "schedulers"
MODULES = {
    "DDIMScheduler": "ddim",
    "DDIMParallelScheduler": "ddim_parallel",
    "DDIMInverseScheduler": "ddim_inverse",
    "CogVideoXDDIMScheduler": "ddim_cogvideox",
    "DDPMScheduler": "ddpm",
    "DDPMParallelScheduler": "ddpm_parallel",
    "UnCLIPScheduler": "unclip",
    "PNDMScheduler": "pndm",
    "IPNDMScheduler": "ipndm",
    "LCMScheduler": "lcm",
    "TCDScheduler": "tcd",
    "EulerDiscreteScheduler": "euler_discrete",
    "EulerAncestralDiscreteScheduler": "euler_ancestral_discrete",
    "HeunDiscreteScheduler": "heun_discrete",
    "KDPM2DiscreteScheduler": "k_dpm_2_discrete",
    "KDPM2AncestralDiscreteScheduler": "k_dpm_2_ancestral_discrete",
    "LMSDiscreteScheduler": "lms_discrete",
    "DPMSolverSDEScheduler": "dpmsolver_sde",
    "DPMSolverMultistepScheduler": "dpmsolver_multistep",
    "DPMSolverSinglestepScheduler": "dpmsolver_singlestep",
    "DEISMultistepScheduler": "deis_multistep",
    "UniPCMultistepScheduler": "unipc_multistep",
    "SASolverScheduler": "sasolver",
    "EDMEulerScheduler": "edm_euler",
    "EDMDPMSolverMultistepScheduler": "edm_dpmsolver_multistep",
    "CosineDPMSolverMultistepScheduler": "cosine_dpmsolver_multistep",
    "CMStochasticIterativeScheduler": "consistency_models",
    "FlowMatchEulerDiscreteScheduler": "flow_match_euler_discrete",
    "FlowMatchHeunDiscreteScheduler": "flow_match_heun_discrete",
    "FlowMatchLCMScheduler": "flow_match_lcm",
    "LTXEulerAncestralRFScheduler": "ltx_euler_ancestral_rf",
}


class Draws:
    """Stands for `randn_tensor` and for the Brownian tree: the k-th draw is the k-th tensor."""

    def __init__(self) -> None:
        self.source: Callable[[], Tensor] = lambda: torch.zeros(())

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.source()


@cache
def load(name: str, *, double: bool) -> tuple[type[Any], Draws]:
    """The scheduler class `name` and the object its noise comes from."""
    source = (FOLDER / f"scheduling_{MODULES[name]}.py").read_text(encoding="utf-8")
    if double:
        source = (
            source.replace("torch.float32", "torch.float64").replace("np.float32", "np.float64").replace(".float()", ".double()")
        )
    source = source.replace("import torchsde\n", "torchsde = None\n")
    for other, short in MODULES.items():  # a scheduler built on another one takes that one's copy
        if short != MODULES[name] and f"from .scheduling_{short} import" in source:
            load(other, double=double)
            source = source.replace(
                f"from .scheduling_{short} import", f"from ._{'double' if double else 'single'}_{short} import"
            )
    module = types.ModuleType(f"diffusers.schedulers._{'double' if double else 'single'}_{MODULES[name]}")
    module.__package__, module.__file__ = "diffusers.schedulers", str(FOLDER / f"scheduling_{MODULES[name]}.py")
    sys.modules[module.__name__] = module
    exec(compile(source, module.__name__, "exec"), module.__dict__)
    draws = Draws()
    for attribute in ("randn_tensor", "BrownianTreeNoiseSampler"):
        if hasattr(module, attribute):
            setattr(module, attribute, draws if attribute == "randn_tensor" else lambda *a, **k: draws)
    return getattr(module, name), draws


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Tensors that diffusers makes without naming a dtype take this one."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
