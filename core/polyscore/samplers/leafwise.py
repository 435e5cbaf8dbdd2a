"""One sampler per leaf of a product, for one joint evaluation of the denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Leafwise"]


@dataclass(frozen=True, init=False)
class Leafwise:
    """`Leafwise(pos=DPMSolverPP(), types=DDIM(1.0))`: each leaf steps with its own solver.

    The denoiser is called once a stage with the joint state, so the solvers must evaluate at the same stages (any two multistep
    methods do, and any two methods with the same number of stages).
    """

    solvers: Mapping[str, Any]

    def __init__(self, solvers: Mapping[str, Any] | None = None, **named: Any) -> None:
        object.__setattr__(self, "solvers", {**(solvers or {}), **named})

    def __getitem__(self, name: str) -> Any:
        return self.solvers[name]
