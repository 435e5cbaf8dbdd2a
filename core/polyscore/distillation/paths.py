"""Paths: how a view becomes a noised state. `Forward` draws noise, `Inversion` follows the model's own flow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from polyscore.distillation.point import Point, Stretch
from polyscore.distillation.terms import Mix, Term
from polyscore.errors import InputError

__all__ = ["Forward", "Inversion", "Path"]


class Path(ABC):
    """From the view of a point (whose x is not yet meant) to its state at t."""

    @abstractmethod
    def __call__(self, point: Point) -> Point: ...


@dataclass(frozen=True)
class Forward(Path):
    """x = a z + s n."""

    def __call__(self, point: Point) -> Point:
        return replace(point, x=point.noised(point.z, point.t))


@dataclass(frozen=True)
class Inversion(Path):
    """The probability flow backwards by DDIM steps, from z at the time `start` to t.

    Steps of `stride` from `start` as long as they stay below t - `last`, then one to t - `last`, then one of `last` to t,
    which is kept as `point.stretch` (LucidDreamer's ISM, arXiv 2311.11284, with last = delta_t). With `count` the way is `count`
    equal steps (SDI, Lukoianov et al. 2024, arXiv 2405.15891).

    Args:
        start: first time; the state there is a z + s n with the drawn noise.
        stride, last: sizes of the steps.
        count: number of equal steps instead.
        term: which eps is followed: the inversion's prompt, or guided by it.
        eta: noise put back at every step, as a share of the stochastic step's (0: deterministic).
    """

    start: float = 0.001
    stride: float = 0.2
    last: float = 0.05
    count: int = 0
    term: Term = Mix({"inversion": 1.0})
    eta: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.start < 1 and self.stride > 0 and self.last >= 0 and self.count >= 0 and 0 <= self.eta <= 1):
            raise InputError(f"Inversion: {self}; expected 0 < start < 1, stride > 0, last >= 0, count >= 0, 0 <= eta <= 1")

    def times(self, t: Tensor) -> list[Tensor]:
        """The grid of every sample, ending at t."""
        if self.count:
            return [self.start + (t - self.start) * k / self.count for k in range(self.count + 1)]
        end = (t - self.last).clamp(min=self.start)
        steps = max(int(torch.ceil((end.max() - self.start) / self.stride - 1e-9)), 0)
        inner = [torch.minimum(self.start + k * self.stride + torch.zeros_like(t), end) for k in range(steps)]
        return [*inner, end, t]

    def __call__(self, point: Point) -> Point:
        grid = self.times(point.t)
        at = point.at(point.noised(point.z, grid[0]), grid[0])
        stretch = None
        for u in grid[1:]:
            eps = self.term(at)
            put = eps if self.eta == 0 else (1 - self.eta**2) ** 0.5 * eps + self.eta * point.noise
            stretch = Stretch(at.x, at.t, eps)
            a, _, s = at.coefs(u)
            at = at.at(a * at.clean(eps) + s * put, u)
        return replace(at, stretch=stretch)
