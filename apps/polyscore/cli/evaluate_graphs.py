"""``polyscore evaluate graphs drawn/ --reference test/``: the numbers of a set of graphs without labels, with 95 % intervals.

The MMDs are the biased ones of the papers, between the graphs and the reference (the test graphs); the unbiased one stands beside
each. ``--kind`` adds the share of graphs that are valid, unique and not among ``--train``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyscore.cli import flags
from polyscore.cli.console import say, table
from polyscore.cli.report import Report, mean, share

__all__ = ["HELP", "add_arguments", "run"]

HELP = "score graphs: MMD of degrees, clustering, orbits and spectra; valid, unique and novel"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The graphs, what they are compared with, and where the scores go."""
    form = "a file (.graphml, or an edge list .txt, .edges, .csv) or a folder of them"
    parser.add_argument("graphs", type=Path, metavar="PATH", help=f"the graphs: {form}")
    parser.add_argument("--reference", type=Path, required=True, metavar="PATH", help="graphs they should be like: a test set")
    parser.add_argument("--train", type=Path, metavar="PATH", help="graphs that novel ones are not isomorphic to")
    parser.add_argument("--kind", choices=("planar", "tree", "sbm"), help="what a valid graph is")
    parser.add_argument("--resamples", type=flags.whole(1), default=500, metavar="N", help="of the bootstrap (default: 500)")
    flags.add(parser, "seed", "threads", "report", "quiet", seed={"help": "seed of the bootstrap (default: 0)"})


def run(args: argparse.Namespace) -> int:
    """Score the graphs."""
    flags.threads(args.threads)
    from polyscore.graphs.data.generic import read_graphs
    from polyscore.graphs.metrics import GRAMS, interval, weights
    from polyscore.graphs.metrics.uniqueness import judge

    with Report("evaluate", args) as report:
        report.device = "cpu"
        graphs, reference = read_graphs(args.graphs), read_graphs(args.reference)
        train = read_graphs(args.train) if args.train else []
        n = len(graphs)
        report.metrics = {"graphs": n, "nodes": mean([float(len(adj)) for adj in graphs], seed=args.seed)}
        w = weights(n, resamples=args.resamples, seed=args.seed)
        for name, gram_of in GRAMS.items():
            gram = gram_of(graphs, reference)
            ci95 = interval(gram.resampled(w)) if n > 1 else None
            report.metrics[name] = {"value": gram.biased, "unbiased": gram.unbiased, "n": n, "ci95": ci95}
        found = judge(graphs, train, args.kind)
        report.metrics["unique"] = share(sum(found.unique), n)
        if args.train:
            report.metrics["novel"] = share(sum(found.novel), n)
        if args.kind:
            report.metrics["valid"] = share(sum(found.valid), n)
        if args.kind and args.train:
            report.metrics["vun"] = share(sum(found.all), n)
        report.add(str(args.graphs), graphs=n)
        say(_table(report.metrics), quiet=args.quiet)
    return report.exit_code


def _table(metrics: Mapping[str, Any]) -> str:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    rows = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            low, high = value["ci95"] or (None, None)
            middle = next(value[key] for key in ("share", "mean", "value") if key in value)
            unbiased = shown(value["unbiased"]) if "unbiased" in value else ""
            rows.append((name, shown(middle), f"{shown(low)} .. {shown(high)}", unbiased, str(value["n"])))
    return table(("SCORE", "VALUE", "95 % INTERVAL", "UNBIASED", "N"), rows)
