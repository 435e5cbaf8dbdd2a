"""What a call of an enhancer takes: the settings by name and type, and what is refused."""

from __future__ import annotations

import math
from typing import Literal, TypedDict, get_args

import torch
from torch import Tensor

from polyscore.audio.bands import HIGH_BANDS, HighBand
from polyscore.errors import InputError

__all__ = ["Channels", "EnhanceSettings", "Seams", "check_call", "check_windows"]

Channels = Literal["each", "mono", "first"]
Seams = Literal["context", "blend"]


class EnhanceSettings(TypedDict, total=False):
    """The keyword arguments of `SpeechEnhancer.enhance`, but the seed."""

    preset: str
    steps: int | None
    sampler: str | None
    snr: float | None
    corrector_steps: int
    mix: float
    channels: Channels
    high_band: HighBand
    chunk: float | Literal["auto"]
    seams: Seams
    batch_size: int | Literal["auto"]


def check_call(wave: object, sample_rate: int, mix: float, high_band: str, channels: str) -> None:
    """Refuse what cannot be enhanced.

    Raises:
        InputError: a wave that is empty, not real, or holds NaN or infinity; an argument outside its range.
    """
    if not isinstance(wave, Tensor) or not wave.is_floating_point() or wave.dim() not in (1, 2) or 0 in wave.shape:
        found = f"{wave.dtype} of shape {tuple(wave.shape)}" if isinstance(wave, Tensor) else type(wave).__name__
        raise InputError(f"enhance: the wave is {found}; expected a real tensor (channels, samples) or (samples,), not empty")
    if not torch.isfinite(wave).all():
        share = int((~torch.isfinite(wave)).sum())
        raise InputError(f"enhance: {share} of the wave's {wave.numel()} samples are NaN or infinite; repair the recording first")
    if sample_rate <= 0:
        raise InputError(f"enhance: sample_rate is {sample_rate} Hz; expected a positive number")
    if not 0 <= mix <= 1:
        raise InputError(f"enhance: mix is {mix}; expected 0 (the input) to 1 (the enhanced signal)")
    for name, value, known in (("high_band", high_band, HIGH_BANDS), ("channels", channels, get_args(Channels))):
        if value not in known:
            raise InputError(f"enhance: {name} is {value!r}; expected one of {', '.join(known)}")


def check_windows(chunk: object, seams: object, batch_size: object) -> None:
    """Refuse windows that cannot be made.

    Raises:
        InputError: a chunk or a batch that is not positive, or an unknown way to join windows.
    """
    number = isinstance(chunk, int | float) and 0 < chunk < math.inf
    if chunk != "auto" and not number:
        raise InputError(f"enhance: chunk is {chunk} s; expected a positive number of seconds, or 'auto'")
    if seams not in get_args(Seams):
        raise InputError(f"enhance: seams is {seams!r}; expected one of {', '.join(get_args(Seams))}")
    if batch_size != "auto" and not (isinstance(batch_size, int) and batch_size > 0):
        raise InputError(f"enhance: batch_size is {batch_size!r}; expected a positive number of windows, or 'auto'")
