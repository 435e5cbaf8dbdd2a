"""Guidance rescale: strong guidance without washed-out contrast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from polyscore.denoisers.base import Prediction
from polyscore.errors import InputError
from polyscore.guidance.wrapper import Wrapper, real
from polyscore.state import Given, LeafTime, State, Time, leaf_given, leaf_time

__all__ = ["Rescale"]


@dataclass(frozen=True)
class Rescale(Wrapper):
    """o <- phi o std(o_cond) / std(o) + (1 - phi) o, std over each sample (Lin et al. 2023, arXiv 2305.08891, equations 15, 16).

    The paper rescales the network's output o; `output` says which that is: "x0" (no process needed), "eps" (not where a = 0), or
    "v" = a eps - s x0. phi = 0 changes nothing, bit for bit. A prediction without a "cond" in its `extra` (outside a guidance
    interval, or at the neutral scale) passes unchanged.

    Args:
        denoiser: a guided denoiser that keeps the conditional x0 in `extra["cond"]`: `CFG`, `CFGPlusPlus`, `Autoguidance`.
        phi: strength, 0 to 1.
        output: what is rescaled.
        process: the process of the run, for "eps" and "v".

    Raises:
        InputError: an unknown output, or "eps" or "v" without a process.
    """

    phi: float = 0.7
    output: Literal["x0", "eps", "v"] = "x0"
    process: Any = None

    def __post_init__(self) -> None:
        if self.output not in {"x0", "eps", "v"} or (self.output != "x0" and self.process is None):
            raise InputError(
                f"Rescale: output {self.output!r} with process {self.process}; expected x0, or eps or v with a process"
            )

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        prediction = self.denoiser(x, t, given)
        cond = prediction.extra.get("cond")
        if self.phi == 0.0 or cond is None:
            return prediction
        x0: Any = prediction.x0
        if not isinstance(x, Mapping):
            return Prediction(self._leaf(self.process, x, t, given, x0, cond), prediction.eps, prediction.extra)
        out = {}
        for n, leaf in x.items():
            process = None if self.process is None else self.process[n]
            out[n] = self._leaf(process, leaf, leaf_time(t, n), leaf_given(given, n), x0[n], cond[n])
        return Prediction(out, prediction.eps, prediction.extra)

    def _leaf(self, process: Any, x: Tensor, t: Any, given: Given, x0: Tensor, cond: Tensor) -> Tensor:
        """With o = base + gain x0: the output's ratio of spreads, and the x0 of the rescaled output."""
        if self.output == "x0":
            return x0 * self._factor(x0, cond)
        base, gain = self._form(process, x, t, given)
        guided = base + gain * x0
        return x0 + guided * (self._factor(guided, base + gain * cond) - 1) / gain

    def _form(self, process: Any, x: Tensor, t: LeafTime, given: Given) -> tuple[Tensor, Tensor]:
        a, b, s = (real(c, t, x) for c in process.coefs_of(t))
        z = x if given.y is None else x - b * given.y
        return (z / s, -a / s) if self.output == "eps" else (a * z / s, -(a**2) / s - s)

    def _factor(self, guided: Tensor, cond: Tensor) -> Tensor:
        axes = tuple(range(1, guided.ndim))
        wanted, spread = (torch.std(part, axes, keepdim=True) for part in (cond, guided))
        ratio = torch.where(spread > 0, wanted / spread, torch.ones_like(spread))  # an empty sample (all masked) has none
        return self.phi * ratio + (1 - self.phi)
