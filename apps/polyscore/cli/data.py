"""``polyscore data record|inspect|convert PATH``: demonstrations of an environment's expert, and what a data set holds.

``record`` writes a ``.npz`` that ``polyscore fit`` reads; ``inspect`` shows any set that polyscore reads: lengths, ranges, means
and deviations (which are the scaling a policy would get), features that never change, histograms of the actions, and how well an
action can be told from the one before it. ``convert`` writes any of them as a LeRobot data set (a folder), or as a ``.npz``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from polyscore.cli import flags
from polyscore.cli.console import say, table, track
from polyscore.cli.report import Report
from polyscore.errors import InputError
from polyscore.robots.environments import NAMES

__all__ = ["HELP", "add_arguments", "run"]

HELP = "record demonstrations of a robot environment's expert; show or convert a data set"

_BARS = " ▁▂▃▄▅▆▇█"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, with which file, and how to record."""
    parser.add_argument(
        "action",
        choices=("record", "inspect", "convert"),
        help="record: make demonstrations; inspect: show what is there; convert: write a LeRobot data set",
    )
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        metavar="PATH",
        help="inspect, convert: a recording, or a set of play-to-policy, LeRobot, diffusion policy, robomimic or Minari",
    )
    flags.add(
        parser,
        "out",
        "seed",
        "report",
        "quiet",
        out={"metavar": "FILE.npz|DIR", "help": "where the demonstrations go; convert: a folder for LeRobot, or a .npz"},
        seed={"help": "record: seed of the first episode, the next has the next (default: 0)"},
    )
    parser.add_argument("--env", choices=NAMES, default="push", help="record: the environment (default: push)")
    parser.add_argument("--task", metavar="NAME", default="", help="record: of metaworld; convert: what is shown, in words")
    parser.add_argument("--episodes", type=flags.whole(1), default=1000, metavar="N", help="record: how many (default: 1000)")
    parser.add_argument(
        "--noise",
        type=flags.finite,
        default=0.004,
        metavar="SIZE",
        help="record: deviation of the noise on executed actions, in their units; the clean ones are recorded (default: 0.004)",
    )
    parser.add_argument(
        "--tolerance",
        type=flags.finite,
        metavar="METRES",
        help="record: how near the expert of push comes to its way points (default: twice the noise, at least 0.002)",
    )
    parser.add_argument(
        "--keys", nargs="+", metavar="NAME", help="inspect, convert: what makes an observation (default: all that are vectors)"
    )
    parser.add_argument("--fps", type=flags.finite, metavar="N", help="convert: frames a second (default: the data's, or 10)")


def run(args: argparse.Namespace) -> int:
    """Record, inspect, or convert."""
    with Report("data", args) as report:
        match args.action:
            case "record":
                _record(args, report)
            case "inspect":
                _inspect(args, report)
            case _:
                _convert(args, report)
    return report.exit_code


def _record(args: argparse.Namespace, report: Report) -> None:
    if args.out is None or args.out.suffix != ".npz":
        raise InputError(f"data record: --out {args.out}; expected the name of a .npz file")
    if args.noise < 0 or (args.tolerance is not None and args.tolerance <= 0):
        raise InputError(f"data record: --noise {args.noise}, --tolerance {args.tolerance}; expected 0 or more, and more than 0")
    from polyscore.hub.files import check_writable
    from polyscore.robots.data import inspection, recordings
    from polyscore.robots.demonstrations import Demonstrations

    check_writable(args.out)
    with report.item(None, args.out) as item:
        expert, made = _demonstrations(args)
        episodes, notes = [], []
        for episode, about in track(made, "recording", total=args.episodes, quiet=args.quiet):
            episodes.append(episode)
            notes.append(about)
        about = {"environment": args.env, "expert": expert, "noise": args.noise, "seed": args.seed}
        data = Demonstrations.of(episodes, {**about, "last_seed": notes[-1]["seed"]})
        recordings.write(args.out, data)
        orders = sorted({tuple(note["order"]) for note in notes})
        item["orders"] = {"-".join(map(str, o)): sum(tuple(note["order"]) == o for note in notes) for o in orders}
        report.metrics = inspection.inspect(data)
        say(f"{args.out}: {len(data)} episodes, {len(data.observations)} frames", quiet=args.quiet)


def _demonstrations(args: argparse.Namespace) -> tuple[str, Iterator[tuple[Any, dict[str, Any]]]]:
    """The name of the expert, and its episodes."""
    from polyscore.robots.recording import record, record_metaworld

    match args.env:
        case "push":
            return "PushOracle", record(args.episodes, seed=args.seed, noise=args.noise, tolerance=args.tolerance)
        case "metaworld":
            task = args.task or "reach-v3"
            return f"script of {task}", record_metaworld(task, args.episodes, seed=args.seed, noise=args.noise)
        case _:
            raise InputError(
                f"data record: --env {args.env} has no scripted expert (push and metaworld have); `polyscore rollout "
                "--save-dataset` keeps what a policy does, `polyscore data convert` reads the demonstrations of others"
            )


def _inspect(args: argparse.Namespace, report: Report) -> None:
    if args.path is None:
        raise InputError("data inspect: which data? Give a recording (.npz) or a folder of a known format")
    from polyscore.robots.data.inspection import inspect
    from polyscore.robots.data.readers import read

    with report.item(args.path):
        report.metrics = inspect(read(args.path, args.keys))
        say(_shown(report.metrics), quiet=args.quiet)


def _convert(args: argparse.Namespace, report: Report) -> None:
    if args.path is None or args.out is None:
        raise InputError(f"data convert: from {args.path} to {args.out}; give a data set, and --out DIR (LeRobot) or FILE.npz")
    from polyscore.robots.data import lerobot_writer, recordings
    from polyscore.robots.data.inspection import inspect
    from polyscore.robots.data.readers import read

    with report.item(args.path, args.out):
        data = read(args.path, args.keys)
        if args.out.suffix == ".npz":
            recordings.write(args.out, data)
        else:
            known = data.about
            fps = args.fps if args.fps is not None else known.get("fps") or 10.0
            lerobot_writer.write(args.out, data, fps=fps, task=args.task, robot=str(known.get("robot", "")))
        report.metrics = inspect(data)
        say(f"{args.out}: {len(data)} episodes, {len(data.observations)} frames", quiet=args.quiet)


def _shown(found: dict[str, Any]) -> str:
    length, copy = found["length"], found["copycat_r2"]
    lines = [
        f"{found['episodes']} episodes, {found['frames']} frames; length {length['min']} to {length['max']}, "
        f"mean {length['mean']:.1f}",
        f"fingerprint {found['fingerprint']}" + (f", {found['about']}" if found["about"] else ""),
    ]
    histograms = [_bars(h["counts"]) for h in found["action_histograms"]]
    for name in ("observations", "actions"):
        part = found[name]
        numbers = zip(*(part[key] for key in ("min", "max", "mean", "std")), strict=True)
        rows = [
            (
                f"{name[:-1]} {i}",
                *(f"{value:.4g}" for value in row),
                "never changes" if i in part["dead"] else histograms[i] if name == "actions" else "",
            )
            for i, row in enumerate(numbers)
        ]
        lines += ["", table(("feature", "min", "max", "mean", "std", ""), rows)]
    if copy is not None:
        lines += [
            "",
            f"an action is told from the one before it with R2 = {copy:.3f}" + (": mostly by copying" if copy > 0.9 else ""),
        ]
    return "\n".join(lines)


def _bars(counts: Sequence[int]) -> str:
    top = max(counts)
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // top)] for count in counts)
