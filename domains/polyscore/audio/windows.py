"""Long waves in bounded memory: windows with context, cross-faded where they meet.

The wave is cut into cores of ``core`` samples. The function sees each core with ``context`` samples on both sides; what it
returns for the outer part of the context, where it lacked surroundings, is discarded. Around each cut the two neighbours
are mixed linearly over ``context`` samples: neighbours agree there up to small errors, and a linear mix of equal signals
is that signal (equal-power fades would raise it by 3 dB).

        core k           |           core k+1
    ...==================|===....               window k: it sees all of this, = is kept, . is discarded
                  ....===|======================...     window k + 1
                      ^^^^^^ mixed

A wave of at most ``core + context`` samples is one window: the function sees it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
        """The windows of a wave of ``length`` samples, in order."""
        # The last core takes a rest of up to `context` samples, too short to be worth a window of its own.
        inner = range(self.core, max(self.core, length - self.context), self.core)
        cuts = [0, *inner, length]
        return [
            Span(channel, max(0, left - self.context), min(length, right + self.context), left, right)
            for left, right in pairwise(cuts)
        ]

    def __call__(
        self,
        wave: Tensor,
        function: Callable[[Tensor, Sequence[Span]], Tensor],
        *,
        channels: Sequence[int],
        batch_size: int = 1,
    ) -> Tensor:
        """Apply ``function`` to the given channels of ``wave`` (C, L); the others stay zero.

        ``function`` maps a batch (B, l) of equally long windows, and where they lie, to (B, l); it is called with at most
        ``batch_size`` windows.
        """
        out = torch.zeros_like(wave)
        for spans in self._batches(wave.shape[-1], channels, batch_size):
            windows = torch.stack([wave[span.channel, span.start : span.stop] for span in spans])
            for span, result in zip(spans, function(windows, spans).to(out), strict=True):
                self._add(out[span.channel], result, span)
        return out

    def _batches(self, length: int, channels: Sequence[int], size: int) -> Iterator[list[Span]]:
        batch: list[Span] = []
        for span in (span for channel in channels for span in self.spans(length, channel)):
            if batch and (len(batch) == size or batch[0].length != span.length):
                yield batch
                batch = []
            batch.append(span)
        if batch:
            yield batch

    def _add(self, out: Tensor, result: Tensor, span: Span) -> None:
        """Add a window's result, faded linearly over ``context`` samples around the cuts it shares with neighbours."""
        half, first, last = self.context // 2, span.left == 0, span.right == len(out)
        low = 0 if first else span.left - half
        high = len(out) if last else span.right + half
        part = result[low - span.start : high - span.start].clone()
        if self.context:
            ramp = (torch.arange(self.context, device=out.device, dtype=out.dtype) + 0.5) / self.context
            if not first:
                part[: self.context] *= ramp
            if not last:
                part[-self.context :] *= ramp.flip(0)
        out[low:high] += part
