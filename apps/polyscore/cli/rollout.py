"""``polyscore rollout --model NAME|DIR --env push --episodes 200 -o DIR``: let a policy act, and measure what comes of it.

``DIR`` gets ``episodes.csv`` (one line an episode), ``grid.mp4`` or ``.gif`` (the first episodes side by side), the ``best`` and
the ``worst`` episode as films, ``index.html`` with all of that, ``report.json`` and, with ``--save-dataset``,
``rollouts.npz``, which ``polyscore fit`` reads. Episode i depends on seed + i and the policy alone.

With ``--sweep`` the episodes are run once for every combination of settings (see `polyscore.cli.rollout_sweep`).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags, rollout_sweep
from polyscore.cli.console import say, table, track
from polyscore.cli.intervals import mean, share
from polyscore.cli.report import Report
from polyscore.cli.rollout_policy import late, load, task_of
from polyscore.robots.environments import NAMES

if TYPE_CHECKING:
    from polyscore.robots import Policy
    from polyscore.robots.rollout import Outcome
    from polyscore.robots.tasks import Task

__all__ = ["HELP", "add_arguments", "run"]

HELP = "let a robot policy act in an environment: success with intervals, latency, films; or sweep over its settings"

_FILMED = 16
_DRAWS = 6  # of the next action, shown in films


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which policy, how often, how its actions are drawn, and where to."""
    flags.add(
        parser,
        *flags.RUN,
        model={"required": True, "help": "a shipped policy (see `polyscore models`), a saved one, or a run folder of BESO"},
        out={"required": True, "metavar": "DIR", "help": "folder for the table, the films and the report"},
        seed={"help": "seed of the first episode, the next has the next (default: 0)"},
        steps={"help": "network calls of a first-order sampler (default: the policy's own)"},
        sampler={"help": "ddim, heun, euler_ancestral, ... under BESO's names (default: the policy's own)"},
        batch_size={"default": 32, "help": "episodes side by side (default: 32)"},
        report={"help": "where the report goes (default: report.json in the folder)"},
    )
    parser.add_argument("--env", choices=NAMES, default="push", help="the environment (default: push)")
    parser.add_argument("--task", metavar="NAME", help="metaworld: which task (default: reach-v3)")
    parser.add_argument("--episodes", type=flags.whole(1), default=100, metavar="N", help="how many (default: 100)")
    parser.add_argument(
        *("--guidance", "--cfg"),
        dest="cfg",
        type=flags.finite,
        metavar="SCALE",
        help="classifier-free guidance; 1 is none (default: the policy's own)",
    )
    parser.add_argument(
        "--schedule", metavar="NAME", help="levels of noise: linear, exponential, karras, ... (default: the policy's own)"
    )
    parser.add_argument(
        "--history",
        choices=("redenoise", "keep", "renoise"),
        help="how past actions enter the network (default: the policy's own)",
    )
    parser.add_argument(
        "--simulate-latency",
        type=flags.whole(0),
        default=0,
        metavar="MS",
        help="actions come so many milliseconds late (default: 0)",
    )
    parser.add_argument("--save-dataset", action="store_true", help="keep the episodes as demonstrations, rollouts.npz")
    parser.add_argument("--no-films", action="store_true", help="leave out the films, and their page")
    parser.add_argument(
        "--demonstrations", type=Path, metavar="PATH", help="of a BESO run that scales its data: what it was trained on"
    )
    parser.add_argument(
        "--sweep",
        nargs="*",
        metavar="AXIS=V,V,...",
        help=f"every combination of values of {', '.join(rollout_sweep.AXES)}, as in `--sweep steps=1,3,5 cfg=0,1,2` "
        "(default: three samplers, four numbers of steps, two scales of guidance); the same command again goes on",
    )
    parser.add_argument(
        "--jobs", type=flags.whole(1), metavar="N", help="processes of a sweep, with one thread each (default: one a core)"
    )


def run(args: argparse.Namespace) -> int:
    """Act, then write the files."""
    flags.threads(args.threads)
    args.report = args.report or args.out / "report.json"
    args.out.mkdir(parents=True, exist_ok=True)
    with Report("rollout", args) as report:
        device = flags.device(args.device)
        report.device = str(device)
        task = task_of(args.env, args.task)
        policy = _policy(args, str(device), task)
        if args.sweep is not None:
            rollout_sweep.run(args, policy, report)  # with the policy as it is saved, which names the cells
            return report.exit_code
        from polyscore.robots.rollout import latencies, rollout

        policy = policy.frozen()
        counter = _Calls(policy)
        delay = late(args.simulate_latency, task.period)
        made = rollout(policy, args.episodes, within=task, seed=args.seed, side_by_side=args.batch_size, delay=delay)
        outcomes = list(track(made, "acting", total=args.episodes, quiet=args.quiet))
        for outcome in outcomes:
            report.add(
                f"seed {outcome.seed}",
                asked="-".join(map(str, outcome.expected)),
                completed="-".join(map(str, outcome.completed)),
                reward=outcome.reward,
                result=outcome.result,
                steps=outcome.steps,
            )
        counter.reset()
        times = latencies(policy, outcomes[0])
        report.nfe = counter.calls / (len(times) + 5)
        report.metrics = _metrics(task, outcomes, times)
        _write(args, outcomes)
        if not args.no_films:
            _films(args, task, policy, outcomes, times, report)
        say(_shown(report.metrics), quiet=args.quiet)
    return report.exit_code


