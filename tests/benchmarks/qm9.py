"""Numbers of a molecule model's card: shares with 95 % intervals, NSPDK, what became of the charge rule.

    python tests/benchmarks/qm9.py --model qm9 --data qm9_smiles.csv.gz --test valid_idx_qm9.json -n 2048 --seed 0
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from polyscore.cli.intervals import share
from polyscore.graphs import GraphGenerator
from polyscore.graphs.chem import decode, outcome
from polyscore.graphs.chem.scores import canonical, kernel_features
from polyscore.graphs.data import read_table
from polyscore.graphs.metrics import nspdk_mmd, nspdk_resampled
from polyscore.graphs.metrics.bootstrap import interval, weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="qm9")
    parser.add_argument("--data", type=Path, required=True, help="SMILES of QM9, one a line")
    parser.add_argument("--test", type=Path, required=True, help="JSON list of the rows of the test part")
    parser.add_argument("-n", type=int, default=2048)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--sampler")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, n = GraphGenerator.from_pretrained(args.model), args.n
    start = time.process_time()
    graphs = model.sample(n, seed=args.seed, preset=args.preset, sampler=args.sampler, steps=args.steps)
    seconds = (time.process_time() - start) / n
    found = [outcome(graph) for graph in decode(graphs, model.atoms)]
    mols = [made.fragment for made in found if made.fragment is not None]
    table = read_table(args.data)
    rows = json.loads(args.test.read_text())
    held = {int(row) for row in (rows["valid_idxs"] if isinstance(rows, dict) else rows)}
    theirs = kernel_features(canonical([table[row] for row in sorted(held)]))
    mine = kernel_features(mols)
    spread = interval(nspdk_resampled(mine, theirs, weights(mine.count)))
    smiles = [made.smiles for made in found if made.fragment is not None]
    report = {
        "valid without correction": share(sum(made.valid for made in found), n),
        "valid without the charge rule": share(sum(made.valid and not made.charged for made in found), n),
        "connected": share(sum(made.fragments == 1 for made in found), n),
        "strict": share(sum(made.strict for made in found), n),
        "unique": share(len(set(smiles)), len(smiles)),
        "nspdk unbiased": {"value": nspdk_mmd(mine, theirs), "n": mine.count, "ci95": spread},
        "seconds of sampling a molecule": seconds,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
