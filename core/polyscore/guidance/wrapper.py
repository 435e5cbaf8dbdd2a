"""What all wrappers share: they hold a denoiser, pass `begin` on to it, and work leaf by leaf on mapping states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import torch
from torch import Tensor

from polyscore.denoisers.base import Denoiser, begin
from polyscore.processes import expand
from polyscore.state import Given, LeafTime, State, Time, leaf_given, leaf_time, map_state

__all__ = ["Wrapper", "between", "each_alike", "each_leaf", "held", "real"]

LeafRule: TypeAlias = Callable[..., Tensor]


@dataclass(frozen=True)
class Wrapper:
    """A denoiser made of a denoiser. `begin(step, stage)` reaches every denoiser it holds."""

    denoiser: Denoiser

    def begin(self, step: int, stage: int) -> None:
        """Pass the place in the loop on to what is wrapped."""
        for field in fields(self):
            begin(getattr(self, field.name), step, stage)


def between(start: State, end: State, weight: float) -> State:
    """start + weight (end - start), leaf by leaf."""
    return map_state(lambda a, b: torch.add(a, b - a, alpha=weight), start, end)


def each_leaf(rule: LeafRule, process: Any, x: State, t: Time, given: Given, *states: State) -> State:
    """`rule(process, x, t, given, *states)` for the state or for every leaf of a mapping; leaves held at t = 0 give zeros."""
    if not isinstance(x, Mapping):
        return rule(process, x, t, given, *states)
    out = {}
    for name, leaf in x.items():
        time = leaf_time(t, name)
        parts = [state[name] for state in states if isinstance(state, Mapping)]
        out[name] = torch.zeros_like(leaf) if held(t, name) else rule(process[name], leaf, time, leaf_given(given, name), *parts)
    return out


def held(t: Time, name: str) -> bool:
    """Whether leaf `name` is known data: at t = 0, said as a number."""
    time = leaf_time(t, name)
    return not isinstance(time, Tensor) and time == 0.0


def real(coef: Tensor, t: LeafTime, x: Tensor) -> Tensor:
    """A coefficient at time t, ready to multiply x."""
    return expand(coef, torch.as_tensor(t, dtype=torch.float64), x).to(x.real.dtype if x.is_complex() else x.dtype)


def each_alike(weight: Tensor, x: Tensor) -> Tensor:
    """A number for each sample (B,), ready to multiply x (B, ...)."""
    return weight.to(x.device, x.real.dtype if x.is_complex() else x.dtype).reshape(-1, *[1] * (x.ndim - 1))