def _policy(args: argparse.Namespace, device: str, task: Task) -> Policy:
    policy = load(args.model, args.demonstrations, device, within=task)
    given = {
        "steps": args.steps,
        "sampler": args.sampler,
        "guidance": args.cfg,
        "schedule": args.schedule,
        "history": args.history,
    }
    return policy.with_sampling(**{name: value for name, value in given.items() if value is not None})


class _Calls:
    """Counts the calls of the policy's network."""

    def __init__(self, policy: Policy) -> None:
        self.calls = 0
        network: Any = policy.denoiser.network
        network.register_forward_hook(self._count)

    def reset(self) -> None:
        self.calls = 0

    def _count(self, module: Any, inputs: Any, output: Any) -> None:
        self.calls += 1


def _metrics(task: Task, outcomes: list[Outcome], times: list[float]) -> dict[str, Any]:
    import numpy as np

    from polyscore.robots.rollout import entropy_bits

    taken = task.orders or sorted({o.completed for o in outcomes if o.result == 1})
    bits, orders = entropy_bits(outcomes, taken)
    names = range(4) if task.orders else sorted({name for o in outcomes for name in (*o.expected, *o.completed)})
    p50, p95, p99 = np.quantile(times, [0.5, 0.95, 0.99]).tolist()
    count = len(outcomes)
    return {
        "reward": mean([o.reward for o in outcomes]),
        "result": mean([o.result for o in outcomes]),
        "full_success": share(sum(o.result == 1 for o in outcomes), count),
        "any_task": share(sum(bool(o.completed) for o in outcomes), count),
        "tasks": {str(name): sum(name in o.completed for o in outcomes) for name in names},
        "orders": orders,
        "order_entropy_bits": bits,
        "steps": mean([float(o.steps) for o in outcomes]),
        "latency_ms": {"p50": p50, "p95": p95, "p99": p99},
        "rate_hz": 1000 / p95,
        "deadline_misses": share(sum(t > task.period for t in times), len(times)),
    }


def _write(args: argparse.Namespace, outcomes: list[Outcome]) -> None:
    from polyscore.hub.files import atomic_path

    with atomic_path(args.out / "episodes.csv") as name, name.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("seed", "asked", "completed", "reward", "result", "steps"))
        for o in outcomes:
            rows.writerow(
                (o.seed, "-".join(map(str, o.expected)), "-".join(map(str, o.completed)), f"{o.reward:.2f}", o.result, o.steps)
            )
    if args.save_dataset:
        _save(args.out / "rollouts.npz", outcomes, args.env, str(args.model))


def _films(
    args: argparse.Namespace, task: Task, policy: Policy, outcomes: list[Outcome], times: list[float], report: Report
) -> None:
    """The page, with films of what something draws."""
    from polyscore.cli.rollout_page import write_page
    from polyscore.films import write_film
    from polyscore.robots.film import mosaic
    from polyscore.robots.futures import fans

    ranked = sorted(outcomes, key=lambda o: (-o.result, -o.reward, o.steps))
    films = []
    wanted = {"grid": outcomes[:_FILMED], "best": ranked[:1], "worst": ranked[-1:]} if task.paint else {}
    filmed = list({o.seed: o for shown in wanted.values() for o in shown}.values())  # each is asked for its draws once
    drawn = {o.seed: fan for o, fan in zip(filmed, fans(policy, filmed, count=_DRAWS) if filmed else (), strict=True)}
    for title, shown in wanted.items():
        frames = mosaic(task, shown, [drawn[o.seed] for o in shown], size=160 if len(shown) > 1 else 320)
        films.append(write_film(args.out / title, list(frames)))
    write_page(args.out / "index.html", report.as_dict(), films=films, latencies=times)


def _save(path: Path, outcomes: list[Outcome], env: str, model: str) -> None:
    import torch

    from polyscore.robots import Demonstrations, Episode
    from polyscore.robots.data.recordings import write

    episodes = [Episode(torch.as_tensor(o.observations[:-1]), torch.as_tensor(o.actions)) for o in outcomes]
    write(path, Demonstrations.of(episodes, {"environment": env, "policy": model}))


def _shown(metrics: dict[str, Any]) -> str:
    def average(name: str) -> tuple[str, ...]:
        value = metrics[name]
        span = value["ci95"]
        return (
            name.replace("_", " "),
            f"{value.get('mean', value.get('share')):.3f}",
            f"{span[0]:.3f} to {span[1]:.3f}" if span else "",
        )

    latency = metrics["latency_ms"]
    rows = [average(name) for name in ("reward", "result", "full_success", "any_task", "steps")]
    rows.append(("order entropy (bits)", f"{metrics['order_entropy_bits']:.2f}", str(metrics["orders"])))
    rows.append(
        (
            "latency (ms)",
            f"{latency['p50']:.1f}",
            f"p95 {latency['p95']:.1f}, p99 {latency['p99']:.1f}; {metrics['rate_hz']:.0f} Hz",
        )
    )
    return table(("measure", "value", "95 % interval"), rows)
