"""``polyscore evaluate molecules a.smi --reference b.smi``: the numbers of a set of molecules, each with its 95 % interval.

``--reference`` is the set that generated molecules should be like (the test molecules of a paper), ``--train`` the set that novel
molecules must not be in (default: the reference). Shares have Wilson's interval, all other scores the bootstrap's, where the
generated molecules are drawn anew and the reference stays. The same files give the same numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say, table
from polyscore.cli.report import Report, mean, share
from polyscore.errors import MissingExtraError

if TYPE_CHECKING:
    from polyscore.graphs.chem import Outcome
    from polyscore.graphs.chem.scores import Reference

__all__ = ["HELP", "add_arguments", "run"]

HELP = "score molecules: three validities, uniqueness, novelty, diversity, rings, NSPDK and property distances"

_NAMES = ("gdss10k", "digress", "moses25k")
_MEASURED = ("qed", "logp", "sa", "mw", "tpsa", "largest_ring")
_ALERTS = ("pains", "brenk")
_RINGS = (3, 4, 5, 6, 7, 8)
_MORE = "a --reference or more molecules"
_NEEDS = {"fcd": "a --reference, and pip install 'polyscore[fcd]'"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The molecules, what they are compared with, and where the scores go."""
    parser.add_argument("molecules", type=Path, metavar="FILE.smi", help="one SMILES a line, gzipped or not")
    parser.add_argument("--reference", type=Path, metavar="FILE.smi", help="molecules they should be like: a test set")
    parser.add_argument("--train", type=Path, metavar="FILE.smi", help="molecules that are not novel (default: the reference)")
    parser.add_argument(
        "--protocol", choices=_NAMES, help="report only what this paper does, of as many molecules (default: everything, of all)"
    )
    parser.add_argument(
        "--fcd", action="store_true", help="also the Frechet ChemNet distance to the reference (pip install 'polyscore[fcd]')"
    )
    parser.add_argument("--resamples", type=flags.whole(1), default=500, metavar="N", help="of the bootstrap (default: 500)")
    flags.add(
        parser,
        *flags.SCORE,
        out={"metavar": "FILE.csv", "help": "write the molecules, one by one, with their properties"},
        seed={"help": "seed of the bootstrap (default: 0)"},
    )


def run(args: argparse.Namespace) -> int:
    """Score the file."""
    flags.threads(args.threads)
    from polyscore.graphs.chem import inspect
    from polyscore.graphs.chem.files import read_smiles
    from polyscore.graphs.chem.protocols import PROTOCOLS
    from polyscore.graphs.chem.scores import Reference

    with Report("evaluate", args) as report:
        report.device = "cpu"
        texts = read_smiles(args.molecules)
        protocol = PROTOCOLS[args.protocol] if args.protocol else None
        texts = texts[: protocol.count] if protocol else texts
        outcomes = [inspect(text) for text in texts]
        reference = Reference(read_smiles(args.reference)) if args.reference else None
        train = Reference(read_smiles(args.train)).smiles if args.train else reference.smiles if reference else None
        metrics = _alone(texts, outcomes, args) | (_novelty(outcomes, train) if train is not None else {})
        mols = [found.fragment for found in outcomes if found.fragment is not None]
        if mols and reference:
            metrics |= _compared(mols, reference, args)
            metrics |= _fcd([found.smiles for found in outcomes if found.fragment is not None], reference, args, protocol)
        if protocol:
            absent = [name for name in protocol.scores if name not in metrics]
            for name in absent:
                say(f"{args.protocol} asks for {name}, which needs {_NEEDS.get(name, _MORE)}", quiet=args.quiet)
            metrics = {name: metrics[name] for name in protocol.scores if name in metrics}
            metrics["protocol"] = {"name": args.protocol, "molecules": len(texts), "expected": protocol.count}
            if len(texts) < protocol.count:
                say(f"{args.protocol} is of {protocol.count} molecules, the file holds {len(texts)}", quiet=args.quiet)
        from rdkit import rdBase

        report.metrics = {"molecules": len(texts), "rdkit": rdBase.rdkitVersion} | metrics
        report.add(str(args.molecules), None if args.out is None else str(args.out), molecules=len(texts), readable=len(mols))
        if args.out is not None:
            _write(args.out, texts, outcomes)
        say(_table(report.metrics), quiet=args.quiet)
    return report.exit_code


def _alone(texts: Sequence[str], outcomes: Sequence[Outcome], args: argparse.Namespace) -> dict[str, Any]:
    """What needs no reference."""
    from polyscore.graphs.chem.comparison import Similarities, ring_sizes
    from polyscore.graphs.chem.properties import alerts
    from polyscore.graphs.chem.reading import read_mol

    n = len(outcomes)
    sanitized = sum(read_mol(text) is not None for text in texts)
    metrics: dict[str, Any] = {
        "validity_without_correction": share(sum(o.valid for o in outcomes), n),
        "validity": share(sum(o.fragment is not None for o in outcomes), n),
        "validity_strict": share(sum(o.strict for o in outcomes), n),
        "validity_sanitized": share(sanitized, n),
        "charged": share(sum(o.charged > 0 for o in outcomes), n),
        "connected": share(sum(o.fragments == 1 for o in outcomes), n),
    }
    kept = [o for o in outcomes if o.fragment is not None]
    if not kept:
        return metrics
    smiles, mols = [o.smiles for o in kept], [o.fragment for o in kept]
    metrics["uniqueness"] = share(len(set(smiles)), len(smiles))
    metrics |= {f"unique_at_{k}": share(len(set(smiles[:k])), k) for k in (1000, 10000) if len(smiles) >= k}
    w = _weights(len(mols), args)
    similar = Similarities.of(mols)
    metrics["internal_diversity"] = _estimate(similar.diversity(w), len(mols))
    metrics["internal_diversity_2"] = _estimate(similar.diversity(w, p=2.0), len(mols))
    rings = [ring_sizes(mol) for mol in mols]
    metrics |= {f"ring_{k}": share(sum(k in sizes for sizes in rings), len(rings)) for k in _RINGS}
    metrics["ring_over_8"] = share(sum(max(sizes, default=0) > 8 for sizes in rings), len(rings))
    values = _properties(mols)
    metrics |= {name: mean(column.tolist(), seed=args.seed) for name, column in values.items()}
    flagged = [alerts(mol) for mol in mols]
    return metrics | {name: share(sum(found[name] for found in flagged), len(flagged)) for name in _ALERTS}


