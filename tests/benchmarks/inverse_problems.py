"""Every solver of inverse problems on the shipped digits, and on mixtures whose posterior is known: what it restores and costs.

    python tests/benchmarks/inverse_problems.py [--count 32] [--seeds 3] [--steps 20] [--only mixtures]

Digits: test images, unknown class, noise .05 of the measurement (values from -1 to 1). Each solver has its strength from the
candidates below, chosen for each problem on as many training images (seed 9), and then restores the test images with every seed;
the interval is over images and seeds. Mixtures: the mean of 1,024 samples against the closed form. A call is one image through
the network once; `back` counts passes backwards through it, which cost about two calls each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyscore.cli.intervals import mean
from polyscore.images import ImageGenerator, digits
from polyscore.inverse import (
    Blur,
    Clip,
    Downsample,
    FourierSamples,
    HessianTrace,
    Keep,
    Measurement,
    Posterior,
    Skipped,
    none,
    red_diff,
    unit_prior,
)
from polyscore.processes import VP
from polyscore.samplers import Ancestral, sample
from polyscore.state import NONE, Given
from polyscore.steering import Counted
from polyscore.testing import GMMDenoiser, Mixture

NOISE = 0.05


@dataclass(frozen=True)
class Solver:
    """How a measurement is solved, with the strengths to choose from; whether it goes back through the network."""

    name: str
    strengths: tuple[float, ...]
    back: bool
    solve: Callable[..., Tensor]


def wrapped(make: Callable[..., Any], times: int = 1) -> Callable[..., Tensor]:
    """A sampler around a wrapped denoiser, with so many times the steps."""

    def solve(model: Any, process: Any, seen: Measurement, like: Tensor, c: float, steps: int, given: Given, seed: int) -> Tensor:
        out: Tensor = sample(
            Ancestral(), make(model, process, (seen,), c), process, like, steps=times * steps, given=given, noise=seed
        )
        return out

    return solve


def descent(times: int) -> Callable[..., Tensor]:
    """RED-diff with so many times the steps."""

    def solve(model: Any, process: Any, seen: Measurement, like: Tensor, c: float, steps: int, given: Given, seed: int) -> Tensor:
        start = torch.zeros_like(like)
        return red_diff(seen, model, process, start, steps=times * steps, weight=c, rate=0.1, given=given, noise=seed)

    return solve


SOLVERS = (
    Solver("DPS (width none)", (0.01, 0.03, 0.1), True, wrapped(lambda d, p, m, c: Posterior(d, p, m, c, none))),
    Solver("PiGDM (unit_prior)", (1.0, 2.0, 4.0), True, wrapped(lambda d, p, m, c: Posterior(d, p, m, c, unit_prior))),
    Solver("HessianTrace", (0.1, 0.3, 1.0), True, wrapped(lambda d, p, m, c: Posterior(d, p, m, c, HessianTrace()))),
    Solver("Skipped (FlowChef)", (2.0, 3.0, 4.0), False, wrapped(lambda d, p, m, c: Skipped(d, p, m, c))),
    Solver("Skipped, 4 repeats", (1.0, 2.0, 3.0), False, wrapped(lambda d, p, m, c: Skipped(d, p, m, c, 4))),
    Solver("RED-diff", (0.003, 0.03, 0.3), False, descent(1)),
    Solver("Skipped, 2 x steps", (2.0, 3.0, 4.0), False, wrapped(lambda d, p, m, c: Skipped(d, p, m, c), 2)),
    Solver("RED-diff, 2 x steps", (0.003, 0.03, 0.3), False, descent(2)),
)


def operators() -> dict[str, Any]:
    """The problems of 8 x 8 images; half of the pixels, every other line of Fourier coefficients and the slowest ones."""
    generator = torch.Generator().manual_seed(0)
    kernel = torch.tensor([1.0, 2.0, 1.0])
    lines = torch.zeros(8, 8)
    lines[[0, 1, 3, 5, 7]] = 1  # k and -k alike
    return {
        "mask": Keep((torch.rand(8, 8, generator=generator) < 0.5).float()),
        "blur": Blur(kernel[:, None] * kernel / 16),
        "downsample": Downsample(2),
        "clip": Clip(0.3),
        "fourier": FourierSamples(lines),
    }


def measured(operator: Any, images: Tensor, seed: int) -> Measurement:
    """What is seen of images, with noise where something is seen."""
    y = operator(images)
    noise = NOISE * torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)
    return Measurement(operator, y + noise * getattr(operator, "mask", 1.0), NOISE)


def psnr(made: Tensor, true: Tensor) -> Tensor:
    """Of images from -1 to 1, in dB, (B,)."""
    return -10 * ((made.clamp(-1, 1) - true) / 2).square().flatten(1).mean(1).log10()


def on_digits(count: int, seeds: int, steps: int) -> None:
    """The first table."""
    model = ImageGenerator.from_pretrained("digits")
    process: Any = model.denoiser.process
    train, test = digits(train=True).images[::44][:count], digits(train=False).images[::11][:count]
    given = Given(cond=torch.full((count,), model.classes))
    head = f"{'problem':11} {'solver':20} {'strength':>8} {'PSNR':>6} {'95 %':>15} {'calls':>6} {'back':>5}"
    print(f"{head} {'CPU-ms an image':>16}")
    for name, operator in operators().items():
        for solver in SOLVERS:
            counted = Counted(model.denoiser)

            def restore(images: Tensor, c: float, seed: int, solver: Solver = solver, counted: Any = counted) -> Tensor:
                seen = measured(operator, images, seed)  # noqa: B023 - used within the loop
                found = solver.solve(counted, process, seen, images, c, steps, given, seed)
                return psnr(torch.nan_to_num(found), images)

            best = max(solver.strengths, key=lambda c: float(restore(train, c, 9).mean()))
            counted.calls, started = 0, time.process_time()
            values = torch.cat([restore(test, best, seed) for seed in range(seeds)])
            spent = 1000 * (time.process_time() - started) / len(values)
            calls, found = counted.calls / len(values), mean(values.tolist())
            low, high = found["ci95"]
            back = steps if solver.back else 0
            print(
                f"{name:11} {solver.name:20} {best:8g} {found['mean']:6.2f} {low:6.2f} to {high:5.2f} {calls:6.0f} {back:5d} "
                f"{spent:16.1f}",
                flush=True,
            )


def on_mixtures(steps: int = 100, count: int = 1024) -> None:
    """The second table: three Gaussians in d dimensions, m numbers are seen of it."""
    process = VP(0.1, 20.0)
    head = f"{'problem':26} {'solver':20} {'strength':>8} {'error of the mean':>18} {'of exact std':>12}"
    print(f"\n{head} {'calls':>6} {'CPU-s':>6}")
    for d, m, noise in ((2, 1, 0.5), (2, 1, 0.1), (8, 4, 0.2)):
        g = torch.Generator().manual_seed(d)
        root = torch.randn(3, d, d, generator=g, dtype=torch.float64) / d**0.5
        mixture = Mixture(
            torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
            0.8 * torch.randn(3, d, generator=g, dtype=torch.float64),
            0.3 * root @ root.mT + 0.1 * torch.eye(d, dtype=torch.float64),
        )
        a = torch.linalg.qr(torch.randn(d, m, generator=g, dtype=torch.float64)).Q.T
        y = a @ mixture.means[1] + 0.3
        exact, std = conditioned(mixture, a, y, noise)
        seen = Measurement(partial(_times, a=a), y[None], noise)
        like = torch.empty(count, d, dtype=torch.float64)
        for solver in SOLVERS:
            if "," in solver.name:
                continue  # rows of A are orthonormal: one pull is enough
            strength = 0.25 if solver.name == "RED-diff" else 1.0  # as derived, not chosen
            model = Counted(GMMDenoiser(mixture, process))
            started = time.process_time()
            found = solver.solve(model, process, seen, like, strength, steps, NONE, 0)
            spent = time.process_time() - started
            error = float((found.mean(0) - exact).norm())
            share = float(found.std(0).mean() / std.mean())
            problem = f"{m} of {d} seen, noise {noise:g}"
            line = f"{problem:26} {solver.name:20} {strength:8g} {error:18.3f} {share:12.2f}"
            print(f"{line} {model.calls / count:6.0f} {spent:6.2f}", flush=True)


def _times(x: Tensor, a: Tensor) -> Tensor:
    return x @ a.T


def conditioned(mixture: Mixture, a: Tensor, y: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviations (d,) of x given y = a x + noise."""
    parts = []
    for weight, mu, cov in zip(mixture.weights, mixture.means, mixture.covs, strict=True):
        spread = a @ cov @ a.T + noise**2 * torch.eye(len(a), dtype=a.dtype)
        rest = y - a @ mu
        gain = torch.linalg.solve(spread, a @ cov).T
        log = weight.log() - (rest @ torch.linalg.solve(spread, rest) + torch.logdet(spread)) / 2
        parts.append((log, mu + gain @ rest, (cov - gain @ a @ cov).diagonal()))
    weights = torch.softmax(torch.stack([log for log, _, _ in parts]), 0)[:, None]
    means, variances = (torch.stack([part[i] for part in parts]) for i in (1, 2))
    centre = (weights * means).sum(0)
    return centre, ((weights * (variances + means.square())).sum(0) - centre.square()).sqrt()


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", choices=("digits", "mixtures"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        if args.only != "mixtures":
            on_digits(args.count, args.seeds, args.steps)
        if args.only != "digits":
            on_mixtures()


if __name__ == "__main__":
    main()
