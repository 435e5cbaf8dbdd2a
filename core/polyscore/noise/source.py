"""Noise as an object that is asked for a draw over an interval of time.

A source returns white noise: independent standard normal entries, for complex states with variance 1/2 per component.
The *law* of the noise (masked, symmetric, heavy-tailed) is applied on top and belongs to the process (`polyscore.noise.laws`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["Noise", "NoiseLike", "Recorded", "Seeded", "Silent", "as_noise", "leaf_noise"]


@runtime_checkable
class Noise(Protocol):
    """White noise for the step from time `t` to time `u`, of the shape, dtype and device of `like` (B, ...)."""

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor: ...


NoiseLike: TypeAlias = "Noise | int | Sequence[int]"

_AHEAD = (64, 4096)  # at most so many draws and entries are made in advance a sample: one generator call serves many small steps
_MIX = 0x9E3779B97F4A7C15  # odd 64-bit constant (golden ratio) that separates the streams of different shapes


class Seeded:
    """Sample i depends on seed i alone, whatever the batch size, the bucket or the number of machines.

    Args:
        seeds: one integer per sample, or one integer `s` for the seeds s, s + 1, s + 2, ...

    Each sample owns one generator per leaf shape; draws of one shape follow each other in one stream. Streams differ
    between CPU and GPU generators and between dtypes, as torch's do.

    Raises:
        InputError: a state with more samples than seeds.
    """

    def __init__(self, seeds: int | Sequence[int] = 0) -> None:
        self.seeds = seeds if isinstance(seeds, int) else tuple(int(s) for s in seeds)
        self._streams: dict[tuple[object, ...], Iterator[Tensor]] = {}

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        key = (tuple(like.shape), like.dtype, like.device)
        if key not in self._streams:
            self._streams[key] = _stream(self._first(len(like)), tuple(like.shape[1:]), like.dtype, like.device)
        return next(self._streams[key])

    def _first(self, batch: int) -> Sequence[int]:
        if isinstance(self.seeds, int):
            return range(self.seeds, self.seeds + batch)
        if len(self.seeds) < batch:
            raise InputError(f"Seeded: {len(self.seeds)} seeds for a batch of {batch}; give one seed a sample")
        return self.seeds[:batch]


def _stream(seeds: Sequence[int], rest: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Iterator[Tensor]:
    # No method: a stream that knew its source would be a cycle, and what it drew ahead would wait for the garbage collector.
    salt = sum((n + 1) * _MIX ** (k + 1) for k, n in enumerate(rest))
    generators = [torch.Generator(device).manual_seed((seed ^ salt) % 2**63) for seed in seeds]
    ahead = max(1, min(_AHEAD[0], _AHEAD[1] // max(1, torch.Size(rest).numel())))
    while True:
        draws = [torch.randn((ahead, *rest), generator=g, dtype=dtype, device=device) for g in generators]
        yield from (draws[0][:, None] if len(draws) == 1 else torch.stack(draws, 1)).unbind(0)


class Recorded:
    """Returns given tensors in order: replays a run of another program, or makes a test exact.

    Raises:
        InputError: more draws than tensors, or a shape that does not fit.
    """

    def __init__(self, draws: Iterable[Tensor]) -> None:
        self.draws = list(draws)
        self.used = 0

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        if self.used >= len(self.draws):
            raise InputError(f"Recorded: draw {self.used + 1} was asked for, only {len(self.draws)} are recorded")
        draw = self.draws[self.used].to(like)
        if draw.shape != like.shape:
            raise InputError(f"Recorded: draw {self.used} has shape {tuple(draw.shape)}, the state has {tuple(like.shape)}")
        self.used += 1
        return draw


class Silent:
    """Zeros: turns any stochastic sampler into its mean."""

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        return torch.zeros_like(like)


def leaf_noise(noise: Noise, name: str) -> Noise:
    """The part of a source that serves leaf `name`: `noise.leaf(name)` where the source keeps one path per leaf, else itself."""
    part = getattr(noise, "leaf", None)
    return noise if part is None else part(name)


def as_noise(noise: NoiseLike) -> Noise:
    """Integers and sequences of integers become `Seeded`; anything callable is a `Noise` already."""
    return noise if isinstance(noise, Noise) else Seeded(noise)
