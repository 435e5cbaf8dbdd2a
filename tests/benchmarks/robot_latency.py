"""Milliseconds of one action, batch 1, one thread: `Policy.act`, also `frozen`, beside `BesoAgent.predict` of the original.

    python -m tests.benchmarks.robot_latency --beso CHECKOUT [--calls 300] [--report FILE.json]

CHECKOUT is a working tree of intuitive-robots/beso (the folders beso/agents and beso/networks suffice; einops has to be
installed, for its other imports there are stand-ins). Both have the published sizes and the same weights, a full window, DDIM
with three steps. The original swaps its averaged weights in and out at every call, and guides by two calls of its network after
each other.

They take turns, call by call, so that all meet the same machine. "cpu" is thread CPU time, "wall" the clock; where another
process runs beside, only the first says something. Before the times, the denoised actions of all networks are compared.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from polyscore.denoisers import Precondition
from polyscore.processes import EDM
from polyscore.robots import First, Normaliser, Policy, Sampling, Scaling, ScoreGPT
from polyscore.state import Given

__all__ = ["original", "ours"]

SIZES = {
    "kitchen": {"state": 30, "action": 9, "window": 4, "goals": 2, "width": 360, "layers": 6, "heads": 6, "low": 0.005},
    "block push": {"state": 10, "action": 2, "window": 5, "goals": 1, "width": 240, "layers": 4, "heads": 12, "low": 0.1},
}
_ABSENT = ("hydra", "wandb", "omegaconf", "torchsde", "torchdiffeq")


def ours(size: dict[str, Any], guidance: float) -> Policy:
    """A policy of that size with random weights."""
    words = ("state", "action", "window", "goals", "width", "layers", "heads")
    network = ScoreGPT(**{word: size[word] for word in words})
    denoiser = Precondition(network, EDM(1.0, size["low"]), predicts="edm", time="edm", sigma_data=0.5)
    settings = Sampling(sigma_min=size["low"], guidance=guidance, history="redenoise")
    keep = (0, 1, 3, 4) if size["state"] == 10 else ()
    normaliser = Normaliser(Scaling(size["state"]), Scaling(size["action"]))
    return Policy(denoiser, normaliser, First(size["state"], keep), sampling=settings).eval()


def original(folder: Path, policy: Policy, size: dict[str, Any], guidance: float) -> Any:
    """The original's agent with the policy's weights, made without Hydra."""
    _stand_ins(folder)
    at = "beso.agents.diffusion_agents"
    gpts, wrappers, cfg, agents, ema = (
        importlib.import_module(name)
        for name in (
            f"{at}.k_diffusion.score_gpts",
            f"{at}.k_diffusion.score_wrappers",
            f"{at}.k_diffusion.classifier_free_sampler",
            f"{at}.beso_agent",
            "beso.networks.ema_helper.ema",
        )
    )
    network = gpts.DiffusionGPT(
        state_dim=size["state"], action_dim=size["action"], device="cpu", goal_conditioned=True, embed_dim=size["width"],
        embed_pdrob=0.0, attn_pdrop=0.0, resid_pdrop=0.0, n_layers=size["layers"], n_heads=size["heads"],
        goal_seq_len=size["goals"], obs_seq_len=size["window"], sigma_vocab_size=1, time_embedding_fn=None, linear_output=True,
    )  # fmt: skip
    own: Any = policy.denoiser.network
    absent = network.load_state_dict(own.state_dict(), strict=False)
    assert not absent.unexpected_keys and all(name.endswith("mask") for name in absent.missing_keys)
    model = wrappers.GCDenoiser(network, sigma_data=0.5)
    agent = agents.BesoAgent.__new__(agents.BesoAgent)
    averaged = ema.ExponentialMovingAverage(model.get_params(), 0.999, "cpu")
    agent.model = cfg.ClassifierFreeSampleModel(model, cond_lambda=guidance) if guidance != 1 else model
    unscaled = SimpleNamespace(
        scale_input=lambda x: x.to(torch.float32), clip_action=lambda x: x, inverse_scale_output=lambda x: x,
        y_bounds=np.zeros((2, size["action"])),
    )  # fmt: skip
    agent.__dict__ |= {
        "device": "cpu", "use_ema": True, "ema_helper": averaged, "scaler": unscaled, "target_modality": "action",
        "input_encoder": lambda batch: (batch["observation"], batch["goal_observation"]), "noise_scheduler": "linear",
        "sampler_type": "ddim", "num_sampling_steps": 3, "sigma_min": size["low"], "sigma_max": 1.0, "rho": 5.0,
        "window_size": size["window"], "pred_last_action_only": False,
        "obs_context": deque(maxlen=size["window"]), "action_context": deque(maxlen=size["window"] - 1),
    }  # fmt: skip
    return agent


def _stand_ins(folder: Path) -> None:
    """Let the original's modules be imported: its folder, and empty modules for what acting does not need."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    for name in _ABSENT:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            sys.modules[name] = ModuleType(name)
    for name, attribute in (("omegaconf", "DictConfig"), ("torchdiffeq", "odeint")):
        if not hasattr(importlib.import_module(name), attribute):
            setattr(sys.modules[name], attribute, object)
    hydra: Any = importlib.import_module("hydra")
    hydra.utils = SimpleNamespace(instantiate=lambda made, **_: made)


