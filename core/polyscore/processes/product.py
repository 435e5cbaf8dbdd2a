"""A process of processes: a mapping of leaves, each with its own process of any kind.

The law of the whole is the product of the leaves' laws given x0; only the denoiser couples them, which sees the joint state.
One time serves all leaves, or a mapping gives one per leaf; a leaf at t = 0 is known data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise import NoiseLike, as_noise, leaf_noise
from polyscore.processes.base import Perturbed, Process
from polyscore.state import NONE, Given, State, Time, leaf_given, leaf_time

__all__ = ["Product"]


@dataclass(frozen=True)
class _Leaf:
    """A leaf's part of a joint prediction."""

    x0: Any
    eps: Any


@dataclass(frozen=True, init=False)
class Product:
    """`Product(x=VP(), adj=VE())`: leaf by leaf, drawing noise in the order of the leaves.

    Args:
        leaves: a mapping from leaf name to process, or the same as keywords.

    Raises:
        InputError: a state whose leaves are not those of the process.
    """

    leaves: Mapping[str, Process]

    def __init__(self, leaves: Mapping[str, Process] | None = None, **named: Process) -> None:
        object.__setattr__(self, "leaves", {**(leaves or {}), **named})

    def __hash__(self) -> int:
        return hash(tuple(self.leaves.items()))

    def __iter__(self) -> Iterator[str]:
        return iter(self.leaves)

    def __getitem__(self, name: str) -> Process:
        return self.leaves[name]

    def default_grid(self, n: int) -> Tensor:
        """The leaves' default grid where they agree, else uniform."""
        first, *rest = (getattr(p, "default_grid", None) for p in self.leaves.values())
        times = None if first is None else torch.as_tensor(first(n), dtype=torch.float64)
        if times is None or any(g is None or not torch.equal(times, torch.as_tensor(g(n), dtype=torch.float64)) for g in rest):
            return torch.linspace(1, 0, n + 1, dtype=torch.float64)
        return times

    def prior(self, like: State, *, t: float = 1.0, given: Given = NONE, noise: NoiseLike = 0) -> State:
        """Each leaf's prior."""
        state, source = self._check(like), as_noise(noise)
        return {
            n: p.prior(state[n], t=t, given=leaf_given(given, n), noise=leaf_noise(source, n)) for n, p in self.leaves.items()
        }

    def perturb(self, x0: State, t: Time, *, given: Given = NONE, noise: NoiseLike = 0) -> Perturbed:
        """Each leaf noised at its time; `.x` and `.eps` are mappings."""
        state, source = self._check(x0), as_noise(noise)
        parts = {
            n: p.perturb(state[n], leaf_time(t, n), given=leaf_given(given, n), noise=leaf_noise(source, n))
            for n, p in self.leaves.items()
        }
        return Perturbed({n: part.x for n, part in parts.items()}, {n: part.eps for n, part in parts.items()})

    def transition(
        self, x: State, prediction: Any, t: Time, u: Time, *, eta: float = 1.0, given: Given = NONE, noise: NoiseLike = 0
    ) -> State:
        """Each leaf's transition; a leaf whose time is a plain number with u = t stays as it is."""
        state, source, out = self._check(x), as_noise(noise), {}
        for n, p in self.leaves.items():
            now, nxt = leaf_time(t, n), leaf_time(u, n)
            if isinstance(now, float) and isinstance(nxt, float) and now == nxt:
                out[n] = state[n]
                continue
            part = _Leaf(prediction.x0[n], None if prediction.eps is None else prediction.eps[n])
            out[n] = p.transition(state[n], part, now, nxt, eta=eta, given=leaf_given(given, n), noise=leaf_noise(source, n))
        return out

    def _check(self, state: State) -> Mapping[str, Any]:
        if not isinstance(state, Mapping) or set(state) != set(self.leaves):
            found = sorted(state) if isinstance(state, Mapping) else type(state).__name__
            raise InputError(f"Product: the state has leaves {found}, the process has {sorted(self.leaves)}")
        return state
