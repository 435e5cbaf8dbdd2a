"""The shipped pair against the shipped predictor on sentences neither has seen (recordings of the reference folder)."""

from __future__ import annotations

from pathlib import Path

import soundfile
import torch
from torch import Tensor

from polyscore.audio import SpeechEnhancer
from polyscore.audio.io import resample
from polyscore.audio.metrics import estoi, si_sdr

RATE = 16000


def mixtures(reference: Path) -> list[tuple[Tensor, Tensor]]:
    """Clean and noisy waves: six sentences with noise5 at 5 dB."""
    folder = reference / "audio"
    noise = torch.from_numpy(soundfile.read(folder / "noise" / "noise5.wav", dtype="float32")[0])
    pairs = []
    for path in sorted((folder / "speech").glob("spk*_snt*.wav"))[::2]:
        samples, rate = soundfile.read(path, dtype="float32")
        clean = resample(torch.from_numpy(samples)[None], rate, RATE)[0]
        cut = noise.repeat(1 + len(clean) // len(noise))[: len(clean)]
        pairs.append((clean, clean + cut * clean.norm() / cut.norm() * 10 ** (-5 / 20)))
    return pairs


def test_the_second_stage_is_worth_its_calls(reference: Path) -> None:
    predictor, pair = (SpeechEnhancer.from_pretrained(name) for name in ("speech-16k", "storm-16k"))
    pairs = mixtures(reference)
    assert len(pairs) == 6

    def scores(enhancer: SpeechEnhancer, preset: str) -> Tensor:
        waves = [(enhancer.enhance(noisy, RATE, preset=preset), clean) for clean, noisy in pairs]
        return torch.tensor([[float(si_sdr(w, c)), float(estoi(w, c, RATE))] for w, c in waves]).mean(dim=0)

    alone, one, two = scores(predictor, "fast"), scores(pair, "fast"), scores(pair, "balanced")
    assert (pair.method(preset="fast").nfe, pair.method(preset="balanced").nfe) == (1, 2)
    assert one[0] > alone[0] + 0.1  # dB
    assert one[1] > alone[1]
    assert abs(two[0] - one[0]) < 0.3
