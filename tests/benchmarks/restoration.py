"""Clipped and band-limited speech: doing nothing, `polyscore enhance` with its models, and declipping.

    python tests/benchmarks/restoration.py clean/*.wav [--seconds 3] [--levels 0.3 0.15] [--band 0.5]

The first seconds of every file, peak 1, are clipped at each level, or lose the band above a share of it. Prints means over the
files: SI-SDR (dB), ESTOI, PESQ-wb; of the band, what share of the power above the cut comes back.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from polyscore.audio import SpeechEnhancer
from polyscore.audio.declipping import declip
from polyscore.audio.io import read, resample
from polyscore.audio.metrics.scores import Scorer
from polyscore.inverse import BandLimit

RATE = 16000


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--levels", type=float, nargs="*", default=[0.3, 0.15])
    parser.add_argument("--band", type=float, nargs="*", default=[0.5])
    args = parser.parse_args()
    torch.set_num_threads(1)
    models = {name: SpeechEnhancer.from_pretrained(name) for name in ("speech-16k", "storm-16k")}
    methods: dict[str, Callable[[Tensor], Tensor]] = {
        "nothing": lambda y: y,
        **{f"enhance {name}": lambda y, model=model: model.enhance(y, RATE) for name, model in models.items()},  # type: ignore[misc]
        "declip, 100 steps": lambda y: declip(y, RATE),
    }
    waves = []
    for path in args.files:
        wave, form = read(path)
        wave = resample(wave, form.rate, RATE)[:1, : round(args.seconds * RATE)]
        waves.append(wave / wave.abs().max())
    score = Scorer(["si_sdr", "estoi", "pesq"])
    problems: list[tuple[str, Callable[[Tensor], Tensor], BandLimit | None]]
    problems = [(f"clip {c:g}", partial(torch.clamp, min=-c, max=c), None) for c in args.levels]
    problems += [(f"band {s:g}", BandLimit(s), BandLimit(s)) for s in args.band]
    for problem, degrade, low in problems:
        for name, restore in methods.items():
            if low is not None and name.startswith("declip"):
                continue
            started, found, above = time.process_time(), [], []
            for x in waves:
                out = restore(degrade(x))
                found.append(score(out, x, RATE))
                if low is not None:
                    above.append(float((out - low(out)).square().sum() / (x - low(x)).square().sum()))
            shown = "  ".join(f"{key} {sum(one[key] for one in found) / len(found):.3f}" for key in found[0])
            extra = f"  power above the cut {sum(above) / len(above):.1e}" if above else ""
            print(f"{problem:10} {name:18} {shown}{extra}  {time.process_time() - started:.1f} CPU-s with scores", flush=True)


if __name__ == "__main__":
    main()
