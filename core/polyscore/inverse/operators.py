r"""Operators of measurements, written forwards: images, sounds, clouds and grids alike.

    Keep(mask)             the entries where mask = 1                     in-painting, infilling, missing modalities
    Blur(kernel)           convolution of the last axes, zero outside     deblurring
    Downsample(factor)     means of blocks of the last axes               super-resolution
    BandLimit(share)       the lowest share of the last axis's Fourier coefficients, band above removed   bandwidth extension
    FourierSamples(mask)   orthonormal 2-D Fourier coefficients where mask = 1    MRI-like sampling
    Clip(level)            min(max(x, -level), level)                     declipping
    MagnitudeSTFT(n, hop)  |STFT| with a Hann window                      phase retrieval
    GainOffset(g, o)       g x + o, its numbers given or learned          blind restoration

Keep, BandLimit and, of real signals with masks that hold k and -k alike, FourierSamples are projections (A^T A A^T A = A^T A).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.errors import InputError

__all__ = ["BandLimit", "Blur", "Clip", "Downsample", "FourierSamples", "GainOffset", "Keep", "MagnitudeSTFT"]


@dataclass(frozen=True, eq=False)
class Keep:
    """m x, with a 0/1 mask that broadcasts to x."""

    mask: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.mask.to(x)


@dataclass(frozen=True, eq=False)
class Blur:
    """k * x over the last `k.ndim` axes (1 or 2), of the same size, zero outside; every channel by itself.

    Raises:
        InputError: a kernel of other than 1 or 2 axes, or of even size.
    """

    kernel: Tensor

    def __post_init__(self) -> None:
        if self.kernel.ndim not in (1, 2) or any(n % 2 == 0 for n in self.kernel.shape):
            raise InputError(f"Blur: a kernel {tuple(self.kernel.shape)}; expected one or two axes of odd size")

    def __call__(self, x: Tensor) -> Tensor:
        axes, kernel = self.kernel.ndim, self.kernel.to(x)
        flat = x.reshape(-1, 1, *x.shape[-axes:])
        padding = [n // 2 for n in kernel.shape]
        convolve = functional.conv1d if axes == 1 else functional.conv2d
        out: Tensor = convolve(flat, kernel.flip(tuple(range(axes)))[None, None], padding=padding)
        return out.reshape(x.shape)


@dataclass(frozen=True)
class Downsample:
    """Means over blocks of `factor` entries along the last `axes` axes (1 or 2)."""

    factor: int
    axes: int = 2

    def __call__(self, x: Tensor) -> Tensor:
        pool = functional.avg_pool1d if self.axes == 1 else functional.avg_pool2d
        flat = x.reshape(-1, 1, *x.shape[-self.axes :])
        out: Tensor = pool(flat, self.factor)
        return out.reshape(*x.shape[: -self.axes], *out.shape[2:])


@dataclass(frozen=True)
class BandLimit:
    """The signal with its Fourier coefficients from `share` of the band on set to 0 (last axis)."""

    share: float

    def __call__(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(x, norm="ortho")
        keep = torch.arange(spectrum.shape[-1], device=x.device) < self.share * spectrum.shape[-1]
        out: Tensor = torch.fft.irfft(spectrum * keep, n=x.shape[-1], norm="ortho")
        return out


@dataclass(frozen=True, eq=False)
class FourierSamples:
    """Orthonormal Fourier coefficients of the last two axes where mask (H, W) = 1, complex."""

    mask: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = torch.fft.fft2(x, norm="ortho") * self.mask.to(x.device)
        return out


@dataclass(frozen=True)
class Clip:
    """Values beyond +-level are level; there nothing pulls but the prior."""

    level: float

    def __call__(self, x: Tensor) -> Tensor:
        return x.clamp(-self.level, self.level)


@dataclass(frozen=True)
class MagnitudeSTFT:
    """|STFT| (..., n / 2 + 1, frames) of the last axis with a Hann window; smooth at 0."""

    n_fft: int = 256
    hop: int = 64

    def __call__(self, x: Tensor) -> Tensor:
        window = torch.hann_window(self.n_fft, dtype=x.dtype, device=x.device)
        flat = x.reshape(-1, x.shape[-1])
        spectrum = torch.stft(flat, self.n_fft, self.hop, window=window, return_complex=True)
        out: Tensor = torch.sqrt(spectrum.abs().square() + 1e-12)
        return out.reshape(*x.shape[:-1], *out.shape[1:])


class GainOffset(nn.Module):
    """gain x + offset, one pair of numbers a sample; both are parameters, to be found while restoring (`Blind`)."""

    def __init__(self, count: int, gain: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((count,), gain))
        self.offset = nn.Parameter(torch.full((count,), offset))

    def forward(self, x: Tensor) -> Tensor:
        """The degraded x (B, ...)."""
        shape = (-1, *[1] * (x.ndim - 1))
        out: Tensor = self.gain.to(x).view(shape) * x + self.offset.to(x).view(shape)
        return out
