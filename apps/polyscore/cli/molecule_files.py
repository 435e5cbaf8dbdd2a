"""What ``polyscore molecules`` writes: tables, structures, pictures, and the numbers of its report."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from polyscore.cli.molecule_page import write_page
from polyscore.cli.report import Report, mean, share

if TYPE_CHECKING:
    from polyscore.cli.molecules import Candidate, Work

__all__ = ["write"]

_GRID = 64  # molecules in the picture
_FRAMES = 24  # of the animation
_COLUMNS = ("smiles", "inchikey", "seed", "atoms", "valid_before_correction", "corrected", "charge", "fragments")
_PROPERTIES = ("qed", "logp", "sa", "mw", "tpsa", "largest_ring", "pains", "brenk")
_COMPARED = ("novel", "nearest_tanimoto")
_STEERED = "steered_property"


def write(args: argparse.Namespace, work: Work, report: Report, reference: Any) -> None:
    """All files of the run, and its numbers into the report."""
    from polyscore.graphs.chem import files

    kept = [candidate for candidate in work.kept if candidate.outcome.fragment is not None]
    mols = [candidate.outcome.fragment for candidate in kept]
    smiles = [candidate.outcome.smiles for candidate in kept]
    rows = _rows(args, work, kept, reference)
    columns = (*_COLUMNS, *_PROPERTIES, *(_COMPARED if reference else ()), *((_STEERED,) if work.guide else ()))
    files.write_csv(args.out / "molecules.csv", rows, columns)
    files.write_smiles(args.out / "molecules.smi", smiles)
    if mols and not args.no_pictures:
        files.write_sdf(args.out / "molecules.sdf", mols, smiles, seed=args.seed)
        files.write_grid(args.out / "grid.png", mols[:_GRID], smiles[:_GRID])
        _animate(args, work, kept[0])
    for row in rows:
        report.add(f"molecule {row['seed']}", str(args.out / "molecules.csv"), smiles=row["smiles"])
    for candidate in work.kept:
        if candidate.outcome.fragment is None:
            name = f"molecule {args.seed + candidate.number}"
            report.add(name, None, status="failed", error="no atoms, or no fragment that RDKit reads")
    report.metrics = _metrics(work, mols, smiles, rows, reference)
    if not args.no_pictures:
        write_page(args.out / "report.html", report.as_dict(), rows, mols=mols, reference=reference)


def _rows(args: argparse.Namespace, work: Work, kept: list[Candidate], reference: Any) -> list[dict[str, Any]]:
    from rdkit import Chem, rdBase

    from polyscore.graphs.chem.properties import alerts, properties

    rows = []
    for candidate in kept:
        found: Any = candidate.outcome
        mol = found.fragment
        with rdBase.BlockLogs():
            key = Chem.MolToInchiKey(mol)
        row = {
            "smiles": found.smiles,
            "inchikey": key,
            "seed": args.seed + candidate.number,
            "atoms": mol.GetNumAtoms(),
            "valid_before_correction": int(found.valid),
            "corrected": int(found.corrected),
            "charge": Chem.GetFormalCharge(mol),
            "fragments": found.fragments,
            **(work.values.get(candidate.number) or properties(mol)),
            **{name: int(value) for name, value in alerts(mol).items()},
        }
        rows.append({name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()})
    if reference:
        similar = reference.nearest([candidate.outcome.fragment for candidate in kept])
        for row, value in zip(rows, similar, strict=True):
            row.update(novel=int(row["smiles"] not in reference.smiles), nearest_tanimoto=round(value, 4))
    if work.guide is not None:
        for row, candidate in zip(rows, kept, strict=True):
            row[_STEERED] = work.worth(candidate)
    return rows


def _metrics(work: Work, mols: list[Any], smiles: list[str], rows: list[dict[str, Any]], reference: Any) -> dict[str, Any]:
    """Validities of all candidates; everything else of the molecules that are given out."""
    from rdkit import rdBase

    outcomes = [candidate.outcome for candidate in work.candidates]
    n = len(outcomes)
    metrics: dict[str, Any] = {"candidates": n, "molecules": len(mols), "rdkit": rdBase.rdkitVersion}
    if n:
        metrics |= {
            "validity_without_correction": share(sum(o.valid for o in outcomes), n),
            "validity": share(sum(o.fragment is not None for o in outcomes), n),
            "validity_strict": share(sum(o.strict for o in outcomes), n),
            "charged": share(sum(o.charged > 0 for o in outcomes), n),
            "connected": share(sum(o.fragments == 1 for o in outcomes), n),
        }
    if work.draws.drawn:
        metrics["cpu_seconds_per_molecule"] = work.draws.cpu / work.draws.drawn * work.island
    if mols:
        metrics["uniqueness"] = share(len(set(smiles)), len(smiles))
        metrics |= {name: mean([float(row[name]) for row in rows]) for name in _PROPERTIES[:6]}
        metrics |= {name: share(sum(row[name] for row in rows), len(rows)) for name in _PROPERTIES[6:]}
    if mols and work.guide is not None:
        import numpy as np

        from polyscore.graphs.chem.comparison import Similarities

        metrics[_STEERED] = mean([row[_STEERED] for row in rows])
        metrics["internal_diversity"] = float(Similarities.of(mols).diversity(np.ones((1, len(mols))))[0])
    if mols and reference:
        distinct = set(smiles)
        metrics["novelty"] = share(len(distinct - reference.smiles), len(distinct))
        metrics["nspdk"] = reference.nspdk(mols)
    return metrics | work.compared


def _animate(args: argparse.Namespace, work: Work, candidate: Candidate) -> None:
    """What the model sees in the noise, step by step, for the first molecule."""
    from polyscore.graphs import Graphs
    from polyscore.graphs.batch import mask_of
    from polyscore.graphs.chem import decode, files
    from polyscore.graphs.chem.decode import repaired

    # of an island, the one that was kept alone: what it was copied from is not seen
    method = work.model.method(preset=args.preset, sampler=args.sampler, steps=args.steps)
    frames = work.model.trajectory(method, [candidate.size], [args.seed + candidate.number], around=work.around)
    every, pictures = max(1, method.steps // _FRAMES), []
    mask = mask_of([candidate.size], candidate.size)
    for frame in frames:
        if frame.i % every == 0:
            state = {name: value.float().cpu() for name, value in frame.prediction.x0.items()}
            [graph] = decode(Graphs.of(state, mask), work.model.atoms)
            if graph.atoms:
                pictures.append(files.draw(repaired(graph), f"t = {frame.t:.2f}"))
    pictures.append(files.draw(candidate.outcome.fragment, candidate.outcome.smiles))
    files.write_gif(args.out / "trajectory.gif", pictures)
