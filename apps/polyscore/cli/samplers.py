"""Command line names of samplers: an explicit table, readable without importing any of them.

It has every sampler of `polyscore.samplers` that draws from a model and a number of steps alone, in the orders people use. Left
out are those that need more (a known region, one sampler a leaf, the tables of one process) and the adaptive ones: their step
size comes from the whole batch, and here sample i must depend on its own seed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["SAMPLERS", "make"]

# name: (class of polyscore.samplers, its arguments)
SAMPLERS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "ddim": ("DDIM", {}),
        "ddpm": ("DDPM", {}),
        "euler": ("Euler", {}),
        "euler-a": ("EulerAncestral", {}),
        "heun": ("Heun", {}),
        "midpoint": ("Midpoint", {}),
        "rk4": ("RungeKutta", {}),
        "dpm2": ("DPM2", {}),
        "dpm2-a": ("DPM2Ancestral", {}),
        "lms": ("LMS", {}),
        "deis-2": ("DEIS", {"order": 2}),
        "deis-3": ("DEIS", {"order": 3}),
        "pndm": ("PNDM", {}),
        "plms": ("PLMS", {}),
        "ghvb": ("GHVB", {}),
        "dpm-2m": ("DPMSolver", {"order": 2}),
        "dpm-3m": ("DPMSolver", {"order": 3}),
        "dpm-2s": ("DPMSolverSinglestep", {"order": 2}),
        "dpm-3s": ("DPMSolverSinglestep", {"order": 3}),
        "dpm-3": ("DPMSolver3", {}),
        "dpmpp-2m": ("DPMSolverPP", {"order": 2}),
        "dpmpp-3m": ("DPMSolverPP", {"order": 3}),
        "dpmpp-2s": ("DPMSolverPP2S", {}),
        "dpmpp-2s-a": ("DPMSolverPP2SAncestral", {}),
        "dpmpp-sde": ("DPMSolverPPSDE", {}),
        "sde-dpmpp-2m": ("SDEDPMSolverPP", {"order": 2}),
        "sde-dpmpp-3m": ("SDEDPMSolverPP", {"order": 3}),
        "unip-2": ("UniP", {"order": 2}),
        "unipc-2": ("UniPC", {"order": 2}),
        "unipc-3": ("UniPC", {"order": 3}),
        "edm-churn": ("EDMChurn", {}),
        "reverse-diffusion": ("ReverseDiffusion", {}),
        "pc": ("PredictorCorrector", {}),
    }
)


def make(name: str) -> Any:
    """The sampler of a name.

    Raises:
        InputError: an unknown name.
    """
    import difflib

    from polyscore import samplers
    from polyscore.errors import InputError

    if name not in SAMPLERS:
        close = difflib.get_close_matches(name, SAMPLERS, 1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise InputError(f"--sampler {name}: there is no such sampler{hint} The names are {', '.join(SAMPLERS)}")
    cls, arguments = SAMPLERS[name]
    return getattr(samplers, cls)(**arguments)
