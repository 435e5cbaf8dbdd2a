"""What a call of an enhancer takes: the settings by name and type, and what is refused."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor

from polyscore.audio.bands import HIGH_BANDS, HighBand
from polyscore.errors import InputError

__all__ = ["EnhanceSettings", "check_call"]


class EnhanceSettings(TypedDict, total=False):
    """The keyword arguments of `SpeechEnhancer.enhance`, but the seed."""

    preset: str
    steps: int | None
    sampler: str | None
    snr: float
    corrector_steps: int
    mix: float
    high_band: HighBand
    chunk: float | None
    batch_size: int


def check_call(wave: object, sample_rate: int, mix: float, high_band: str) -> None:
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
    if high_band not in HIGH_BANDS:
        raise InputError(f"enhance: high_band is {high_band!r}; expected one of {', '.join(HIGH_BANDS)}")
