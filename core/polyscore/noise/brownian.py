r"""Brownian paths from counters: the same path at any step size, without storing it.

The path of each entry on the clock interval [0, 1] is its Levy-Ciesielski expansion, cut after `depth` levels,

    W(r) = r Z_0 + sum_(j < depth) 2^(-j/2) tent(2^j r - k) Z_(2^j + k),     k = floor(2^j r),  tent(f) = min(f, 1 - f),

which is the Brownian bridge filled in by halving; it is exact at multiples of 2^-depth, and times are rounded to those. Z_n is a
standard normal variable, a function of (seed of the sample, node n, entry) alone: a 64-bit mix of these counters (splitmix64:
Steele, Lea and Flood 2014), whose two halves feed a Box-Muller pair. So a query costs at most `depth` + 1 numbers an entry, needs
no memory and no order, and neighbouring intervals of any length add up: W(s, u) = W(s, t) + W(t, u).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise.source import Seeded

__all__ = ["Brownian"]

_Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
_Ints: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

_CHUNK = 2**18  # numbers made at once: bounds the memory of a query on large states


def _signed(constant: int) -> int:
    return constant - 2**64 if constant >= 2**63 else constant


_GOLDEN, _FIRST, _SECOND = (_signed(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def _mix(z: Tensor) -> Tensor:
    """splitmix64's finaliser on int64: a bijection whose output bits each depend on all input bits."""
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _FIRST
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _SECOND
    return z ^ ((z >> 31) & (2**33 - 1))


