r"""A path of states from noise to data, x_T, ..., x_0, and the inversion that finds one.

The probability flow, run upwards in time, leads from data to the noise it comes from. Any deterministic sampler does it that is
given rising times. Its steps up are not the inverses of its steps down, so coming back misses the data by an error of the
sampler's order (`polyscore.editing.encode` has none). `DDIMInverse` is the published step

    eps = eps(x_u, t),     z_t = (a_t / a_u) z_u + (s_t - a_t s_u / a_u) eps,     u < t,

with the model asked about the state before the step at the time after it, which is finite at s_u = 0: it begins at data itself.

Sources: Song et al. 2021 (DDIM), arXiv 2010.02502; Dhariwal and Nichol 2021, arXiv 2105.05233, appendix F.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from polyscore.denoisers.base import Denoiser
from polyscore.errors import InputError
from polyscore.noise import Silent
from polyscore.processes import GaussianProcess
from polyscore.processes.grids import Grid
from polyscore.samplers import Plan, times_of, trajectory
from polyscore.samplers.builder import Builder, eps_form
from polyscore.samplers.loop import Sampler
from polyscore.state import NONE, Given

__all__ = ["DDIMInverse", "Path", "invert", "times_from"]


@dataclass(frozen=True, eq=False)
class Path:
    """States at falling times, the noisiest first.

    Attributes:
        times: as a sampler's grid.
        states: one a time; tensors or mappings.

    Raises:
        InputError: not one state a time, or times that do not fall.
    """

    times: tuple[float, ...]
    states: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len(self.times) != len(self.states) or any(u >= t for t, u in pairwise(self.times)):
            raise InputError(f"Path: {len(self.states)} states at times {self.times}; expected one a time, and falling times")

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.times) - 1

    def index(self, t: Any) -> int:
        """The place of time `t`.

        Raises:
            InputError: the path has no such time, or nothing after it.
        """
        if not isinstance(t, float) or t not in self.times[:-1]:
            raise InputError(f"Path: nothing at t = {t}; the sampler has to take the path's own times {self.times}")
        return self.times.index(t)


@dataclass(frozen=True)
class DDIMInverse:
    """The step of the module docstring, for rising times; one call a step."""

    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for _, u, t in b.steps:
            b.call(t, form=eps_form(t))
            b.move(t, keep=t.a / u.a, preds=[t.s - t.a * u.s / u.a], ends=True)
        return b.plan()


def times_from(start: float | None, process: Any, steps: int, grid: Grid | Sequence[float] | None = None) -> list[float]:
    """The times of a grid of `steps` steps from `start` on: `start` itself, then those below it; all of them for None.

    Raises:
        InputError: `start` is not between the grid's ends.
    """
    times = times_of(process, steps, grid)
    if start is None:
        return times
    if not times[-1] < start <= times[0]:
        raise InputError(f"start: {start}, expected a time above {times[-1]} and up to {times[0]}")
    return [start, *(t for t in times if t < start)]


def invert(
    denoiser: Denoiser,
    process: Any,
    x: Any,
    *,
    steps: int,
    grid: Grid | Sequence[float] | None = None,
    start: float | None = None,
    solver: Sampler | None = None,
    floor: float = 0.0,
    given: Given = NONE,
) -> Path:
    """The path that leads to `x`; `sample(DDIM(), ..., steps=path.steps, grid=path.times, init=path.states[0])` goes along it.

    Args:
        denoiser: the model.
        process: of the model; a `Product` for mapping states.
        x: data (B, ...).
        steps: of the grid.
        grid: falling times, as for sampling; default the process's own.
        start: go up to this time only; default the grid's first.
        solver: any deterministic sampler; default `DDIMInverse()`.
        floor: `x` is taken for a state at this time; most solvers need one above 0, where data has no noise to read.
        given: end point, conditioning, mask.
    """
    times = times_from(start, process, steps, grid)
    if floor > times[-1]:
        times = [*(t for t in times[:-1] if t > floor), floor]
    begin = process.perturb(x, times[-1], given=given, noise=Silent()).x if times[-1] > 0 else x
    up = trajectory(
        solver or DDIMInverse(), denoiser, process, x, steps=len(times) - 1, grid=times[::-1], given=given, init=begin
    )
    states = [begin, *(frame.x for frame in up)]
    return Path(tuple(times), tuple(states[::-1]))
