"""``polyscore molecules --between SMILES SMILES``: what lies between two molecules for a model (`polyscore.graphs.between`)."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from polyscore.cli.console import say
from polyscore.cli.report import Report, share
from polyscore.errors import InputError

if TYPE_CHECKING:
    from polyscore.graphs import GraphGenerator

__all__ = ["add_arguments", "run"]

_STEPS = 25
_OTHERS = ("size", "scaffold", "max_ring", "target", "steer", "resample", "resume", "sampler")  # what draws from noise alone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two ends."""
    parser.add_argument(
        "--between",
        nargs=2,
        metavar="SMILES",
        help="instead: n molecules from the first to the second, both included, of equally many heavy atoms (25 steps)",
    )


def run(args: argparse.Namespace, model: GraphGenerator, report: Report) -> None:
    """Write molecules.csv, molecules.smi and grid.png: the way from one to the other.

    Raises:
        InputError: ends of different sizes, an atom the model does not know, or words that do not go with `--between`.
    """
    from polyscore.graphs.between import between
    from polyscore.graphs.chem import decode, files, outcome
    from polyscore.graphs.chem.encode import encode, parse
    from polyscore.graphs.chem.properties import properties

    if given := [f"--{name.replace('_', '-')}" for name in _OTHERS if getattr(args, name)]:
        raise InputError(f"--between does not go with {', '.join(given)}; leave it out")
    ends = [parse(text) for text in args.between]
    atoms = [mol.GetNumAtoms() for mol in ends]
    if atoms[0] != atoms[1] or atoms[0] > model.nodes:
        raise InputError(
            f"--between {' '.join(args.between)}: {atoms[0]} and {atoms[1]} heavy atoms; expected two molecules of equally many, "
            f"at most {model.nodes}"
        )
    steps = args.steps or _STEPS
    made = between(model, encode(ends, model.atoms), args.count, steps=steps, seed=args.seed)
    report.nfe = steps
    found = [outcome(graph) for graph in decode(made, model.atoms)]
    rows: list[dict[str, Any]] = []
    for k, one in enumerate(found):
        place = round(k / (args.count - 1), 4)
        if one.fragment is None:
            report.add(f"{place}", None, status="failed", error="no atoms, or no fragment that RDKit reads")
            continue
        numbers = {name: round(value, 4) for name, value in properties(one.fragment).items()}
        rows.append({"place": place, "smiles": one.smiles, "valid_before_correction": int(one.valid), **numbers})
        report.add(f"{place}", str(args.out / "molecules.csv"), smiles=one.smiles)
    smiles = [row["smiles"] for row in rows]
    files.write_csv(args.out / "molecules.csv", rows, tuple(rows[0]))
    files.write_smiles(args.out / "molecules.smi", smiles)
    if not args.no_pictures:
        mols = [one.fragment for one in found if one.fragment is not None]
        files.write_grid(args.out / "grid.png", mols, [f"{row['place']:.2f}  {row['smiles']}" for row in rows])
    strict = share(sum(one.strict for one in found), len(found))
    report.metrics = {"molecules": len(rows), "different": len(set(smiles)), "validity_strict": strict}
    say(f"{len(rows)} molecules, {len(set(smiles))} different: {args.out}", quiet=args.quiet)
