"""Enhancement of sound that is still arriving: blocks in, blocks out, a stated time later.

The blocks are joined and cut into the windows that `Windows` would cut the whole recording into. Window k, with its core
[k c, (k + 1) c) and ``context`` h on both sides, is enhanced when the sample (k + 1) c + h has arrived; what then is final
is returned. A sample therefore leaves at most

    latency = core + 3/2 context

of time after it came (plus a few milliseconds where the rate is changed, and what the computing takes). What comes out is
what `enhance` gives for the whole recording, with one difference that causality demands: the level the model's input is
normalised by is the maximum so far, not that of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import soxr
import torch
from torch import Tensor

from polyscore.audio.windows import Span, Windows
from polyscore.errors import InputError

__all__ = ["stream_windows"]

_Change = Callable[[Tensor, bool], Tensor]  # of the rate; the flag says that nothing comes after


def stream_windows(
    blocks: Iterable[Tensor],
    rates: tuple[int, int],
    windows: Windows,
    enhance: Callable[[Tensor, Span, float], Tensor],
) -> Iterator[Tensor]:
    """Enhanced blocks (C, n) for arriving blocks (C, m); together as many samples out as in.

    Args:
        blocks: waves (C, m) of one number of channels; m may vary.
        rates: of the blocks and of the model (Hz).
        windows: core and context at the model's rate.
        enhance: maps a window (l,) of a channel, where it lies, and the level so far to (l,).

    Raises:
        InputError: a block that is no wave, or with other channels than the first.
    """
    given, model = rates
    work: _Channels | None = None
    to_model: _Change = _same
    to_given: _Change = _same
    received = sent = 0
    for block in blocks:
        if work is None:
            _check(block, None)
            work = _Channels(block.shape[0], windows, enhance)
            if given != model:
                to_model, to_given = _resampler(given, model, len(block)), _resampler(model, given, len(block))
        _check(block, work.channels)
        received += block.shape[-1]
        out = to_given(work.push(to_model(block.float().cpu(), False)), False)[:, : received - sent]
        if out.shape[-1]:
            sent += out.shape[-1]
            yield out
    if work is not None and received > sent:
        work.push(to_model(torch.zeros(work.channels, 0), True))
        out = to_given(work.finish(), True)[:, : received - sent]
        yield torch.nn.functional.pad(out, (0, received - sent - out.shape[-1]))


class _Channels:
    """What has arrived of all channels and is still needed, and the faded sums that are not final."""

    def __init__(self, channels: int, windows: Windows, enhance: Callable[[Tensor, Span, float], Tensor]) -> None:
        self.channels, self.windows, self.enhance = channels, windows, enhance
        self.input = torch.zeros(channels, 0)
        self.output = torch.zeros(channels, 0)  # faded in, from `final` on
        self.first = 0  # number of the input's first sample
        self.final = 0  # number of samples returned
        self.index = 0  # of the next window
        self.level = 0.0

    def push(self, samples: Tensor) -> Tensor:
        """Take samples (C, n) and return those that are final now (C, m)."""
        self.input = torch.cat([self.input, samples], dim=-1)
        core, context = self.windows.core, self.windows.context
        ready = []
        while self.first + self.input.shape[-1] > (end := (self.index + 1) * core) + context:
            ready.append(self._window(end, end + context, last=False))
        return torch.cat(ready, dim=-1) if ready else torch.zeros(self.channels, 0)

    def finish(self) -> Tensor:
        """The rest (C, m)."""
        stop = self.first + self.input.shape[-1]
        return self._window(stop, stop, last=True) if stop > self.final else torch.zeros(self.channels, 0)

    def _window(self, right: int, stop: int, *, last: bool) -> Tensor:
        core, context, half = self.windows.core, self.windows.context, self.windows.context // 2
        left = self.index * core
        start = max(0, left - context)
        seen = self.input[:, start - self.first : stop - self.first]
        self.level = max(self.level, float(seen.abs().max()))
        results = []
        for channel in range(self.channels):
            wave = seen[channel]
            span = Span(channel, start, stop, left, right)
            results.append(self.enhance(wave, span, self.level) if wave.any() else torch.zeros_like(wave))
        low, high = (0 if left == 0 else left - half), (right if last else right + half)
        part = torch.stack(results)[:, low - start : high - start].clone()
        if context:
            ramp = (torch.arange(context, dtype=part.dtype) + 0.5) / context
            if left:
                part[:, :context] = part[:, :context] * ramp + self.output
            if not last:
                part[:, -context:] *= ramp.flip(0)
        keep = part.shape[-1] if last else part.shape[-1] - context
        self.output = part[:, keep:]
        self.index += 1
        self.final += keep
        drop = max(0, self.index * core - context) - self.first
        self.input, self.first = self.input[:, drop:], self.first + drop
        return part[:, :keep]


def _same(wave: Tensor, last: bool) -> Tensor:
    return wave


def _resampler(rate: int, target: int, channels: int) -> _Change:
    state = soxr.ResampleStream(rate, target, channels, dtype="float32", quality="HQ")

    def change(wave: Tensor, last: bool) -> Tensor:
        out = state.resample_chunk(np.ascontiguousarray(wave.T.numpy()), last=last)
        return torch.from_numpy(np.ascontiguousarray(out.reshape(-1, channels).T))

    return change


def _check(block: object, channels: int | None) -> None:
    fits = isinstance(block, Tensor) and block.is_floating_point() and block.dim() == 2 and block.shape[0] > 0
    if not isinstance(block, Tensor) or not fits or channels not in (None, block.shape[0]):
        found = f"{block.dtype} of shape {tuple(block.shape)}" if isinstance(block, Tensor) else type(block).__name__
        raise InputError(f"stream: a block is {found}; expected real (channels, samples), all of the same channels")
    if not torch.isfinite(block).all():
        raise InputError("stream: a block holds NaN or infinity")
