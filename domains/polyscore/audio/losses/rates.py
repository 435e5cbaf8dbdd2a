"""A change of the sampling rate that gradients pass through.

With both rates divided by their greatest common divisor, c = 0.99 min(from, to) and times in units of that divisor's period,

    y_m = (1 / from) sum_n x_n c sinc(c tau) cos(pi c tau / 12)^2,    tau = m / to - n / from,  |c tau| < 6,

a sinc under a Hann window of six zero crossings to either side. `polyscore.audio.io.resample` is sharper, and has no gradient.

Source: Smith 2002, Digital audio resampling (ccrma.stanford.edu/~jos/resample); the defaults are those of torchaudio.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from polyscore.errors import InputError

__all__ = ["Resample"]

CROSSINGS = 6
ROLLOFF = 0.99


class Resample(nn.Module):
    """Waves (B, L) at `rate` Hz to (B, ceil(L target / rate)) at `target` Hz; equal rates return the waves themselves.

    Raises:
        InputError: a rate that is not positive.
    """

    kernel: Tensor

    def __init__(self, rate: int, target: int) -> None:
        super().__init__()
        if rate <= 0 or target <= 0:
            raise InputError(f"resampling: rates {rate} and {target} Hz; expected positive numbers")
        divisor = math.gcd(rate, target)
        self.down, self.up = rate // divisor, target // divisor
        cut = ROLLOFF * min(self.down, self.up)
        self.reach = math.ceil(CROSSINGS * self.down / cut)
        source = torch.arange(-self.reach, self.reach + self.down, dtype=torch.float64) / self.down
        sought = torch.arange(self.up, dtype=torch.float64)[:, None] / self.up
        phase = (cut * (source - sought)).clamp(-CROSSINGS, CROSSINGS)
        kernel = cut / self.down * torch.sinc(phase) * torch.cos(math.pi * phase / (2 * CROSSINGS)).square()
        self.register_buffer("kernel", kernel[:, None].float(), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """One convolution gives all phases of the output; its stride is the period of the two rates."""
        if self.down == self.up:
            return wave
        padded = nn.functional.pad(wave[:, None], (self.reach, self.reach + self.down))
        phases = nn.functional.conv1d(padded, self.kernel.to(wave), stride=self.down)
        length = math.ceil(wave.shape[-1] * self.up / self.down)
        return phases.transpose(1, 2).flatten(1)[:, :length]