def _sums(at: Tensor, weights: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """sum_l w_l Z_l over the levels for both members of each pair of entries, (B, P): `at` (L, B, 1), `weights` (L, 1 | B, 1)."""
    bits = _mix(at + pairs)
    radius = ((bits >> 32) & (2**32 - 1)).double().add_(0.5).mul_(2.0**-32).log_().mul_(-2).sqrt_().mul_(weights)
    angle = (bits & (2**32 - 1)).double().mul_(2 * math.pi * 2.0**-32)
    # A running sum adds level after level, so that no batch size changes the rounding (a reduction's order depends on shapes).
    return (radius * torch.cos(angle)).cumsum(0)[-1], (radius * torch.sin(angle)).cumsum(0)[-1]


class Brownian:
    """White noise for the step from t to u: (W_u - W_t) / sqrt|u - t| of one Brownian path per sample and entry.

    Two runs with the same seeds and different grids follow the same path, so stochastic samplers converge strongly as the steps
    shrink. Sample i depends on seed i alone. A draw that names no interval (a prior, a Langevin corrector) comes from an
    independent `Seeded` stream with the same seeds.

    Args:
        seeds: one integer per sample, or one integer s for the seeds s, s + 1, s + 2, ...
        clock: monotone map of time, in which the path has unit speed; default t. `process.sigma` is k-diffusion's choice.
        span: the clock's values at the two ends of the path, default (0, 1).
        depth: times are rounded to 2^-depth of the span.

    Raises:
        InputError: a time outside the span, an interval shorter than 2^-depth of it (but not empty, whose draw is 0), a time that
            is neither a number nor one value per sample, or a state with more samples than seeds.
    """

    def __init__(
        self,
        seeds: int | Sequence[int] = 0,
        *,
        clock: Callable[[Any], Any] | None = None,
        span: tuple[float, float] = (0.0, 1.0),
        depth: int = 24,
    ) -> None:
        self.seeds = seeds
        self.clock = clock
        self.span = span
        self.depth = depth
        self._salt = 0
        self._white = Seeded(seeds)
        self._last: dict[Any, tuple[Any, Tensor]] = {}
        self._keys: dict[Any, Tensor] = {}
        self._leaves: dict[str, Brownian] = {}

    def leaf(self, name: str) -> Brownian:
        """The independent path of leaf `name` of a mapping state."""
        if name not in self._leaves:
            part = Brownian(self.seeds, clock=self.clock, span=self.span, depth=self.depth)
            part._salt, part._white = zlib.crc32(name.encode()) + 1, self._white
            self._leaves[name] = part
        return self._leaves[name]

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        if t is None or u is None:
            return self._white(like, t, u)
        (begin, start), (stop, end) = self._place(t, len(like)), self._place(u, len(like))
        length = np.abs(end - start) * 2.0**-self.depth
        if ((length == 0) & (begin != stop)).any():
            raise InputError(
                f"Brownian: the interval from {t} to {u} is shorter than 2^-{self.depth} of the path's span {self.span}; give a "
                "larger depth, or a clock and span that spread these times"
            )
        key = (like.shape, like.dtype, like.device)
        last = self._last.get(key)
        before = last[1] if last is not None and np.array_equal(last[0], start) else self._path(like, start)
        self._last[key] = end, (after := self._path(like, end))
        scale = torch.as_tensor(1 / np.sqrt(np.where(length == 0, 1.0, length)), device=like.device)
        out = (after - before) * scale.reshape(-1, *[1] * (after.ndim - 1))
        if like.is_complex():
            return torch.view_as_complex(out * math.sqrt(0.5)).to(like.dtype)
        return out.to(like.dtype)

    def _place(self, t: Any, batch: int) -> tuple[_Floats, _Ints]:
        """The clock's value as a share of the span, and the nearest multiple of 2^-depth: () or (B,)."""
        value = t if self.clock is None else self.clock(t)
        share = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value, dtype=np.float64)
        share = (share - self.span[0]) / (self.span[1] - self.span[0])
        if share.ndim > 0 and share.shape != (batch,):
            raise InputError(f"Brownian: a time of shape {share.shape}, expected a number or one for each of {batch} samples")
        if not ((share >= -1e-9) & (share <= 1 + 1e-9)).all():
            raise InputError(
                f"Brownian: time {t} lies outside the path's span {self.span}; give a span that holds the clock's values"
            )
        return share, np.clip(np.rint(share * 2.0**self.depth), 0, 2**self.depth).astype(np.int64)

    def _path(self, like: Tensor, place: _Ints) -> Tensor:
        """W at `place`, shaped like the real view of `like`, float64."""
        shape = (*like.shape, 2) if like.is_complex() else tuple(like.shape)
        entries = math.prod(shape[1:])
        nodes, weights = (torch.from_numpy(part.reshape(len(part), -1)).to(like.device) for part in self._expansion(place))
        at = (self._key(shape, like.device) + nodes * _GOLDEN)[..., None]
        pairs = torch.arange((entries + 1) // 2, device=like.device) * _SECOND
        parts = [_sums(at, weights[..., None], some) for some in torch.split(pairs, max(1, _CHUNK // max(1, at.numel())))]
        first, second = (torch.cat(half, 1) if len(half) > 1 else half[0] for half in zip(*parts, strict=True))
        return torch.cat([first, second], 1)[:, :entries].reshape(shape)

    def _expansion(self, place: _Ints) -> tuple[_Ints, _Floats]:
        """Nodes and weights of the expansion, (L,) or (L, B); for one common time, levels of weight 0 are left out."""
        level = np.arange(self.depth, dtype=np.int64).reshape(-1, *[1] * place.ndim)
        cell = self.depth - level
        k = place >> cell
        rest = (place - (k << cell)) * 0.5**cell
        tent = np.minimum(rest, 1 - rest) * 0.5 ** (level / 2)
        nodes = np.concatenate([np.zeros_like(place)[None], (1 << level) + k])
        weights = np.concatenate([(place * 2.0**-self.depth)[None], tent])
        used = weights > 0 if place.ndim == 0 else np.ones(len(weights), dtype=bool)
        used[0] = True
        return nodes[used], weights[used]

    def _key(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """One 64-bit key per sample, of its seed, the leaf and the shape of a sample."""
        if (shape, device) not in self._keys:
            seeds = range(self.seeds, self.seeds + shape[0]) if isinstance(self.seeds, int) else self.seeds
            if len(seeds) < shape[0]:
                raise InputError(f"Brownian: {len(seeds)} seeds for a batch of {shape[0]}; give one seed a sample")
            salt = zlib.crc32(repr((self._salt, shape[1:])).encode())
            values = torch.tensor([_signed((seed ^ (salt << 32)) % 2**64) for seed in seeds[: shape[0]]], device=device)
            self._keys[shape, device] = _mix(_mix(values) + _GOLDEN)
        return self._keys[shape, device]
