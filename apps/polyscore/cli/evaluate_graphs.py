"""``polyscore evaluate graphs drawn/ --reference test/``: the numbers of a set of graphs without labels, with 95 % intervals.

The MMDs are the biased ones of the papers, between the graphs and the reference (the test graphs); the unbiased one stands beside
each. ``--kind`` adds the share of graphs that are valid, unique and not among ``--train``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say, table
from polyscore.cli.report import Report, mean, share

if TYPE_CHECKING:
    from polyscore.graphs.data.generic import Adjacency

__all__ = ["HELP", "add_arguments", "add_sets", "read_sets", "run", "scores", "shown"]

HELP = "score graphs: MMD of degrees, clustering, orbits and spectra; valid, unique and novel"

_FORM = "a file (.graphml, .g6, .json, or an edge list .txt, .edges, .csv) or a folder of them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The graphs, what they are compared with, and where the scores go."""
    parser.add_argument("graphs", type=Path, metavar="PATH", help=f"the graphs: {_FORM}")
    add_sets(parser, required=True)
    flags.add(parser, "seed", "threads", "report", "quiet", seed={"help": "seed of the bootstrap (default: 0)"})


def add_sets(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """What graphs are compared with."""
    parser.add_argument(
        "--reference", type=Path, required=required, metavar="PATH", help="graphs they should be like: a test set"
    )
    parser.add_argument("--train", type=Path, metavar="PATH", help="graphs that novel ones are not isomorphic to")
    parser.add_argument("--kind", choices=("planar", "tree", "sbm"), help="what a valid graph is")
    parser.add_argument("--resamples", type=flags.whole(1), default=500, metavar="N", help="of the bootstrap (default: 500)")


def read_sets(args: argparse.Namespace) -> tuple[list[Adjacency], list[Adjacency]]:
    """Reference and training graphs, empty where none are given; a file that is no graph is left out with a warning."""
    from polyscore.graphs.data.files import read_graphs

    reference, train = (read_graphs(path, strict=False) if path else [] for path in (args.reference, args.train))
    return reference, train


def run(args: argparse.Namespace) -> int:
    """Score the graphs."""
    flags.threads(args.threads)
    from polyscore.graphs.data.files import read_graphs

    with Report("evaluate", args) as report:
        report.device = "cpu"
        graphs = read_graphs(args.graphs, strict=False)
        reference, train = read_sets(args)
        report.metrics = scores(graphs, reference, train, kind=args.kind, resamples=args.resamples, seed=args.seed)
        report.add(str(args.graphs), graphs=len(graphs))
        say(shown(report.metrics), quiet=args.quiet)
    return report.exit_code


def scores(
    graphs: Sequence[Adjacency],
    reference: Sequence[Adjacency],
    train: Sequence[Adjacency],
    *,
    kind: str | None,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Every score that can be computed with these sets; the reference and the training graphs may be empty."""
    from polyscore.graphs.metrics import GRAMS, interval, weights
    from polyscore.graphs.metrics.uniqueness import judge

    n = len(graphs)
    found: dict[str, Any] = {
        "graphs": n,
        "nodes": mean([float(len(adj)) for adj in graphs], seed=seed),
        "edges": mean([float(adj.sum()) / 2 for adj in graphs], seed=seed),
    }
    if reference:
        w = weights(n, resamples=resamples, seed=seed)
        for name, gram_of in GRAMS.items():
            gram = gram_of(graphs, reference)
            ci95 = interval(gram.resampled(w)) if n > 1 else None
            found[name] = {"value": gram.biased, "unbiased": gram.unbiased, "n": n, "ci95": ci95}
    judged = judge(graphs, train, kind)
    found["unique"] = share(sum(judged.unique), n)
    if train:
        found["novel"] = share(sum(judged.novel), n)
    if kind:
        found["valid"] = share(sum(judged.valid), n)
    if kind and train:
        found["vun"] = share(sum(judged.all), n)
    return found


def shown(metrics: Mapping[str, Any]) -> str:
    """The scores as a table."""

    def digits(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    rows = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            low, high = value["ci95"] or (None, None)
            middle = next(value[key] for key in ("share", "mean", "value") if key in value)
            unbiased = digits(value["unbiased"]) if "unbiased" in value else ""
            rows.append((name, digits(middle), f"{digits(low)} .. {digits(high)}", unbiased, str(value["n"])))
    return table(("SCORE", "VALUE", "95 % INTERVAL", "UNBIASED", "N"), rows)
