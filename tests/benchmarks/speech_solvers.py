"""Samplers, grids and numbers of calls of the speech processes where the exact posterior is known.

    POLYSCORE_REFERENCE=... python tests/benchmarks/speech_solvers.py [--process ouve bridge ...] [--mixture]

Compressed spectrograms of real sentences give a variance v and a noisy value y to each bin. With speech and noise Gaussian there,

    x0 | y ~ CN(m, p),   m = v / (v + w) y,   p = v w / (v + w),    w the variance of the noise,

the model's exact prediction is E[x0 | x_t, y] = m + p a / (a^2 p + s^2) (x_t - a m - b y), and every sampler here maps noise to a
Gaussian whose mean and variance in each bin are computed without drawing: from a run with no noise, and one per draw with unit
noise in that draw alone. The error is the Wasserstein distance to the posterior,

    sqrt(mean over bins of |mean - m|^2 + (deviation - sqrt(p))^2) / sqrt(mean over bins of p):

0 for exact draws, about 1 for the posterior's mean. `--mixture` does the same for a posterior of two parts (speech present or
not), where the predictions are no longer linear, by draws; its error has a floor, which is printed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.io import read
from polyscore.audio.methods import Method, choose
from polyscore.audio.storm import OUVPWithoutRoot
from polyscore.denoisers import Prediction
from polyscore.noise import Seeded
from polyscore.processes import OUVE, OUVP, VEBridge
from polyscore.samplers import sample
from polyscore.state import Given

PROCESSES: dict[str, Any] = {
    "ouve": OUVE(),
    "ouve-48k": OUVE(theta=2.0, sigma_min=0.1, sigma_max=1.0),
    "bridge": VEBridge(regulariser=1e-8),
    "ouvp": OUVP(0.1, 2.0),
    "ouvp-storm": OUVPWithoutRoot(0.1, 2.0),
}


@dataclass(frozen=True)
class Bins:
    """Speech variance v, noise variance w, noisy value y of each bin (1, n)."""

    v: Tensor
    w: Tensor
    y: Tensor

    @property
    def posterior(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of x0 given y."""
        share = self.v / (self.v + self.w)
        return share * self.y, share * self.w


