"""How much a speech enhancer improves 240 mixes of an unseen speaker with unseen noises, and what it does to real
recordings.

    POLYSCORE_REFERENCE=... python tests/benchmarks/speech_mixes.py [--model speech-16k] [--preset fast] [--report FILE.json]

Mixes: 40 clips of the FSDD speaker theo (three digits each, 8 kHz brought to 16 kHz) x {noise5, freesound} x {0, 5, 10}
dB, drawn from one seed. Sentences: the 13 clean recordings of `speech/` x the same noises x {0, 5, 10} dB. Real:
`real/` by DNSMOS. Everything is read from the reference folder; nothing of it is used in training.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.metrics import DNSMOS, estoi, pesq, si_ratios, si_sdr
from polyscore.audio.networks.dualpath import DualPathNet
from polyscore.audio.pipeline import SpeechEnhancer

RATE = 16000
LEVELS = (0.0, 5.0, 10.0)
NOISES = ("noise5.wav", "noise_freesound_573577.wav")
Enhance = Callable[[Tensor], Tensor]
Rng = np.random.Generator


def read(path: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    samples, rate = soundfile.read(path, always_2d=True)
    return np.asarray(soxr.resample(samples[:, 0], rate, RATE))


def digits(root: Path, rng: Rng, count: int = 40) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """`count` clips of three different digits of speaker theo, joined as they were recorded (about 1.1 s)."""
    takes = sorted((root / "fsdd").glob("*_theo_*.wav"))
    return [np.concatenate([read(takes[int(k)]) for k in rng.choice(len(takes), size=3, replace=False)]) for _ in range(count)]


def mixes(
    root: Path, clips: list[np.ndarray[tuple[int], np.dtype[np.float64]]], rng: Rng
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(condition, clean, noisy) for every clip, noise and level; the noise is cut at a random place and repeated if it
    is short."""
    for name in NOISES:
        noise = read(root / "noise" / name)
        for clip in clips:
            long = np.tile(noise, len(clip) // len(noise) + 2)
            start = int(rng.integers(len(noise)))
            cut = long[start : start + len(clip)]
            for level in LEVELS:
                gain = np.sqrt((clip**2).mean() / (cut**2).mean()) * 10 ** (-level / 20)
                noisy = clip + gain * cut
                scale = 0.9 / np.abs(noisy).max()
                condition = f"{name.removesuffix('.wav')} {level:g} dB"
                yield condition, torch.from_numpy(clip * scale).float(), torch.from_numpy(noisy * scale).float()


def compare(enhance: Enhance, pairs: Iterator[tuple[str, Tensor, Tensor]]) -> dict[str, object]:
    """Mean scores before and after, mean gains, the share of files on which each fell, and the gains per condition."""
    before: list[list[float]] = []
    after: list[list[float]] = []
    ratios: list[list[float]] = []
    conditions: list[str] = []
    seconds = cpu = 0.0
    for condition, clean, noisy in pairs:
        start = time.process_time()
        found = enhance(noisy)
        cpu += time.process_time() - start
        seconds += len(clean) / RATE
        conditions.append(condition)
        for wave, rows in ((noisy, before), (found, after)):
            rows.append([float(si_sdr(wave, clean)), float(estoi(wave, clean, RATE)), float(pesq(wave, clean))])
        split = si_ratios(found, clean, noisy)
        ratios.append([float(split.sir), float(split.sar)])
    names = ("si_sdr", "estoi", "pesq")
    first, second = np.array(before), np.array(after)
    gain = second - first
    result: dict[str, object] = {"n": len(first), "cpu_seconds_per_second": cpu / seconds}
    for i, name in enumerate(names):
        half = 1.96 * float(np.nanstd(gain[:, i])) / np.sqrt(len(gain))
        mean = float(np.nanmean(gain[:, i]))
        result[name] = {
            "noisy": float(np.nanmean(first[:, i])),
            "enhanced": float(np.nanmean(second[:, i])),
            "gain": mean,
            "ci95": [mean - half, mean + half],
            "share_fell": float(np.mean(gain[:, i] < 0)),
        }
    result["si_sir"], result["si_sar"] = (float(v) for v in np.mean(ratios, axis=0))
    result["gain_by_condition"] = {
        c: dict(zip(names, np.nanmean(gain[np.array(conditions) == c], axis=0).tolist(), strict=True))
        for c in dict.fromkeys(conditions)
    }
    return result


def real(enhance: Enhance, root: Path) -> dict[str, dict[str, float]]:
    """DNSMOS of the real recording before and after."""
    score = DNSMOS(root / "dnsmos" / "sig_bak_ovr.onnx")
    wave = torch.from_numpy(read(next((root / "real").glob("*.wav")))).float()
    return {"noisy": score(wave), "enhanced": score(enhance(wave))}


def clean_input(enhance: Enhance, clips: list[np.ndarray[tuple[int], np.dtype[np.float64]]]) -> float:
    """Mean SI-SDR in dB of clean clips that went through the enhancer: what it damages."""
    waves = [torch.from_numpy(c).float() for c in clips]
    return float(np.mean([float(si_sdr(enhance(w), w)) for w in waves]))


def load(name: str, preset: str, sampler: str | None, steps: int | None) -> Enhance:
    """The wave-to-wave map of a shipped model, a model folder, or a `PredictorTraining` checkpoint (its averages)."""
    if name.endswith(".ckpt"):
        state = torch.load(name, weights_only=True, map_location="cpu")["state_dict"]
        network = DualPathNet()
        network.load_state_dict({k.removeprefix("network."): v for k, v in state.items()})
        enhancer = SpeechEnhancer(network, codec=SpectrogramCodec()).eval()
    else:
        enhancer = SpeechEnhancer.from_pretrained(name)
    return lambda wave: enhancer.enhance(wave, RATE, preset=preset, sampler=sampler, steps=steps)


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", maxsplit=1)[0])
    parser.add_argument("--model", default="speech-16k")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--sampler")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clips", type=int, default=40)
    options = parser.parse_args()
    root = os.environ.get("POLYSCORE_REFERENCE")
    if not root:
        sys.exit("speech_mixes: set POLYSCORE_REFERENCE to the folder of reference material")
    torch.set_num_threads(1)
    audio = Path(root) / "audio"
    enhance = load(options.model, options.preset, options.sampler, options.steps)
    rng = np.random.default_rng(options.seed)
    speech = digits(audio, rng, options.clips)
    names = ("model", "preset", "sampler", "steps", "seed")
    report: dict[str, object] = {name: getattr(options, name) for name in names}
    report["digits"] = compare(enhance, mixes(audio, speech, rng))
    sentences = [read(p) for p in sorted((audio / "speech").glob("*.wav"))]
    report["sentences"] = compare(enhance, mixes(audio, sentences, rng))
    report["clean_input_si_sdr"] = {"digits": clean_input(enhance, speech[:20]), "sentences": clean_input(enhance, sentences)}
    report["real_dnsmos"] = real(enhance, audio)
    text = json.dumps(report, indent=1)
    print(text)
    if options.report:
        options.report.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