def measure(calls: dict[str, Callable[[], object]], count: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of CPU and of the clock of each, call by call in turn."""
    out: dict[str, dict[str, list[float]]] = {name: {"cpu": [], "wall": []} for name in calls}
    for i in range(count + 20):
        for name, call in calls.items():
            cpu, wall = time.thread_time(), time.perf_counter()
            call()
            spent = {"cpu": time.thread_time() - cpu, "wall": time.perf_counter() - wall}
            if i >= 20:
                for clock, seconds in spent.items():
                    out[name][clock].append(1000 * seconds)
    return out


def _difference(agent: Any, policy: Policy, size: dict[str, Any]) -> float:
    generator = torch.Generator().manual_seed(1)

    def draw(steps: int, width: int) -> torch.Tensor:
        return torch.randn(1, steps, width, generator=generator)

    state, goal = draw(size["window"], size["state"]), draw(size["goals"], size["state"])
    action, level = draw(size["window"], size["action"]), torch.tensor([0.3])
    with torch.inference_mode():
        model: nn.Module = agent.model
        theirs = model(state, action, goal, level)
        denoiser: Any = policy.denoiser
        if policy.sampling.guidance != 1:
            from polyscore.guidance import CFG
            from polyscore.robots.policy import _no_goal

            denoiser = CFG(denoiser, _no_goal, policy.sampling.guidance)
        at = float(policy.denoiser.process.time_at_sigma(level))
        found = denoiser(action, at, Given(cond={"state": state, "goal": goal})).x0
    return float((theirs - found).abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description="latency of an action beside the original's")
    parser.add_argument("--beso", type=Path, help="a checkout of intuitive-robots/beso to compare with")
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--report", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    figures = {}
    print(f"{'ms an action':24}{'':10}{'cpu p50':>9}{'p95':>8}{'p99':>8}{'wall p50':>10}{'p95':>8}{'min':>8}")
    for name, size in SIZES.items():
        for guidance in (1.0, 2.0):
            policy = ours(size, guidance)
            frozen = policy.frozen()
            states, goals = int(size["state"]), int(size["goals"])
            seen, goal = np.ones((states,), np.float32), np.ones((goals, states), np.float32)
            calls: dict[str, Callable[[], object]] = {
                "polyscore": lambda p=policy, o=seen, g=goal: p.act(o, g, seed=0),  # type: ignore[misc]
                "frozen": lambda p=frozen, o=seen, g=goal: p.act(o, g, seed=0),  # type: ignore[misc]
            }
            if args.beso is not None:
                agent = original(args.beso, policy, size, guidance)
                off = max(_difference(agent, own, size) for own in (policy, frozen))
                print(f"{name}, guidance {guidance:g}: the denoised actions differ by {off:.1e} at most")
                # goals of one step come as (1, S) and are given their time axis by the original
                batch = {"observation": torch.from_numpy(seen)[None], "goal_observation": torch.from_numpy(goal)}
                if size["goals"] > 1:
                    batch["goal_observation"] = batch["goal_observation"][None]
                calls["original"] = lambda a=agent, b=batch: a.predict(b, extra_args={})  # type: ignore[misc]
            times = measure(calls, args.calls)
            for who, clocks in times.items():
                cpu, wall = np.array(clocks["cpu"]), np.array(clocks["wall"])
                row = [*np.quantile(cpu, [0.5, 0.95, 0.99]), *np.quantile(wall, [0.5, 0.95]), wall.min()]
                shown = "".join(f"{value:{10 if i == 3 else 9 if i == 0 else 8}.2f}" for i, value in enumerate(row))
                print(f"{name + f', guidance {guidance:g}':24}{who:10}{shown}")
                figures[f"{name}, guidance {guidance:g}, {who}"] = dict(
                    zip(("cpu_p50", "cpu_p95", "cpu_p99", "wall_p50", "wall_p95", "wall_min"), map(float, row), strict=True)
                )
            if "original" in times:
                middle = {who: float(np.median(clocks["cpu"])) for who, clocks in times.items()}
                ratios = (f"{middle['original'] / middle[who]:.2f} times ({who})" for who in ("polyscore", "frozen"))
                print(f"{'':24}faster    {', '.join(ratios)}")
    if args.report is not None:
        args.report.write_text(json.dumps({"calls": args.calls, "milliseconds": figures}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
