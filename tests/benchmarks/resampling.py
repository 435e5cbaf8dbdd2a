"""Feynman-Kac resampling beside best-of-N at equal network calls: a property of molecules.

    python tests/benchmarks/resampling.py --model gdss_qm9.pth --aim qed --islands 64 --island 8 --scales 10 30

One molecule is kept of every island of N graphs, the one with the largest value of the aim (that of `molecules --resample`): of N
plain ones (best of N), and of N that were resampled while they were drawn. Both ask the networks equally often. Prints means with
bootstrap intervals over the islands, of the kept ones and of all; QED and logP, uniqueness and internal diversity of the kept,
uniqueness within islands, CPU seconds.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from polyscore.cli.intervals import mean
from polyscore.graphs import GraphGenerator, Graphs
from polyscore.graphs.batch import mask_of
from polyscore.graphs.chem import decode, outcome
from polyscore.graphs.chem.aims import parse_aim
from polyscore.graphs.chem.comparison import Similarities
from polyscore.graphs.chem.properties import properties
from polyscore.graphs.resampling import resampled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--aim", default="qed")
    parser.add_argument("--islands", type=int, default=64)
    parser.add_argument("--island", type=int, default=8, help="N")
    parser.add_argument("--every", type=int, default=10, help="steps between two looks")
    parser.add_argument("--scales", type=float, nargs="+", default=[10.0, 30.0])
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = GraphGenerator.from_pretrained(args.model)
    method = model.method(preset="fast")
    sizes = [size for size in model.draw_sizes(list(range(args.islands))) for _ in range(args.island)]
    mask, seeds = mask_of(sizes, max(sizes)), list(range(len(sizes)))

    def molecules(state: Any) -> list[Any]:
        return [outcome(graph) for graph in decode(Graphs.of(state, mask), model.atoms)]

    aim = parse_aim(args.aim, model)

    def worth(found: Any) -> float:
        return -float("inf") if found.fragment is None else aim.of(found.fragment)

    def run(name: str, chosen: Any) -> None:
        started, last = time.process_time(), None
        for frame in model.trajectory(chosen, sizes, seeds):
            last = frame
        assert last is not None
        found = molecules(last.x)
        islands = [found[i : i + args.island] for i in range(0, len(found), args.island)]
        best = [max(island, key=worth) for island in islands]
        seconds = time.process_time() - started
        mols = [one.fragment for one in best if one.fragment is not None]
        within = np.mean([len({one.smiles for one in island}) / args.island for island in islands])
        values, every = mean([worth(one) for one in best]), mean([worth(one) for one in found])
        qed, logp = (mean([properties(mol)[name] for mol in mols])["mean"] for name in ("qed", "logp"))
        diversity = Similarities.of(mols).diversity(np.ones((1, len(mols))))[0]
        print(
            f"{name:16} {args.aim} {values['mean']:.3f} {[round(v, 3) for v in values['ci95']]}  of all {every['mean']:.3f}  "
            f"qed {qed:.3f}  logp {logp:.2f}  "
            f"unique {len({one.smiles for one in best}) / len(best):.2f}  within islands {within:.2f}  "
            f"diversity {diversity:.3f}  {seconds / len(best):.2f} CPU-s a kept molecule",
            flush=True,
        )

    run(f"best of {args.island}", method)
    for scale in args.scales:
        steered = resampled(method, aim.reward, scale, island=args.island, every=args.every)
        run(f"resampled c={scale:g}", steered)


if __name__ == "__main__":
    main()
