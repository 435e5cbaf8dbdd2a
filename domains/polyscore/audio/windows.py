"""Long signals in bounded memory: windows with context, cross-faded where they meet.

The last axis is cut into cores of ``core`` samples (or frames). The function sees each core with ``context`` samples on both
sides; what it returns for the outer half of the context, where it lacked surroundings, is discarded. Around each cut the two
neighbours are mixed linearly over ``context`` samples: neighbours agree there up to small errors, and a linear mix of equal
signals is that signal (equal-power fades would raise it by 3 dB).

        core k           |           core k+1
    ...==================|===....               window k: it sees all of this, = is kept, . is discarded
                  ....===|======================...     window k + 1
                      ^^^^^^ mixed

A function whose output depends on at most context / 2 samples to either side does not notice the windows. A signal of at
most ``core + context`` samples is one window: the function sees it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import Tensor

from polyscore.errors import ConfigError

__all__ = ["Span", "Windows"]


@dataclass(frozen=True)
class Span:
    """One window of one channel: the function sees samples [start, stop), its core is [left, right)."""

    channel: int
    start: int
    stop: int
    left: int
    right: int

    @property
    def length(self) -> int:
        """Number of samples the function sees."""
        return self.stop - self.start


@dataclass(frozen=True)
class Windows:
    """Cores of ``core`` samples, ``context`` samples of surroundings on each side (module docstring).

    Raises:
        ConfigError: the context is odd, negative or longer than the core.
    """

    core: int
    context: int

    def __post_init__(self) -> None:
        if not 0 <= self.context <= self.core or self.context % 2 or self.core < 1:
            raise ConfigError(
                f"Windows: core {self.core}, context {self.context} samples; expected an even context, 0 <= context <= core"
            )

    def spans(self, length: int, channel: int = 0) -> list[Span]:
        """The windows of a signal of ``length`` samples, in order."""
        # The last core takes a rest of up to `context` samples, too short to be worth a window of its own.
        inner = range(self.core, max(self.core, length - self.context), self.core)
        cuts = [0, *inner, length]
        return [
            Span(channel, max(0, left - self.context), min(length, right + self.context), left, right)
            for left, right in pairwise(cuts)
        ]

    def add(self, out: Tensor, result: Tensor, span: Span) -> None:
        """Add a window's result (..., l) to ``out`` (..., L), faded around the cuts that it shares with its neighbours."""
        length, half = out.shape[-1], self.context // 2
        first, last = span.left == 0, span.right == length
        low = 0 if first else span.left - half
        high = length if last else span.right + half
        part = result[..., low - span.start : high - span.start].to(out, copy=True)
        if self.context:
            ramp = (torch.arange(self.context, device=out.device, dtype=torch.float64) + 0.5) / self.context
            ramp = ramp.to(out.real.dtype)
            if not first:
                part[..., : self.context] *= ramp
            if not last:
                part[..., -self.context :] *= ramp.flip(0)
        out[..., low:high] += part

    def __call__(self, function: Callable[..., Tensor], *signals: Tensor, batch_size: int = 1) -> Tensor:
        """Apply ``function`` to ``signals`` (..., L), of one length, window by window.

        ``function`` maps batches (n, ..., l) of equally long windows, one of each signal, to a tensor of as many windows of that
        length, whatever the axes between; it is called with at most ``batch_size`` windows.
        """
        length = signals[0].shape[-1]
        out: Tensor | None = None
        for spans in self._batches(length, batch_size):
            windows = (torch.stack([signal[..., span.start : span.stop] for span in spans]) for signal in signals)
            results = function(*windows)
            if out is None:
                out = results.new_zeros(*results.shape[1:-1], length)
            for span, result in zip(spans, results, strict=True):
                self.add(out, result, span)
        assert out is not None
        return out

    def _batches(self, length: int, size: int) -> Iterator[Sequence[Span]]:
        for _, equal in groupby(self.spans(length), lambda span: span.length):
            spans = list(equal)
            yield from (spans[i : i + size] for i in range(0, len(spans), size))
