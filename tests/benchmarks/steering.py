"""Steered molecules beside best-of-N at equal network calls: does the gradient of a regressor pay for itself?

    python tests/benchmarks/steering.py --model gdss_zinc250k.pth --regressor prop_jak2.pth -n 32 --steps 100

For every one of n seeds: one steered molecule, and the best of N plain ones of the same sampler and steps, by the regressor's own
number for the finished molecule (one-hot, largest fragment). A steered step asks both score networks as often as a plain one, and
the regressor once there and back: its calls lie between those of best of 1 and of best of 2. Prints means with bootstrap
intervals, QED, validity before correction, uniqueness, internal diversity and CPU seconds.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from polyscore.cli.intervals import mean, share
from polyscore.graphs import GraphGenerator
from polyscore.graphs.chem import decode, outcome
from polyscore.graphs.chem.comparison import Similarities
from polyscore.graphs.chem.encode import encode
from polyscore.graphs.chem.properties import properties
from polyscore.graphs.steering import Steering


def drawn(model: GraphGenerator, seeds: list[int], args: argparse.Namespace, around: Any = None) -> list[Any]:
    graphs = model.sample(
        model.draw_sizes(seeds), seed=seeds, preset="fast", steps=args.steps, batch_size=args.batch_size, around=around
    )
    return [outcome(graph) for graph in decode(graphs, model.atoms)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--regressor", required=True)
    parser.add_argument("-n", type=int, default=32)
    parser.add_argument("--best", type=int, default=2, help="N")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--weights", type=float, nargs="+", default=[0.5])
    parser.add_argument("--batch-size", type=int, default=16)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = GraphGenerator.from_pretrained(args.model)
    scorer = Steering.load(args.regressor, model)

    def value(found: Any) -> float:
        if found.fragment is None:
            return 0.0
        one = encode([found.fragment], model.atoms)
        return scorer.predict(one.x, one.adj, one.mask)[0]

    def line(name: str, kept: list[Any], values: list[float], seconds: float) -> None:
        mols = [found.fragment for found in kept if found.fragment is not None]
        qed = [properties(mol)["qed"] for mol in mols]
        near = Similarities.of(mols).diversity(np.ones((1, len(mols))))[0]
        valid = share(sum(found.valid for found in kept), len(kept))
        unique = len({found.smiles for found in kept}) / len(kept)
        shown = [f"{part['mean']:.3f} {[round(v, 3) for v in part['ci95']]}" for part in (mean(values), mean(qed))]
        print(
            f"{name:14} property {shown[0]}  qed {shown[1]}  valid {valid['share']:.2f}  unique {unique:.2f}  "
            f"diversity {near:.3f}  {seconds / len(kept):.2f} CPU-s a molecule",
            flush=True,
        )

    seeds, started = list(range(args.n)), time.process_time()
    best: list[tuple[Any, float]] = []
    for copy in range(args.best):
        found = drawn(model, [seed + copy * args.n for seed in seeds], args)
        values = [value(one) for one in found]
        fresh = list(zip(found, values, strict=True))
        best = [max(pair, key=lambda item: item[1]) for pair in zip(best or fresh, fresh, strict=True)]
        line(f"best of {copy + 1}", [one for one, _ in best], [number for _, number in best], time.process_time() - started)
    for weight in args.weights:
        started = time.process_time()
        found = drawn(model, seeds, args, Steering(scorer.regressor, model, weight).around)
        line(f"steered w={weight:g}", found, [value(one) for one in found], time.process_time() - started)


if __name__ == "__main__":
    main()
