"""What few calls cost and keep: the presets of a speech model against the published sampler, in one run.

    POLYSCORE_REFERENCE=... python -m tests.benchmarks.speech_speed --model MODEL [--methods fast ode:8] [--against paper]

Mixes as in `speech_mixes.py` (speaker theo, two noises, 0, 5 and 10 dB). For each preset, or sampler with its steps: CPU seconds
of one thread a second of sound, mean SI-SDR and ESTOI over the same mixes, and how many times less CPU time than ``--against``.
The runs alternate mix by mix, so that whatever else the machine does meets all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.benchmarks.speech_mixes import RATE, digits, mixes

from polyscore.audio.metrics import estoi, si_sdr
from polyscore.audio.pipeline import SpeechEnhancer


def settings(name: str) -> dict[str, Any]:
    """A preset by name, or sampler:steps."""
    sampler, _, steps = name.partition(":")
    return {"sampler": sampler, "steps": int(steps)} if steps else {"preset": name}


def measure(enhancer: SpeechEnhancer, names: list[str], root: Path, clips: int, seed: int) -> dict[str, dict[str, Any]]:
    """CPU seconds a second of sound, SI-SDR (dB) and ESTOI of each of the methods over the same mixes."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    seconds = 0.0
    for _, clean, noisy in mixes(root, digits(root, rng, clips), rng):
        seconds += len(clean) / RATE
        for name in names:
            start = time.process_time()
            found = enhancer.enhance(noisy, RATE, seed=seed, **settings(name))
            spent = time.process_time() - start
            rows[name].append((spent, float(si_sdr(found, clean)), float(estoi(found, clean, RATE))))
    return {
        name: {
            "method": str(enhancer.method(**settings(name))),
            "cpu_seconds_per_second": sum(row[0] for row in values) / seconds,
            "si_sdr": float(np.mean([row[1] for row in values])),
            "estoi": float(np.nanmean([row[2] for row in values])),
            "n": len(values),
        }
        for name, values in rows.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", maxsplit=1)[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--methods", nargs="+", default=["fast", "balanced"])
    parser.add_argument("--against", default="paper")
    parser.add_argument("--clips", type=int, default=4, help="clips; each is mixed six times")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    root = os.environ.get("POLYSCORE_REFERENCE")
    if not root:
        sys.exit("speech_speed: set POLYSCORE_REFERENCE to the folder of reference material")
    torch.set_num_threads(1)
    enhancer = SpeechEnhancer.from_pretrained(options.model)
    names = [*options.methods, options.against]
    report = measure(enhancer, names, Path(root) / "audio", options.clips, options.seed)
    slow = report[options.against]["cpu_seconds_per_second"]
    for name, row in report.items():
        row["times_less"] = slow / row["cpu_seconds_per_second"]
        cost = f"{row['cpu_seconds_per_second']:.3f} CPU-s a second, {row['times_less']:.1f} times less"
        print(f"{name:12s} {row['method']}: {cost}; SI-SDR {row['si_sdr']:.2f} dB, ESTOI {row['estoi']:.3f} (n={row['n']})")
    if options.report:
        options.report.write_text(json.dumps({"model": options.model, "methods": report}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
