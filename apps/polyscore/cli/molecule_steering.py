"""Steering of ``polyscore molecules``: by a regressor's gradient, by selection; and best-of-N at as many network calls.

A steered molecule asks the score networks as often as a plain one, and the regressor once there and back, so it is compared with
the best of two plain ones; of islands of n, with the best of n (2 n where both steer). The plain molecules are drawn from seeds
of their own, with the same sampler, sizes, scaffold and conditions.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.report import mean, share
from polyscore.errors import InputError

if TYPE_CHECKING:
    from polyscore.cli.molecules import Candidate, Work
    from polyscore.graphs import GraphGenerator, Method
    from polyscore.graphs.chem.aims import Aim
    from polyscore.graphs.steering import Steering

__all__ = ["Guide", "add_arguments", "compare", "guide_of", "settings_of"]

_KEPT = ("steer", "steer_weight", "steer_away", "resample", "resample_scale", "island")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The regressor, the selection, and the comparison."""
    parser.add_argument("--steer", type=Path, metavar="PATH", help="a property regressor (MOOD's, or a saved one) to raise")
    parser.add_argument(
        "--steer-weight", type=flags.finite, default=0.5, metavar="W", help="its strength, as a share of the score (default: 0.5)"
    )
    parser.add_argument(
        "--steer-away",
        type=flags.finite,
        default=0.0,
        metavar="A",
        help="from 0 to below 1: weaken the pull of the training molecules, for novelty; MOOD takes 0.04 (default: 0)",
    )
    parser.add_argument(
        "--resample",
        metavar="AIM",
        help="keep the best of an island whose promising graphs are copied while they are drawn; the aim is qed, logp, mw, tpsa "
        "or sa, low- before it (low-sa), or a regressor's path",
    )
    parser.add_argument(
        "--resample-scale", type=flags.finite, default=10.0, metavar="C", help="strength of the selection (default: 10)"
    )
    parser.add_argument("--island", type=flags.whole(2), default=8, metavar="N", help="graphs that compete (default: 8)")
    parser.add_argument(
        "--compare",
        type=flags.whole(0),
        default=64,
        metavar="N",
        help="steered molecules that are compared with the best of plain ones at equal network calls; 0: none (default: 64)",
    )


@dataclass(frozen=True, eq=False)
class Guide:
    """What molecules are steered to, and how.

    Attributes:
        aim: what is reported and, of an island, kept.
        steering: by a gradient.
        scale: strength of the selection.
        island: graphs that compete; 1 without selection.
    """

    aim: Aim
    steering: Steering | None
    scale: float
    island: int

    @property
    def equal(self) -> int:
        """Plain molecules that cost as many network calls."""
        return self.island * (1 if self.steering is None else 2)

    def method(self, method: Method) -> Method:
        """The sampler, with selection where there is some."""
        from polyscore.graphs.resampling import resampled

        return method if self.island == 1 else resampled(method, self.aim.reward, self.scale, island=self.island)


def guide_of(args: argparse.Namespace, model: GraphGenerator) -> Guide | None:
    """From the flags; None without steering.

    Raises:
        InputError: numbers out of range, an unknown aim, or a regressor for other molecules.
    """
    from polyscore.graphs.chem.aims import RegressorAim, parse_aim
    from polyscore.graphs.steering import Steering

    if args.steer is None and args.resample is None:
        return None
    if args.steer_weight < 0 or not 0 <= args.steer_away < 1 or args.resample_scale < 0:
        raise InputError(
            f"--steer-weight {args.steer_weight:g}, --steer-away {args.steer_away:g}, --resample-scale {args.resample_scale:g}; "
            "expected 0 or more, --steer-away below 1"
        )
    steering = None
    if args.steer is not None:
        steering = Steering.load(args.steer, model, weight=args.steer_weight, away=args.steer_away)
    if args.resample is not None:
        return Guide(parse_aim(args.resample, model), steering, args.resample_scale, args.island)
    assert steering is not None
    return Guide(RegressorAim(steering), steering, 0.0, 1)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the candidates depend on."""
    return {name: str(value) if isinstance(value := getattr(args, name), Path) else value for name in _KEPT}


def compare(args: argparse.Namespace, work: Work) -> dict[str, Any]:
    """Numbers of the steered molecules, of the best of N plain ones, and of the first of these N."""
    from polyscore.cli.molecules import group

    guide = work.guide
    steered = work.leading[: args.compare]
    if guide is None or not steered:
        return {}
    draws = work.plain(len(steered) * guide.equal)
    best, first = [], []
    for candidates in group(work.candidates_of(draws), guide.equal):
        meeting = [one for one in candidates if one.outcome.fragment is not None and work.meets(one)]
        if meeting:
            best.append(max(meeting, key=work.worth))
            first.append(meeting[0])
    found = {"best_of_n": guide.equal, "network_calls": draws.method.nfe * guide.equal}
    for name, candidates in (("compared", steered), ("best_of_n", best), ("plain", first)):
        found |= {f"{name}_{key}": value for key, value in _numbers(candidates, work, args.seed).items()}
    return found


def _numbers(candidates: Sequence[Candidate], work: Work, seed: int) -> dict[str, Any]:
    import numpy as np

    from polyscore.graphs.chem.comparison import Similarities
    from polyscore.graphs.chem.properties import measure

    mols = [one.outcome.fragment for one in candidates]
    if not mols:
        return {}
    return {
        "aim": mean([work.worth(one) for one in candidates], seed=seed),
        "qed": mean([measure(mol, "qed") for mol in mols], seed=seed),
        "validity_without_correction": share(sum(one.outcome.valid for one in candidates), len(candidates)),
        "uniqueness": share(len({one.outcome.smiles for one in candidates}), len(candidates)),
        "internal_diversity": float(Similarities.of(mols).diversity(np.ones((1, len(mols))))[0]),
    }
