"""Scores of graphs beside the original's in one run: values, differences, CPU seconds.

    python tests/benchmarks/graph_metrics.py --gdss GDSS --graphs community_small.pkl
    python tests/benchmarks/graph_metrics.py --gdss GDSS --test test.smi --drawn molecules.smi -n 1000

The four MMDs compare the first --few graphs with the --few after them; NSPDK compares n drawn with n test molecules, which lie
ready as labelled graphs, of networkx there and of lists here. The original's time is that of its own code, as it stands, with its
child processes; its features, which it computes twice, are also timed alone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import networkx as nx
from original_gdss import cpu_seconds, original
from published_graphs import published_graphs
from rdkit import Chem

from polyscore.graphs.chem.scores import canonical
from polyscore.graphs.metrics import clustering_mmd, degree_mmd, nspdk, nspdk_mmd, orbit_mmd, spectral_mmd

OURS = {"degree": degree_mmd, "cluster": clustering_mmd, "orbit": orbit_mmd, "spectral": spectral_mmd}


def row(theirs: tuple[float, Any], ours: tuple[float, Any]) -> dict[str, float]:
    (slow, wanted), (fast, found) = theirs, ours
    return {
        "original": float(wanted),
        "here": float(found),
        "difference": abs(float(found) - float(wanted)),
        "original seconds": slow,
        "seconds": fast,
        "ratio": slow / fast,
    }


def listed(mol: Chem.Mol) -> tuple[list[int], list[tuple[int, int, int]]]:
    """As this library wants them."""
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), int(b.GetBondTypeAsDouble())) for b in mol.GetBonds()]
    return [atom.GetAtomicNum() for atom in mol.GetAtoms()], bonds


def labelled(mol: Chem.Mol) -> Any:
    """As the original labels molecules."""
    graph = nx.Graph()
    for atom in mol.GetAtoms():
        graph.add_node(atom.GetIdx(), label=atom.GetSymbol())
    for bond in mol.GetBonds():
        graph.add_edge(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), label=int(bond.GetBondTypeAsDouble()))
    return graph


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gdss", type=Path, required=True, help="checkout of harryjo97/GDSS")
    parser.add_argument("--graphs", type=Path, help="community_small.pkl")
    parser.add_argument("--few", type=int, default=20)
    parser.add_argument("--test", type=Path, help="SMILES of test molecules")
    parser.add_argument("--drawn", type=Path, help="SMILES of drawn molecules")
    parser.add_argument("-n", type=int, default=1000)
    args = parser.parse_args()
    report: dict[str, Any] = {}
    if args.graphs:
        graphs = published_graphs(args.graphs)
        test, others = graphs[: args.few], graphs[args.few : 2 * args.few]
        theirs = [[nx.from_numpy_array(adj) for adj in part] for part in (test, others)]
        for name, ours in OURS.items():
            fast = cpu_seconds(lambda ours=ours: ours(test, others), 5)
            assert fast[1] == ours(test, others)
            with original(args.gdss):
                from evaluation.mmd import gaussian, gaussian_emd
                from evaluation.stats import METHOD_NAME_TO_FUNC

                kernel = gaussian if name == "orbit" else gaussian_emd
                slow = cpu_seconds(lambda name=name, kernel=kernel: METHOD_NAME_TO_FUNC[name](*theirs, KERNEL=kernel))
            report[name] = row(slow, fast)
    if args.test and args.drawn:
        sets = [canonical(path.read_text().split()[: args.n]) for path in (args.test, args.drawn)]
        lists = [[listed(mol) for mol in part] for part in sets]
        features = cpu_seconds(lambda: [nspdk(part) for part in lists], 3)
        fast = cpu_seconds(lambda: nspdk_mmd(*(nspdk(part) for part in lists), unbiased=False), 3)
        networks = [[labelled(mol) for mol in part] for part in sets]
        with original(args.gdss):
            from evaluation.mmd import compute_nspdk_mmd, vectorize

            once = cpu_seconds(lambda: [vectorize(part, complexity=4, discrete=True) for part in networks])
            slow = cpu_seconds(lambda: compute_nspdk_mmd(*networks, metric="nspdk", is_hist=False, n_jobs=1))
        seconds = {"original seconds of features": once[0], "seconds of features": features[0], "molecules": len(sets[0])}
        report["nspdk"] = row(slow, fast) | seconds | {"relative": abs(fast[1] / slow[1] - 1)}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
