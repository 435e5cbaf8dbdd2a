r"""Search over noise with a verifier: more network calls buy a larger reward, without a gradient.

    best of N      N starts; the one whose sample has the largest reward
    zero order     a pivot z; K neighbours  z' = cos(r) z + sin(r) n,  n ~ N(0, I), so that z' is N(0, I) as well; the best of
                   pivot and neighbours is the next pivot
    paths          N starts; at chosen times the K most promising (reward of the denoiser's x0) go on, each thrown back to an
                   earlier, noisier time in N / K ways; at the end the best is kept

A verifier can be deceived: report the result by a second one that was not searched with. `Counted` tells what was spent.

Source: Ma et al. 2025 (inference-time scaling beyond denoising steps), arXiv 2501.09732.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from polyscore.denoisers.base import Denoiser, begin
from polyscore.errors import ConfigError, InputError
from polyscore.noise import NoiseLike, as_noise, leaf_noise
from polyscore.processes import expand
from polyscore.samplers import sample, times_of
from polyscore.state import NONE, Given, Time, leaf_given, map_state
from polyscore.steering.potentials import Reward
from polyscore.steering.selection import best, take

__all__ = ["Counted", "Draw", "best_of", "search_neighbours", "search_paths"]

Draw: TypeAlias = Callable[[Any], Any]
"""Prior noise z (B, ...) to samples x (B, ...), deterministic: a `sample(...)` with `init=z`."""


class Counted:
    """The denoiser, unchanged, with the number of states that it was asked about in `calls`."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser, self.calls = denoiser, 0

    def begin(self, step: int, stage: int) -> None:
        """Pass the place in the loop on."""
        begin(self.denoiser, step, stage)

    def __call__(self, x: Any, t: Time, given: Given) -> Any:
        self.calls += len(next(iter(x.values())) if isinstance(x, Mapping) else x)
        return self.denoiser(x, t, given)


def best_of(samples: Any, reward: Reward, group: int, *, given: Given = NONE) -> Any:
    """The best sample of every group of consecutive rows, (B / group, ...)."""
    return take(samples, best(reward(samples, given), group))


def search_neighbours(
    draw: Draw,
    reward: Callable[[Any], Tensor],
    z: Any,
    *,
    rounds: int,
    neighbours: int,
    radius: float = 0.3,
    noise: NoiseLike = 0,
) -> tuple[Any, Any, Tensor]:
    """Zero-order search from the pivots z (B, ...), each by itself.

    Args:
        draw: noise to samples.
        reward: samples to (B,).
        z: standard normal pivots, a tensor or mapping.
        rounds: how often the pivot may move.
        neighbours: K, of each pivot in a round; one call of `draw` asks for B K samples.
        radius: angle r between pivot and neighbour, in (0, pi / 2]; at pi / 2 it is random search.
        noise: of the neighbours.

    Returns:
        the last pivots, their samples, and the rewards of the pivots, (rounds + 1, B), which never fall.

    Raises:
        ConfigError: numbers out of range.
    """
    if rounds < 0 or neighbours < 1 or not 0 < radius <= torch.pi / 2:
        raise ConfigError(f"search: {rounds} rounds, {neighbours} neighbours, radius {radius}; expected >= 0, >= 1, in (0, pi/2]")
    source, x = as_noise(noise), draw(z)
    rewards = [reward(x)]
    for _ in range(rounds):
        spread = map_state(lambda leaf: leaf.repeat_interleave(neighbours, 0), z)
        turned = _turned(spread, radius, source)
        found = draw(turned)
        values = reward(found)
        rows = best(values, neighbours)
        better = values[rows] > rewards[-1]
        z, x = (_either(better, take(new, rows), old) for new, old in ((turned, z), (found, x)))
        rewards.append(torch.where(better, values[rows], rewards[-1]))
    return z, x, torch.stack(rewards)


