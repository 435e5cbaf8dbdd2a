"""A recording in windows against the recording as a whole, with the model that ships and real speech and noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from polyscore.audio import SpeechEnhancer
from polyscore.audio.io import read


def mixture(reference: Path) -> Tensor:
    """27 s of twelve sentences in noise, at 6 dB."""
    audio = reference / "audio"
    speech = torch.cat([read(path)[0] for path in sorted((audio / "speech").glob("spk*.wav"))], dim=-1)
    noise = read(audio / "noise" / "noise1.wav")[0][:, : speech.shape[-1]]
    mixed = speech[:, : noise.shape[-1]] + 0.5 * speech.std() / noise.std() * noise
    return 0.5 * mixed / mixed.abs().max()


def test_seams_are_40_db_below_the_result(reference: Path) -> None:
    enhancer, wave = SpeechEnhancer.from_pretrained("speech-16k"), mixture(reference)
    whole = enhancer.enhance(wave, 16000, chunk=1000.0)
    windows = enhancer.enhance(wave, 16000, chunk=10.0)
    assert enhancer.window() == 10.0  # the default
    assert len(enhancer._cutting.windows(10.0).spans(wave.shape[-1])) == 3
    snr = 10 * torch.log10(whole.square().sum() / (windows - whole).square().sum())
    assert snr >= 40.0
