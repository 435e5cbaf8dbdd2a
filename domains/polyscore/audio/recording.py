"""One recording on its way through a model: prepared, cut into windows, and put together again.

    y   = resample(noisy) / max |resample(noisy)|         one factor for the whole recording, all channels
    out = mix * (resample(x * factor) + high band) + (1 - mix) * noisy,      x the model's windows of y, joined

Channels are enhanced each by itself, or their mean, or the first alone. A channel of zeros has no windows and stays zero.
The high band is what the model's rate cannot hold (`polyscore.audio.bands`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor

from polyscore.audio.bands import HighBand, add_high_band
from polyscore.audio.calls import Channels, check_call
from polyscore.audio.io import resample
from polyscore.audio.windows import Span, Windows
from polyscore.errors import PolyscoreError

__all__ = ["Recording", "batches", "chosen_channels"]


def chosen_channels(wave: Tensor, channels: Channels) -> Tensor:
    """``wave`` (C, L) or (L,) for "each"; else (1, L) or (L,), the mean of its channels for "mono", the "first" of them."""
    if channels == "each" or wave.dim() == 1:
        return wave
    return wave.mean(0, keepdim=True) if channels == "mono" else wave[:1]


class Recording:
    """A recording that is being enhanced (module docstring).

    Args:
        wave: (C, L) or (L,), real, of full scale 1.
        sample_rate: its rate (Hz).
        model_rate: rate of the model (Hz).
        windows: how it is cut, in samples at the model's rate.
        seed: of the noise.
        mix: share of the enhanced signal in the output.
        high_band: rule for the band above the model's.
        channels: which are enhanced.

    Raises:
        InputError: a wave that is empty, not real, or holds NaN or infinity; an argument outside its range.
    """

    def __init__(
        self,
        wave: Tensor,
        sample_rate: int,
        *,
        model_rate: int,
        windows: Windows,
        seed: int = 0,
        mix: float = 1.0,
        high_band: HighBand = "gain",
        channels: Channels = "each",
    ) -> None:
        check_call(wave, sample_rate, mix, high_band, channels)
        self.wave = chosen_channels(wave, channels)
        self.sample_rate, self.model_rate = sample_rate, model_rate
        self.windows, self.seed, self.mix, self.high_band = windows, seed, mix, high_band
        self.noisy = self.wave.reshape(-1, self.wave.shape[-1]).to("cpu", torch.float32)
        self.low = resample(self.noisy, sample_rate, model_rate)
        self.level = self.low.abs().amax()
        self.heard = [c for c in range(len(self.low)) if mix and self.low[c].any()]
        self.clean = torch.zeros_like(self.low)

    def spans(self) -> list[Span]:
        """Its windows, channel after channel; none of silent channels."""
        return [span for channel in self.heard for span in self.windows.spans(self.low.shape[-1], channel)]

    def window(self, span: Span) -> Tensor:
        """The normalised samples (l,) of a window."""
        return self.low[span.channel, span.start : span.stop] / self.level

    def put(self, span: Span, result: Tensor) -> None:
        """Take the enhanced samples (l,) of a window."""
        self.windows.add(self.clean[span.channel], result.to("cpu", torch.float32) * self.level, span)

    def result(self) -> Tensor:
        """The enhanced wave, shaped like the chosen channels of the input, once every window was put.

        Raises:
            PolyscoreError: the model returned NaN or infinity.
        """
        if not self.heard:
            return (1 - self.mix) * self.wave
        if not torch.isfinite(self.clean).all():
            raise PolyscoreError("enhance: the model returned NaN or infinity; nothing is written, try another preset or seed")
        length = self.noisy.shape[-1]
        clean = resample(self.clean, self.model_rate, self.sample_rate, length=length)
        if self.sample_rate > self.model_rate:
            back = resample(self.low, self.model_rate, self.sample_rate, length=length)
            clean = add_high_band(clean, self.noisy, back, (self.sample_rate, self.model_rate), self.high_band)
            clean[[c for c in range(len(clean)) if c not in self.heard]] = 0
        out = clean if self.mix == 1 else self.mix * clean + (1 - self.mix) * self.noisy
        return out.reshape(self.wave.shape).to(self.wave)


Work: TypeAlias = "tuple[Recording, Span]"


def batches(recordings: Iterable[Recording], size: int, key: Callable[[Span], Hashable]) -> Iterator[list[Work]]:
    """The windows of all recordings in groups of at most ``size`` with one ``key``: what the network can take in one call."""
    waiting: dict[Hashable, list[Work]] = {}
    for recording in recordings:
        for span in recording.spans():
            group = waiting.setdefault(key(span), [])
            group.append((recording, span))
            if len(group) == size:
                yield group
                waiting[key(span)] = []
    yield from (group for group in waiting.values() if group)
