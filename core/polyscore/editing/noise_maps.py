r"""Data as the noise of a stochastic sampler: replayed, the noise gives the data back; replayed under another condition, an edit.

With mu and v of the step x_u = mu(x_t, x0hat) + v z, any states x_T, ..., x_0 of given data x_0 are reached by

    z_t = (x_u - mu(x_t, x0hat(x_t))) / v,

and two ways of choosing them are published:

    edit friendly    x_t = a x_0 + b y + s eps_t with its own eps_t for every t: the z are large and unlike white noise, and carry
                     the layout of the data
    DPM-Encoder      x_T ~ q(x_T | x_0), x_u ~ q(x_u | x_t, x_0), the process's posterior: the z are nearly white

The last step has v = 0; replayed, it adds s_t z with the noise level it starts from, so that what is left is in z too.

Sources: Huberman-Spiegelglas et al. 2024 (edit friendly), arXiv 2304.06140; Wu and De la Torre 2023 (CycleDiffusion), arXiv
2210.05559.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers.base import Denoiser, Prediction, begin
from polyscore.editing.interpolation import slerp
from polyscore.editing.path import Path, times_from
from polyscore.errors import InputError
from polyscore.guidance.wrapper import real
from polyscore.noise import Noise, NoiseLike, Recorded, Silent, as_noise
from polyscore.processes import GaussianProcess
from polyscore.processes.grids import Grid
from polyscore.samplers import DDIM, Plan, sample
from polyscore.samplers.builder import Solver
from polyscore.state import NONE, Given, map_state

__all__ = ["NoiseMaps", "Replayed", "WithLastDraw", "dpm_encoder", "edit_friendly", "noise_maps"]


class Replayed:
    """Noise that was recorded, one state a step: a tensor, or a mapping whose leaves have a path each."""

    def __init__(self, draws: Sequence[Any]) -> None:
        self.draws = tuple(draws)
        self._all = Recorded([draw for draw in self.draws if isinstance(draw, Tensor)])

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        return self._all(like, t, u)

    def leaf(self, name: str) -> Noise:
        """The path of one leaf."""
        return Recorded([draw[name] for draw in self.draws])


@dataclass(frozen=True)
class WithLastDraw:
    """A solver whose last stage, where it draws nothing, draws with the noise level it starts from."""

    solver: Solver

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        plan = self.solver.plan(process, times)
        last = plan.stages[-1]
        noise = last.noise if last.noise != 0.0 else last.level[2]
        return replace(plan, stages=(*plan.stages[:-1], replace(last, noise=noise, span=(times[-2], times[-1]))))


@dataclass(frozen=True, eq=False)
class NoiseMaps:
    """The noise z of every step, and the states between them.

    Attributes:
        path: x_T, ..., x_0.
        draws: z, one a step; change them to manipulate the data (flipped noise gives flipped data).
        eta: of the steps.
    """

    path: Path
    draws: tuple[Any, ...]
    eta: float = 1.0

    def replay(self, denoiser: Denoiser, process: Any, *, given: Given = NONE, skip: int = 0) -> Any:
        """The data, under the denoiser and the condition they were made with; an edit or a translation under others.

        Args:
            denoiser: this or another model on the same states.
            process: that of the maps.
            given: what is wanted.
            skip: number of first steps left out; the more, the closer to the data.
        """
        times, begin_at = self.path.times[skip:], self.path.states[skip]
        solver, noise = WithLastDraw(DDIM(self.eta)), Replayed(self.draws[skip:])
        steps = len(times) - 1
        return sample(solver, denoiser, process, begin_at, steps=steps, grid=times, given=given, noise=noise, init=begin_at)

    def towards(self, other: NoiseMaps, weight: float) -> NoiseMaps:
        """The maps at `weight` of the way to another, by `slerp` of every state and draw: noise between noise.

        Raises:
            InputError: maps of other times or steps.
        """
        if (self.path.times, self.eta) != (other.path.times, other.eta):
            raise InputError("NoiseMaps: the two differ in their times or in eta; expected maps made with the same arguments")
        states = (slerp(a, b, weight) for a, b in zip(self.path.states, other.path.states, strict=True))
        draws = (slerp(a, b, weight) for a, b in zip(self.draws, other.draws, strict=True))
        return NoiseMaps(Path(self.path.times, tuple(states)), tuple(draws), self.eta)

    @classmethod
    def cat(cls, maps: Sequence[NoiseMaps]) -> NoiseMaps:
        """Several as one batch, in order.

        Raises:
            InputError: none, or maps of other times or steps.
        """
        if len({(one.path.times, one.eta) for one in maps}) != 1:
            raise InputError(f"NoiseMaps: {len(maps)} of different times or eta; expected some made with the same arguments")
        first = maps[0]
        states = (_rows(parts) for parts in zip(*(one.path.states for one in maps), strict=True))
        draws = (_rows(parts) for parts in zip(*(one.draws for one in maps), strict=True))
        return cls(Path(first.path.times, tuple(states)), tuple(draws), first.eta)


def _rows(parts: Sequence[Any]) -> Any:
    return map_state(lambda *leaves: torch.cat(leaves), *parts)


def noise_maps(denoiser: Denoiser, process: Any, path: Path, *, eta: float = 1.0, given: Given = NONE) -> NoiseMaps:
    """The noise that leads along any path; one call a step.

    Raises:
        InputError: eta is 0.
    """
    if not eta > 0:
        raise InputError(f"noise_maps: eta {eta}, expected above 0: a deterministic sampler has no noise")
    draws = []
    for i in range(path.steps):
        (t, u), x = path.times[i : i + 2], path.states[i]
        begin(denoiser, i, 0)
        prediction = denoiser(x, t, given)
        mean = process.transition(x, prediction, t, u, eta=eta, given=given, noise=Silent())
        draws.append(_over(process, path.states[i + 1], mean, t, u, eta))
    return NoiseMaps(path, tuple(draws), eta)


def edit_friendly(
    denoiser: Denoiser,
    process: Any,
    x: Any,
    *,
    steps: int,
    grid: Grid | Sequence[float] | None = None,
    start: float | None = None,
    eta: float = 1.0,
    given: Given = NONE,
    noise: NoiseLike = 0,
) -> NoiseMaps:
    """Maps with independent noise at every time.

    Args:
        denoiser: the model.
        process: of the model; a `Product` for mapping states.
        x: data (B, ...).
        steps: of the grid.
        grid: default the process's own.
        start: go up to this time only; default the grid's first.
        eta: stochasticity of the sampler, 1 is DDPM.
        given: condition that describes `x`.
        noise: eps_t, from the noisiest on.
    """
    times, source = times_from(start, process, steps, grid), as_noise(noise)
    states = [process.perturb(x, t, given=given, noise=source).x for t in times[:-1]]
    return noise_maps(denoiser, process, Path(tuple(times), (*states, x)), eta=eta, given=given)


def dpm_encoder(
    denoiser: Denoiser,
    process: Any,
    x: Any,
    *,
    steps: int,
    grid: Grid | Sequence[float] | None = None,
    start: float | None = None,
    eta: float = 1.0,
    given: Given = NONE,
    noise: NoiseLike = 0,
) -> NoiseMaps:
    """Maps along a draw of the posterior path; arguments as for `edit_friendly`."""
    times, source = times_from(start, process, steps, grid), as_noise(noise)
    states = [process.perturb(x, times[0], given=given, noise=source).x]
    for t, u in pairwise(times[:-1]):
        states.append(process.transition(states[-1], Prediction(x), t, u, eta=eta, given=given, noise=source))
    return noise_maps(denoiser, process, Path(tuple(times), (*states, x)), eta=eta, given=given)


def _over(process: Any, x: Any, mean: Any, t: float, u: float, eta: float) -> Any:
    """(x - mean) / v, leaf by leaf."""

    def leaf(process: GaussianProcess, x: Tensor, mean: Tensor) -> Tensor:
        v = process.step(t, u, eta=eta).noise
        v = torch.where(v > 0, v, process.coefs_of(t).s)
        out: Tensor = (x - mean) / real(v, t, x)
        return out

    if not isinstance(x, Mapping):
        return leaf(process, x, mean)
    return {name: leaf(process[name], x[name], mean[name]) for name in x}
