"""``polyscore graphs -n 100 -o OUT --model MODEL``: draw graphs without a chemistry, with files that graph programs open.

``OUT`` becomes a folder with ``graphs.g6`` (one graph a line, as graph6), ``graphs.npz`` (``adj`` (n, N, N) of 0 and 1,
``sizes``, ``seeds``), ``grid.png``, ``report.json`` and ``shards/``, the parts as they were finished; ``--graphml`` adds a folder
with a file for each.
Graph i draws from seed + i alone. Nodes without an edge are dropped, as the papers do. A run that was stopped keeps what is
finished and goes on with ``--resume``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import evaluate_graphs, flags, graph_draws
from polyscore.cli.console import say, track
from polyscore.cli.report import Report
from polyscore.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HELP", "add_arguments", "run"]

HELP = "draw graphs (GDSS checkpoints or own models), as graph6, arrays, GraphML and a picture"

_PICTURES = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many, by which model, what they are compared with, and where to."""
    graph_draws.add_arguments(parser, "graphs", "a saved model, or a GDSS .pth of a set of graphs (community_small, ego, ...)")
    evaluate_graphs.add_sets(parser, required=False)
    parser.add_argument("--graphml", action="store_true", help="also write each graph as a file in graphml/")
    parser.add_argument("--no-pictures", action="store_true", help="leave out grid.png")


def run(args: argparse.Namespace) -> int:
    """Draw what is missing, then write the files; after Ctrl-C with what is finished."""
    flags.threads(args.threads)
    from polyscore.graphs import GraphGenerator
    from polyscore.graphs.data.generic import quantise

    args.report = args.report or args.out / "report.json"
    reference, train = evaluate_graphs.read_sets(args)
    device = flags.device(args.device)
    model = GraphGenerator.from_pretrained(args.model, device=device)
    if model.atoms:
        raise InputError(f"--model {args.model} draws molecules; `polyscore molecules` draws from it")
    draws = graph_draws.Draws(args, model, args.count, settings={}, between=graph_draws.sizes_of(args.size, model))
    with Report("graphs", args) as report:
        report.device, report.nfe = str(device), draws.method.nfe
        say(f"{args.model} on {device}: {draws.method}", quiet=args.quiet)
        graphs: list[NDArray[Any]] = []
        stopped: BaseException | None = None
        try:
            for _, graph in track(draws, "drawing", total=args.count, quiet=args.quiet):
                graphs += quantise(graph)
        except KeyboardInterrupt as interrupt:
            stopped = interrupt
        if graphs:
            _write(args, graphs)
            found = evaluate_graphs.scores(graphs, reference, train, kind=args.kind, resamples=args.resamples, seed=args.seed)
            if draws.drawn:
                found["cpu_seconds_per_graph"] = draws.cpu / draws.drawn
            report.metrics = found
        for i, adj in enumerate(graphs):
            report.add(f"graph {args.seed + i}", str(args.out / "graphs.g6"), nodes=len(adj), edges=int(adj.sum()) // 2)
        if stopped is not None:
            raise stopped
        say(evaluate_graphs.shown(report.metrics), quiet=args.quiet)
        say(f"{len(graphs)} graphs: {args.out / 'graphs.g6'}", quiet=args.quiet)
    return report.exit_code


def _write(args: argparse.Namespace, graphs: list[NDArray[Any]]) -> None:
    import numpy as np

    from polyscore.graphs.data.files import write_graphml, write_graphs
    from polyscore.graphs.pictures import write_pictures
    from polyscore.hub import atomic_path

    write_graphs(args.out / "graphs.g6", graphs)
    sizes = np.array([len(adj) for adj in graphs])
    padded = np.zeros((len(graphs), sizes.max(), sizes.max()), np.int8)
    for row, adj in zip(padded, graphs, strict=True):
        row[: len(adj), : len(adj)] = adj
    with atomic_path(args.out / "graphs.npz") as path:
        np.savez_compressed(path, adj=padded, sizes=sizes, seeds=args.seed + np.arange(len(graphs)))
    if args.graphml:
        digits = len(str(len(graphs) - 1))
        for i, adj in enumerate(graphs):
            write_graphml(Path(args.out) / "graphml" / f"graph-{i:0{digits}}.graphml", adj)
    if not args.no_pictures:
        write_pictures(args.out / "grid.png", graphs[:_PICTURES])
