"""What ``polyscore molecules`` writes: tables, structures, pictures, and its report."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from polyscore.cli.molecule_page import write_page
from polyscore.cli.report import Item, Report, share

if TYPE_CHECKING:
    from polyscore.cli.molecule_table import MoleculeTable
    from polyscore.cli.molecules import Candidate, Work

__all__ = ["PICTURES", "write"]

PICTURES = 64  # molecules of the grid
_FRAMES = 24  # of the animation


def write(args: argparse.Namespace, work: Work, table: MoleculeTable, report: Report) -> None:
    """All files of the run, and its numbers into the report."""
    from polyscore.graphs.chem import files

    files.write_csv(args.out / "molecules.csv", table.rows, table.columns)
    files.write_smiles(args.out / "molecules.smi", table.smiles())
    if table and not args.no_pictures:
        files.write_sdf(args.out / "molecules.sdf", table.mols(), table.smiles(), seed=args.seed)
        first = [candidate.outcome for candidate in work.leading[:PICTURES]]
        files.write_grid(args.out / "grid.png", [found.fragment for found in first], [found.smiles for found in first])
        _animate(args, work, work.leading[0])

    def items() -> Iterator[Item]:
        for row in table.rows:
            yield Item.of(f"molecule {row['seed']}", str(args.out / "molecules.csv"), smiles=row["smiles"])

    report.stored = items
    for seed in table.unread:
        report.add(f"molecule {seed}", None, status="failed", error="no atoms, or no fragment that RDKit reads")
    report.metrics = _metrics(work, table)
    if not args.no_pictures:
        page = args.out / "report.html"
        write_page(page, report.head(), table.numbers, rows=table.rows, mols=table.mols(), reference=table.reference)


def _metrics(work: Work, table: MoleculeTable) -> dict[str, Any]:
    """Validities of all candidates; everything else of the molecules that are given out."""
    from rdkit import rdBase

    n = work.tally["candidates"]
    metrics: dict[str, Any] = {"candidates": n, "molecules": len(table), "rdkit": rdBase.rdkitVersion}
    if n:
        metrics |= {name: share(count, n) for name, count in work.tally.items() if name != "candidates"}
    if work.draws.drawn:
        metrics["cpu_seconds_per_molecule"] = work.draws.cpu / work.draws.drawn * work.island
    return metrics | table.metrics() | work.compared


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
