"""What a sampler costs beside its network: thread CPU time per step at a state of (64, 2), for every plan.

    python -m tests.benchmarks.overhead [--steps 50] [--k-diffusion CHECKOUT] [--report FILE.json]

The denoiser returns one fixed tensor, so nothing of a network is in the figures. "step" is the loop alone, "plan" the making of
the table, which happens once a run; both are the least of several runs, in microseconds per step of the grid. Draws come from
`Seeded`, one generator per sample. diffusers is measured where it is installed, k-diffusion from a checkout (its own optional
packages are not needed).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from tests.core.solvers import DETERMINISTIC, STOCHASTIC, name_of
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.processes import VP
from polyscore.samplers import ReverseDiffusion, ScoreSDEAncestral, execute, times_of
from polyscore.state import Given

__all__ = ["least", "polyscore_rows"]

SHAPE = (64, 2)


def least(run: Callable[[], object], repeats: int) -> float:
    """Least thread CPU seconds of a call, after one to warm up."""
    run()
    best = float("inf")
    for _ in range(repeats):
        start = time.thread_time()
        run()
        best = min(best, time.thread_time() - start)
    return best


def polyscore_rows(steps: int, repeats: int) -> Iterator[tuple[str, dict[str, float]]]:
    """(solver, {"step", "plan", "nfe", "draws"}) for every solver; nfe and draws are per step too."""
    process, x = VP(), torch.zeros(SHAPE)
    fixed = Prediction(torch.zeros(SHAPE))
    times = times_of(process, steps)

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        return fixed

    for solver in [*(s for s, _ in DETERMINISTIC), *STOCHASTIC, ReverseDiffusion(), ScoreSDEAncestral()]:
        plan = solver.plan(process, times)
        with torch.inference_mode():
            step = least(lambda plan=plan: execute(plan, denoiser, process, x, noise=0), repeats)  # type: ignore[misc]
        made = least(lambda solver=solver: solver.plan(process, times), 3)  # type: ignore[misc]
        row = {"step": step * 1e6, "plan": made * 1e6, "nfe": plan.nfe, "draws": plan.draws}
        yield name_of(solver), {key: value / steps for key, value in row.items()}


def k_diffusion_rows(folder: Path, steps: int, repeats: int) -> Iterator[tuple[str, float]]:
    """Microseconds a step of its samplers in a checkout; its package's own imports are left out."""
    package = ModuleType("k_diffusion")
    package.__path__ = [str(folder / "k_diffusion")]
    stubs = {name: ModuleType(name) for name in ("torchdiffeq", "torchsde") if importlib.util.find_spec(name) is None}
    if "torchdiffeq" in stubs:
        stubs["torchdiffeq"].odeint = None  # type: ignore[attr-defined]
    sys.modules.update(stubs, k_diffusion=package)
    sampling = importlib.import_module("k_diffusion.sampling")
    for name in stubs:
        del sys.modules[name]
    fixed, x = torch.zeros(SHAPE), torch.zeros(SHAPE)
    sigmas = sampling.get_sigmas_karras(steps, 0.02, 80.0)

    def model(x: Tensor, sigma: Tensor) -> Tensor:
        return fixed

    for name in ("euler", "heun", "dpm_2", "lms", "euler_ancestral", "dpmpp_2s_ancestral", "dpmpp_2m"):
        sampler = getattr(sampling, f"sample_{name}")
        yield name, least(lambda sampler=sampler: sampler(model, x, sigmas, disable=True), repeats) / steps * 1e6  # type: ignore[misc]


def diffusers_rows(steps: int, repeats: int) -> Iterator[tuple[str, float]]:
    """Microseconds a step of its schedulers, `set_timesteps` left out."""
    diffusers = importlib.import_module("diffusers")
    fixed, x = torch.zeros(SHAPE), torch.zeros(SHAPE)
    for name in ("DDIMScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"):
        scheduler = getattr(diffusers, name)()
        best = float("inf")
        for _ in range(repeats + 1):
            scheduler.set_timesteps(steps)
            start, state = time.thread_time(), x
            for t in scheduler.timesteps:
                state = scheduler.step(fixed, t, state).prev_sample
            best = min(best, time.thread_time() - start)
        yield name, best / steps * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="cost of samplers without a network")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--k-diffusion", type=Path, help="a checkout of crowsonkb/k-diffusion to compare with")
    parser.add_argument("--report", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {"polyscore": {}, "k-diffusion": {}, "diffusers": {}}
    print(f"{'polyscore, us a step':62}{'step':>8}{'plan':>8}{'calls':>7}{'draws':>7}")
    for name, row in polyscore_rows(args.steps, args.repeats):
        found["polyscore"][name] = row
        print(f"{name:62}{row['step']:8.1f}{row['plan']:8.1f}{row['nfe']:7.2f}{row['draws']:7.2f}")
    others = {"k-diffusion": args.k_diffusion is not None, "diffusers": importlib.util.find_spec("diffusers") is not None}
    for library, there in others.items():
        if not there:
            print(f"{library}: not measured, it is not here")
            continue
        rows = k_diffusion_rows(args.k_diffusion, args.steps, args.repeats) if library == "k-diffusion" else None
        for name, value in rows or diffusers_rows(args.steps, args.repeats):
            found[library][name] = value
            print(f"{library + ' ' + name:62}{value:8.1f}")
    if args.report is not None:
        args.report.write_text(json.dumps({"steps": args.steps, "microseconds": found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
