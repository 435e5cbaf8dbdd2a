"""MMD of generated community-small graphs to the 20 published test graphs: five sets of 20, mean, spread, CPU seconds.

    python tests/benchmarks/community_small.py --model gdss_community_small.pth --graphs community_small.pkl --out drawn

Set k draws from the seeds 20 k to 20 k + 19; sets that lie in --out already are not drawn again. The interval is Student's, of
the mean of the sets; "pooled" compares all graphs at once.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from published_graphs import published_graphs
from scipy import stats

from polyscore.graphs import GraphGenerator
from polyscore.graphs.data.generic import Adjacency, quantise
from polyscore.graphs.metrics import generic_mmds

SIZE = 20


def drawn(args: argparse.Namespace, model: GraphGenerator, k: int) -> tuple[list[Adjacency], float]:
    """The graphs of set k and the CPU seconds of drawing one."""
    file: Path = args.out / f"{args.preset}-{k}.npz"
    if not file.exists():
        start = time.process_time()
        graphs = quantise(model.sample(SIZE, seed=SIZE * k, preset=args.preset, sampler=args.sampler, steps=args.steps))
        seconds = (time.process_time() - start) / SIZE
        np.savez(file, *graphs, seconds=seconds)
    with np.load(file) as kept:
        return [kept[f"arr_{i}"] for i in range(SIZE)], float(kept["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--graphs", type=Path, required=True, help="community_small.pkl of GDSS")
    parser.add_argument("--preset", default="exact")
    parser.add_argument("--sampler")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--sets", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True, help="folder for the graphs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    model = GraphGenerator.from_pretrained(args.model)
    published = published_graphs(args.graphs)
    test, train = published[:SIZE], published[SIZE:]
    sets = [drawn(args, model, k) for k in range(args.sets)]
    scores = [generic_mmds(graphs, test) for graphs, _ in sets]
    report: dict[str, Any] = {"nfe": model.method(preset=args.preset, sampler=args.sampler, steps=args.steps).nfe}
    for name in ("degree", "cluster", "orbit"):
        values = np.array([score[name] for score in scores])
        margin = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
        report[name] = {
            "mean": float(values.mean()),
            "ci95": [float(values.mean() - margin), float(values.mean() + margin)],
            "spread": float(values.std(ddof=1)),
            "sets": values.round(4).tolist(),
        }
    report["pooled"] = generic_mmds([graph for graphs, _ in sets for graph in graphs], test)
    report["train to test"] = generic_mmds(train, test)
    report["seconds a graph"] = float(np.mean([seconds for _, seconds in sets]))
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
