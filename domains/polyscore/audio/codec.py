"""Waves to compressed complex spectrograms and back.

The short-time Fourier transform S (periodic window of length `n_fft`, centred, reflected at the ends, one-sided, not
normalised) is compressed in magnitude and keeps its phase:

    exponent   X = factor |S|^e exp(i arg S)          S = |X / factor|^(1/e) exp(i arg X)
    log        X = factor log(1 + |S|) exp(i arg S)   S = (exp(|X / factor|) - 1) exp(i arg X)
    none       X = S (no factor)

The one constraint: a wave shorter than the reflection needs is padded with zeros first, and `decode` is given the
length it had.

Source: Richter, Welker, Lemercier, Lay, Gerkmann 2023, arXiv 2208.05830 (SGMSE+).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["SpectrogramCodec", "pad_frames"]


@dataclass(frozen=True)
class SpectrogramCodec:
    """The codec of SGMSE+ at 16 kHz by default.

    At 48 kHz it has n_fft 1534, hop 384, factor 0.065 and exponent 0.667.

    Raises:
        InputError: an argument outside its range.
    """

    n_fft: int = 510
    hop: int = 128
    window: Literal["hann", "sqrthann"] = "hann"
    transform: Literal["exponent", "log", "none"] = "exponent"
    exponent: float = 0.5
    factor: float = 0.15

    def __post_init__(self) -> None:
        if not 2 <= self.hop <= self.n_fft // 2:
            raise InputError(f"codec: hop is {self.hop}; expected 2 to n_fft // 2 = {self.n_fft // 2}, or frames do not overlap")
        if self.window not in ("hann", "sqrthann"):
            raise InputError(f"codec: window is {self.window!r}; expected 'hann' or 'sqrthann'")
        if self.transform not in ("exponent", "log", "none"):
            raise InputError(f"codec: transform is {self.transform!r}; expected 'exponent', 'log' or 'none'")
        if self.exponent <= 0 or self.factor <= 0:
            raise InputError(f"codec: exponent {self.exponent} and factor {self.factor} must be positive")

    @property
    def bins(self) -> int:
        """Number F of frequencies, n_fft // 2 + 1."""
        return self.n_fft // 2 + 1

    def frames(self, length: int) -> int:
        """Number T of frames of a wave of `length` samples."""
        return max(length, self.n_fft // 2 + 1) // self.hop + 1

    def encode(self, wave: Tensor) -> Tensor:
        """`wave` (..., L), real, to its compressed spectrogram (..., F, T), complex."""
        return self.forward_transform(self.stft(wave))

    def decode(self, spec: Tensor, length: int) -> Tensor:
        """Compressed spectrogram (..., F, T) to a wave (..., length): the inverse of `encode`."""
        return self.istft(self.back_transform(spec), length)

    def stft(self, wave: Tensor) -> Tensor:
        """Plain spectrogram (..., F, T) of `wave` (..., L).

        Raises:
            InputError: the wave holds no sample, or is not real floating point.
        """
        if wave.shape[-1] == 0 or not wave.is_floating_point():
            raise InputError(f"codec: expected a real wave (..., L) with L >= 1, got {tuple(wave.shape)} of {wave.dtype}")
        missing = self.n_fft // 2 + 1 - wave.shape[-1]
        if missing > 0:
            wave = torch.nn.functional.pad(wave, (0, missing))
        flat = wave.reshape(-1, wave.shape[-1])
        spec = torch.stft(flat, self.n_fft, self.hop, window=self._window(flat), center=True, return_complex=True)
        return spec.reshape(*wave.shape[:-1], *spec.shape[-2:])

    def istft(self, spec: Tensor, length: int) -> Tensor:
        """Wave (..., length) of a plain spectrogram (..., F, T), whose frames past `length` are dropped first."""
        kept = spec[..., : self.frames(length)]
        flat = kept.reshape(-1, *kept.shape[-2:])
        window = self._window(flat.real)
        wave = torch.istft(flat, self.n_fft, self.hop, window=window, center=True, length=max(length, self.n_fft // 2 + 1))
        return wave[..., :length].reshape(*spec.shape[:-2], length)

    def forward_transform(self, spec: Tensor) -> Tensor:
        """Compress the magnitude of a complex spectrogram of any shape."""
        if self.transform == "exponent":
            return self.factor * _magnitude(spec, lambda m: m if self.exponent == 1 else m**self.exponent)
        if self.transform == "log":
            return self.factor * _magnitude(spec, torch.log1p)
        return spec

    def back_transform(self, spec: Tensor) -> Tensor:
        """Undo `forward_transform`."""
        if self.transform == "exponent":
            return _magnitude(spec / self.factor, lambda m: m if self.exponent == 1 else m ** (1 / self.exponent))
        if self.transform == "log":
            return _magnitude(spec / self.factor, torch.expm1)
        return spec

    def _window(self, like: Tensor) -> Tensor:
        return _window(self.window, self.n_fft, like.device, like.dtype)


@lru_cache(maxsize=32)
def _window(name: str, n_fft: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # kept for later calls, which may want gradients
        hann = torch.hann_window(n_fft, periodic=True, dtype=torch.float64)
        return (hann if name == "hann" else hann.sqrt()).to(device, dtype)


def _magnitude(spec: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Replace |S| by change(|S|) and keep the phase; zero stays zero, also in the gradient."""
    floor = torch.finfo(spec.real.dtype).tiny ** 0.5
    size = (spec.real.square() + spec.imag.square()).clamp_min(floor**2).sqrt()
    return spec * (change(size) / size)


def pad_frames(spec: Tensor, multiple: int = 64, mode: Literal["zeros", "reflect"] = "zeros") -> Tensor:
    """Extend the frames (last axis) of `spec` (..., F, T) on the right to a multiple of `multiple`.

    `reflect` mirrors without repeating the last frame, as often as a short spectrogram needs it.
    """
    missing = -spec.shape[-1] % multiple
    if missing == 0:
        return spec
    if mode == "zeros":
        return torch.cat([spec, spec.new_zeros(*spec.shape[:-1], missing)], dim=-1)
    if mode != "reflect":
        raise InputError(f"pad_frames: mode is {mode!r}; expected 'zeros' or 'reflect'")
    last = spec.shape[-1] - 1
    if last == 0:
        return spec.expand(*spec.shape[:-1], multiple).clone()
    position = torch.arange(spec.shape[-1], spec.shape[-1] + missing, device=spec.device) % (2 * last)
    return torch.cat([spec, spec[..., torch.where(position > last, 2 * last - position, position)]], dim=-1)
