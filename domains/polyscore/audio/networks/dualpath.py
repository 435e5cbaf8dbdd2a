"""A light predictor of clean spectrograms: strided convolutions and dual-path recurrences.

With Y the compressed noisy spectrogram, the network gives a complex mask m and a complex remainder r, both (F, T), and

    X = (m + 1/2) Y + 0.3 r.

An encoder of three convolutions reduces the F frequencies by 16; each dual-path block reads the reduced spectrogram
along frequency within a frame and then along time within a band, with bidirectional LSTMs; a decoder with skip
connections restores F by sub-pixel convolutions. The one constraint: F is a multiple of 16.

Sources of the parts: dual-path recurrence, Luo, Chen, Yoshioka 2020, arXiv 1910.06379; its use on reduced spectrograms,
Rong, Sun, Zhang, Hu, Zhu, Lu 2024 (GTCRN, ICASSP); compressed spectrograms, Richter et al. 2023, arXiv 2208.05830.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError

__all__ = ["DualPathBlock", "DualPathNet", "FrameNorm", "STRIDES", "interleave"]

STRIDES = (4, 2, 2)


class FrameNorm(nn.Module):
    """Normalise every frame of (B, C, T, F) over channels and frequencies, whatever the length."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(1, 3), keepdim=True, correction=0)
        return (x - mean) * (variance + 1e-5).rsqrt() * self.weight + self.bias


class DualPathBlock(nn.Module):
    """Two residual recurrences on (B, C, T, F): over frequency within each frame, then over time within each band."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.across = nn.LSTM(channels, hidden, batch_first=True, bidirectional=True)
        self.across_out = nn.Linear(2 * hidden, channels)
        self.across_norm = nn.LayerNorm(channels)
        self.along = nn.LSTM(channels, hidden, batch_first=True, bidirectional=True)
        self.along_out = nn.Linear(2 * hidden, channels)
        self.along_norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        b, c, t, f = x.shape
        frames: Tensor = x.permute(0, 2, 3, 1).reshape(b * t, f, c)
        frames = frames + self.across_norm(self.across_out(self.across(frames)[0]))
        bands: Tensor = frames.view(b, t, f, c).transpose(1, 2).reshape(b * f, t, c)
        bands = bands + self.along_norm(self.along_out(self.along(bands)[0]))
        return bands.view(b, f, t, c).permute(0, 3, 2, 1)


class DualPathNet(nn.Module):
    """Predict the clean compressed spectrogram from the noisy one; 386 k parameters by default.

    Args:
        bins: number F of frequencies, a multiple of 16.
        channels: width of the three convolutions.
        hidden: state of each recurrence, per direction.
        depth: number of dual-path blocks.

    Raises:
        InputError: a size outside its range.
    """

    def __init__(self, bins: int = 256, channels: Sequence[int] = (24, 40, 56), hidden: int = 64, *, depth: int = 2) -> None:
        super().__init__()
        if bins < 16 or bins % 16:
            raise InputError(f"DualPathNet: bins is {bins}; expected a multiple of 16 (n_fft 510 gives 256)")
        if len(channels) != len(STRIDES) or min(*channels, hidden, depth) < 1:
            raise InputError(
                f"DualPathNet: channels {tuple(channels)}, hidden {hidden}, depth {depth}; expected three widths, all positive"
            )
        self.bins, self.channels, self.hidden, self.depth = bins, tuple(channels), hidden, depth
        widths = [3, *channels]
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, (3, s + 2 + s % 2), (1, s), (1, 1)) for a, b, s in zip(widths, widths[1:], STRIDES, strict=False)
        )
        self.down_norm = nn.ModuleList(FrameNorm(c) for c in channels)
        self.position = nn.Parameter(torch.zeros(channels[-1], 1, bins // 16))
        self.blocks = nn.ModuleList(DualPathBlock(channels[-1], hidden) for _ in range(depth))
        outs = [*reversed(widths[1:-1]), 4]
        ins = [*reversed(widths[1:])]
        self.up = nn.ModuleList(
            nn.Conv2d(a, b * s, (3, 3), padding=1) for a, b, s in zip(ins, outs, reversed(STRIDES), strict=True)
        )
        self.skip = nn.ModuleList(nn.Conv2d(c, c, 1) for c in ins)
        self.up_norm = nn.ModuleList(FrameNorm(c) for c in outs[:-1])
        last = self.up[-1]
        assert isinstance(last, nn.Conv2d)
        nn.init.normal_(last.weight, std=1e-3, generator=torch.Generator().manual_seed(0))

    def forward(self, spec: Tensor) -> Tensor:
        """Noisy compressed spectrogram (..., F, T), complex, to the predicted clean one of the same shape.

        Raises:
            InputError: F is not `bins`.
        """
        if spec.shape[-2] != self.bins:
            raise InputError(f"DualPathNet: the spectrogram has {spec.shape[-2]} frequencies; expected {self.bins}")
        y = spec.reshape(-1, *spec.shape[-2:]).transpose(1, 2)
        features = torch.stack([y.real, y.imag, (y.real.square() + y.imag.square() + 1e-12).sqrt()], dim=1)
        h, skips = features, []
        for conv, norm in zip(self.down, self.down_norm, strict=True):
            h = F.silu(norm(conv(h)))
            skips.append(h)
        h = h + self.position
        for block in self.blocks:
            h = block(h)
        for i, (conv, skip) in enumerate(zip(self.up, self.skip, strict=True)):
            h = interleave(conv(h + skip(skips[-1 - i])), STRIDES[-1 - i])
            if i < len(self.up_norm):
                h = F.silu(self.up_norm[i](h))
        h = h.to(y.real.dtype)  # under autocast: there are no complex numbers of 16 bits
        mask, rest = torch.complex(h[:, 0] + 0.5, h[:, 1]), torch.complex(h[:, 2], h[:, 3])
        return (mask * y + 0.3 * rest).transpose(1, 2).reshape(spec.shape)


def interleave(x: Tensor, factor: int) -> Tensor:
    """Sub-pixel upsampling over frequency: (B, C r, T, F) to (B, C, T, F r)."""
    b, c, t, f = x.shape
    return x.view(b, c // factor, factor, t, f).permute(0, 1, 3, 4, 2).reshape(b, c // factor, t, f * factor)