def _novelty(outcomes: Sequence[Outcome], train: set[str]) -> dict[str, Any]:
    distinct = {o.smiles for o in outcomes if o.fragment is not None}
    return {"novelty": share(len(distinct - train), len(distinct))} if distinct else {}


def _compared(mols: Sequence[Any], reference: Reference, args: argparse.Namespace) -> dict[str, Any]:
    """Scores against the reference set."""
    from polyscore.graphs.chem.comparison import (
        Similarities,
        fragments,
        nearest_similarity,
        parts_similarity,
        scaffold,
        scaffold_similarity,
        wasserstein,
    )
    from polyscore.graphs.chem.scores import kernel_features
    from polyscore.graphs.metrics import nspdk_mmd, nspdk_resampled

    n, w = len(mols), _weights(len(mols), args)
    metrics: dict[str, Any] = {}
    if min(n, len(reference.mols)) > 1:
        features = kernel_features(mols)
        metrics["nspdk"] = _estimate(nspdk_resampled(features, reference.features, w), n)
        metrics["nspdk_biased"] = nspdk_mmd(features, reference.features, unbiased=False)
    near = nearest_similarity(Similarities.of(mols), Similarities.of(reference.mols))
    metrics["nearest_similarity"] = mean(near.tolist(), seed=args.seed)
    cores, known = [scaffold(mol) for mol in mols], [scaffold(mol) for mol in reference.mols]
    if any(cores) and any(known):
        metrics["scaffold_similarity"] = _estimate(scaffold_similarity(cores, known, w), n)
    parts = [fragments(mol) for mol in mols]
    metrics["fragment_similarity"] = _estimate(parts_similarity(parts, [fragments(mol) for mol in reference.mols], w), n)
    own, theirs = _properties(mols), _properties(reference.mols)
    return metrics | {f"wasserstein_{name}": _estimate(wasserstein(own[name], theirs[name], w), n) for name in _MEASURED}


def _fcd(smiles: Sequence[str], reference: Reference, args: argparse.Namespace, protocol: Any) -> dict[str, Any]:
    """The Frechet ChemNet distance where it is asked for; a protocol goes on without the package, `--fcd` does not."""
    import torch

    from polyscore.evaluation import frechet
    from polyscore.graphs.chem.chemnet import activations

    wanted = args.fcd or (protocol is not None and "fcd" in protocol.scores)
    if not wanted or min(len(smiles), len(reference.mols)) < 2:
        return {}
    try:
        value = frechet(*(torch.from_numpy(activations(texts)) for texts in (smiles, reference.texts)))
    except MissingExtraError:
        if args.fcd:
            raise
        return {}
    return {"fcd": {"value": value, "n": len(smiles), "ci95": None}}


def _weights(n: int, args: argparse.Namespace) -> Any:
    """A first row of ones, which is the set itself, and the resamples."""
    import numpy as np

    from polyscore.graphs.metrics import weights

    return np.concatenate((np.ones((1, n)), weights(n, resamples=args.resamples, seed=args.seed)))


def _estimate(values: Any, n: int) -> dict[str, Any]:
    from polyscore.graphs.metrics import interval

    return {"value": float(values[0]), "n": n, "ci95": interval(values[1:])}


def _properties(mols: Sequence[Any]) -> dict[str, Any]:
    import numpy as np

    from polyscore.graphs.chem.properties import properties

    rows = [properties(mol) for mol in mols]
    return {name: np.array([row[name] for row in rows]) for name in _MEASURED}


def _write(path: Path, texts: Sequence[str], outcomes: Sequence[Outcome]) -> None:
    from polyscore.graphs.chem.files import write_csv
    from polyscore.graphs.chem.properties import properties

    rows = []
    for text, found in zip(texts, outcomes, strict=True):
        row = {"text": text, "smiles": found.smiles, "valid": int(found.valid), "strict": int(found.strict)}
        row |= {"charged": found.charged, "fragments": found.fragments}
        rows.append(row | ({k: round(v, 4) for k, v in properties(found.fragment).items()} if found.fragment is not None else {}))
    write_csv(path, rows, ("text", "smiles", "valid", "strict", "charged", "fragments", *_MEASURED))


def _table(metrics: Mapping[str, Any]) -> str:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    rows = []
    for name, value in metrics.items():
        if isinstance(value, Mapping) and name != "protocol":
            middle = next(value[key] for key in ("share", "mean", "value") if key in value)
            low, high = value["ci95"] or (None, None)
            rows.append((name, shown(middle), f"{shown(low)} .. {shown(high)}", str(value["n"])))
        elif isinstance(value, float):
            rows.append((name, shown(value), "", ""))
    return table(("SCORE", "VALUE", "95 % INTERVAL", "N"), rows)
