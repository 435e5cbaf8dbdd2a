"""``polyscore export lerobot --model NAME|DIR -o DIR``: a robot policy for another program.

LeRobot loads the folder with the plug-in ``lerobot_policy_polyscore``: ``--policy.path=DIR``.
"""

from __future__ import annotations

import argparse
from typing import Any

from polyscore.cli import flags
from polyscore.cli.console import say
from polyscore.cli.report import Report
from polyscore.errors import CheckpointError, InputError

__all__ = ["HELP", "add_arguments", "run"]

HELP = "write a robot policy as a folder that LeRobot loads"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For which program, which policy, and where to."""
    parser.add_argument("program", choices=("lerobot",), help="the program that is to load it")
    flags.add(
        parser,
        "model",
        "out",
        "report",
        "quiet",
        model={"required": True, "help": "a shipped policy (see `polyscore models`) or a saved one"},
        out={"required": True, "metavar": "DIR", "help": "the folder to write"},
    )
    parser.add_argument(
        "--observation",
        nargs="+",
        metavar="NAME=WIDTH",
        help="LeRobot's features that make an observation, in their order (default: observation.state alone)",
    )


def run(args: argparse.Namespace) -> int:
    """Load, write."""
    with Report("export", args) as report, report.item(args.model, args.out) as item:
        from polyscore.robots import Policy
        from polyscore.robots.lerobot_export import export

        policy = Policy.from_pretrained(args.model)
        if not isinstance(policy, Policy):
            raise CheckpointError(f"{args.model}: is no robot policy")
        observation = _observation(args.observation) if args.observation else {"observation.state": _width(policy)}
        export(args.out, policy, observation)
        item.update(observation=observation, action=policy.normaliser.action.width)
        say(f"-> {args.out}; in LeRobot, with lerobot_policy_polyscore: --policy.path={args.out}", quiet=args.quiet)
    return report.exit_code


def _observation(words: list[str]) -> dict[str, int]:
    found = {}
    for word in words:
        name, _, width = word.partition("=")
        if not width.isdigit():
            raise InputError(f"export: --observation {word}, expected such as observation.state=16")
        found[name] = int(width)
    return found


def _width(policy: Any) -> int:
    """Of the observations of the policy's environment where polyscore makes it, else of its features."""
    from polyscore.robots.environments import NAMES, make

    own = policy.environment
    return int(make(own).observation_space.shape[0]) if own in NAMES else int(policy.features.width)