def bins(root: Path, count: int = 2000, snr: float = 5.0) -> Bins:
    """Bins of the sentences of the reference folder in white noise; variances are local means over 3 x 5 bins."""
    wave = torch.cat([read(path)[0] for path in sorted((root / "audio" / "speech").glob("spk1*.wav"))], dim=-1)
    wave = wave / wave.abs().max()
    noise = torch.randn(wave.shape, generator=torch.Generator().manual_seed(0)) * wave.std() * 10 ** (-snr / 20)
    codec = SpectrogramCodec()
    clean, noisy = codec.encode(wave)[0], codec.encode(wave + noise)[0]

    def smooth(power: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(power[None], (3, 5), 1, (1, 2), count_include_pad=False)[0].flatten()

    v, w = smooth(clean.abs().square()), smooth((noisy - clean).abs().square())
    chosen = torch.randperm(len(v), generator=torch.Generator().manual_seed(1))[:count]
    v, w = (part[chosen][None].double().clamp_min(1e-8) for part in (v, w))
    return Bins(v, w, noisy.flatten()[chosen][None].to(torch.complex128))


def exact(process: Any, known: Bins) -> Any:
    """The exact prediction for a process and these bins."""
    m, p = known.posterior

    def denoiser(x: Tensor, t: Any, given: Given) -> Prediction:
        a, b, s = (float(c) for c in process.coefs_of(t))
        return Prediction(m + p * a / (a * a * p + s * s) * (x - a * m - b * given.y))

    return denoiser


def error(process: Any, method: Method, known: Bins) -> float:
    """Relative Wasserstein distance of what the method samples to the posterior (module docstring)."""
    m, p = known.posterior
    rows = 3 + 4 * method.steps  # at least one more than there are draws
    y = known.y.expand(rows, -1)
    settings: dict[str, Any] = {"steps": method.steps, "grid": method.grid, "given": Given(y=y), "noise": OneDrawARow()}
    x = sample(method.sampler, exact(process, known), process, y, **settings)
    mean, variance = x[:1], (x[1:] - x[:1]).abs().square().sum(0, keepdim=True)
    squares = (mean - m).abs().square() + (variance.sqrt() - p.sqrt()).square()
    return float((squares.mean() / p.mean()).sqrt())


class OneDrawARow:
    """Noise that is 1 in row k for draw k = 1, 2, ..., and 0 elsewhere: row 0 has the mean, row k what draw k adds."""

    def __init__(self) -> None:
        self.draws = 0

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        """The next draw, shaped like the state."""
        self.draws += 1
        noise = torch.zeros_like(like)
        noise[self.draws] = 1.0
        return noise


def mixture_error(process: Any, method: Method | None, known: Bins, count: int = 4096) -> float:
    """The same for x0 | y a mixture of the Gaussian above and of CN(0, p / 100), by draws; without a method, of exact draws."""
    m, p = (part[:, :24].expand(count, -1) for part in known.posterior)
    y = known.y[:, :24].expand(count, -1)
    small, generator = p / 100, torch.Generator().manual_seed(5)

    def draw() -> Tensor:
        z = torch.randn(m.shape, generator=generator, dtype=torch.complex128)
        present = torch.rand(m.shape, generator=generator, dtype=torch.float64) < 0.5
        return torch.where(present, m + p.sqrt() * z, small.sqrt() * z)

    def denoiser(x: Tensor, t: Any, given: Given) -> Prediction:
        a, b, s = (float(c) for c in process.coefs_of(t))
        means, logs = [], []
        for center, variance in ((m, p), (torch.zeros_like(m), small)):
            total = a * a * variance + s * s
            rest = x - a * center - b * given.y
            means.append(center + variance * a / total * rest)
            logs.append(-rest.abs().square() / total - total.log())
        share = torch.softmax(torch.stack(logs), 0)
        return Prediction(share[0] * means[0] + share[1] * means[1])

    found = draw()
    if method is not None:
        found = sample(
            method.sampler, denoiser, process, y, steps=method.steps, grid=method.grid, given=Given(y=y), noise=Seeded(0)
        )
    target = draw()
    pairs = ((found.real, target.real), (found.imag, target.imag))
    squares = sum((a.sort(0).values - b.sort(0).values).square() for a, b in pairs)
    return float((torch.as_tensor(squares).mean() / p.mean()).sqrt())


def methods(process: Any) -> Iterator[tuple[str, Method]]:
    """What is compared: every sampler at several numbers of steps, and the presets."""
    bridge = isinstance(process, VEBridge)
    for preset in ("fast", "balanced", "paper"):
        yield f"preset {preset}", choose(process, preset=preset, paper_steps=50 if bridge else 30)
    own = ("ode-upstream", "sde-upstream") if bridge else ("predictor", "pc", "pc-2023")
    for name in ("multistep", "ode", "sde", *own):
        for steps in (2, 4, 9, 15, 30):
            yield name, choose(process, sampler=name, steps=steps)


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", maxsplit=1)[0])
    parser.add_argument("--process", nargs="+", choices=tuple(PROCESSES), default=list(PROCESSES))
    parser.add_argument("--mixture", action="store_true")
    options = parser.parse_args()
    root = os.environ.get("POLYSCORE_REFERENCE")
    if not root:
        sys.exit("speech_solvers: set POLYSCORE_REFERENCE to the folder of reference material")
    torch.set_num_threads(1)
    known = bins(Path(root), 200)
    measure: Any = mixture_error if options.mixture else error
    for name in options.process:
        process = PROCESSES[name]
        if options.mixture:
            print(f"{name:10s} exact draws: {mixture_error(process, None, known):.4f}")
        for label, method in methods(process):
            print(f"{name:10s} {label:16s} {method.nfe!s:>4s} calls  {measure(process, method, known):.4f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