def search_paths(
    sampler: Any,
    denoiser: Any,
    process: Any,
    like: Any,
    reward: Reward,
    *,
    steps: int,
    keep: int,
    group: int,
    looks: Sequence[int],
    back: int,
    grid: Any = None,
    given: Given = NONE,
    noise: NoiseLike = 0,
) -> Any:
    """Search over paths: `group` candidates per result, of which `keep` go on from each look.

    Args:
        sampler: a solver.
        denoiser: of noisy states.
        process: a Gaussian process, or a `Product` of them.
        like: shapes of all candidates, (B, ...), B a multiple of `group`.
        reward: (x0, given) to r, (B,).
        steps: of the grid.
        keep: K of the most promising; divides `group`.
        group: N candidates.
        looks: steps after which is looked, rising.
        back: by how many steps the chosen are thrown back, at most the first look.
        grid: time grid.
        given: conditioning, one row a candidate, alike within a group.
        noise: of the starts and of what is thrown back.

    Returns:
        the best sample of every group, (B / group, ...).

    Raises:
        ConfigError: numbers that do not fit together.
    """
    if group % keep or not 0 < back <= min(looks, default=0) or max(looks) >= steps or list(looks) != sorted(set(looks)):
        raise ConfigError(
            f"search_paths: keep {keep} of {group}, looks {list(looks)}, back {back}, {steps} steps; expected keep to divide "
            "the group, rising looks below the steps, and 0 < back <= the first look"
        )
    source, times = as_noise(noise), times_of(process, steps, grid)
    x: Any = process.prior(like, t=times[0], given=given, noise=source)
    i = 0
    for look in looks:
        x = _run(sampler, denoiser, process, x, times[i : look + 1], given, source)
        promise = denoiser(x, times[look], given).x0
        rows = best(reward(promise, given), group, keep).repeat_interleave(group // keep)
        i = look - back
        x = _noisier(process, take(x, rows), times[look], times[i], given, source)
    x = _run(sampler, denoiser, process, x, times[i:], given, source)
    return best_of(x, reward, group, given=given)


def _run(sampler: Any, denoiser: Any, process: Any, x: Any, times: Sequence[float], given: Given, noise: Any) -> Any:
    return sample(sampler, denoiser, process, x, steps=len(times) - 1, grid=times, given=given, noise=noise, init=x)


def _turned(z: Any, radius: float, source: Any) -> Any:
    angle = torch.tensor(radius, dtype=torch.float64)
    if not isinstance(z, Mapping):
        return float(angle.cos()) * z + float(angle.sin()) * source(z)
    return {name: float(angle.cos()) * leaf + float(angle.sin()) * leaf_noise(source, name)(leaf) for name, leaf in z.items()}


def _either(first: Tensor, one: Any, other: Any) -> Any:
    return map_state(lambda a, b: torch.where(first.view(-1, *[1] * (a.ndim - 1)).to(a.device), a, b), one, other)


def _noisier(process: Any, x: Any, t: float, u: float, given: Given, source: Any) -> Any:
    """x_t thrown back to u > t by the forward kernel: z_u = (a_u / a_t) z_t + sqrt(s_u^2 - (a_u / a_t)^2 s_t^2) eps."""
    if isinstance(x, Mapping):
        return {
            name: _noisier(process[name], leaf, t, u, leaf_given(given, name), leaf_noise(source, name))
            for name, leaf in x.items()
        }
    (a, b, s), (au, bu, su) = ([expand(c, torch.zeros(()), x) for c in process.coefs_of(time)] for time in (t, u))
    if bool((a == 0).any()):
        raise InputError(f"search_paths: {type(process).__name__} holds nothing of the data at t = {t}; look later")
    y: Any = 0.0 if given.y is None else given.y
    spread = torch.sqrt((su**2 - (au / a * s) ** 2).clamp(min=0)).to(x.real.dtype)
    eps = process.law(source, x, t=t, u=u, given=given)
    out: Tensor = (au / a).to(x.real.dtype) * (x - b.to(x.real.dtype) * y) + bu.to(x.real.dtype) * y + spread * eps
    return out
