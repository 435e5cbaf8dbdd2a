"""The molecules that ``polyscore molecules`` gives out: a row each, made when it is drawn, and what is said of all of them.

Of a molecule stay in memory its numbers and its SMILES; the row and the structure wait on the disk for the files.
"""

from __future__ import annotations

import argparse
import base64
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from polyscore.cli.report import mean, share
from polyscore.cli.spool import Spool

if TYPE_CHECKING:
    from polyscore.cli.molecules import Candidate, Work

__all__ = ["MoleculeTable"]

_COLUMNS = ("smiles", "inchikey", "seed", "atoms", "valid_before_correction", "corrected", "charge", "fragments")
_PROPERTIES = ("qed", "logp", "sa", "mw", "tpsa", "largest_ring")
_ALERTS = ("pains", "brenk")
_COMPARED = ("novel", "nearest_tanimoto")
_STEERED = "steered_property"
_STRUCTURE = "structure"  # of a record, no column


class MoleculeTable:
    """Rows in the order of the seeds.

    Args:
        args: the command line.
        work: what they are drawn by.
        reference: a `polyscore.graphs.chem.scores.Reference`, or None.
        rows: where they wait; empty.
    """

    def __init__(self, args: argparse.Namespace, work: Work, reference: Any, *, rows: Spool) -> None:
        self.args, self.work, self.reference, self.rows = args, work, reference, rows
        steered = (_STEERED,) if work.guide else ()
        self.columns = (*_COLUMNS, *_PROPERTIES, *_ALERTS, *(_COMPARED if reference else ()), *steered)
        self.numbers = {name: array("d") for name in (*_PROPERTIES, *_ALERTS, *steered)}
        self.distinct: set[str] = set()
        self.unread: list[int] = []

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, candidate: Candidate) -> None:
        """A row; of what cannot be read, its seed alone."""
        mol = candidate.outcome.fragment
        if mol is None:
            self.unread.append(self.args.seed + candidate.number)
            return
        row = self._row(candidate, mol)
        for name, column in self.numbers.items():
            column.append(row[name])
        self.distinct.add(row["smiles"])
        self.rows.append({**row, _STRUCTURE: base64.b64encode(candidate.outcome.kept).decode()})

    def mols(self) -> Iterator[Any]:
        """The molecules, one at a time."""
        from rdkit import Chem

        return (Chem.Mol(base64.b64decode(row[_STRUCTURE])) for row in self.rows)

    def smiles(self) -> Iterator[str]:
        """Their SMILES, one at a time."""
        return (row["smiles"] for row in self.rows)

    def metrics(self) -> dict[str, Any]:
        """What is said of the molecules as a set."""
        n = len(self)
        metrics: dict[str, Any] = {}
        if n:
            metrics["uniqueness"] = share(len(self.distinct), n)
            metrics |= {name: mean(self.numbers[name]) for name in _PROPERTIES}
            metrics |= {name: share(int(sum(self.numbers[name])), n) for name in _ALERTS}
        if n and self.work.guide is not None:
            import numpy as np

            from polyscore.graphs.chem.comparison import Similarities

            metrics[_STEERED] = mean(self.numbers[_STEERED])
            metrics["internal_diversity"] = float(Similarities.of(list(self.mols())).diversity(np.ones((1, n)))[0])
        if n and self.reference:
            metrics["novelty"] = share(len(self.distinct - self.reference.smiles), len(self.distinct))
            metrics["nspdk"] = self.reference.nspdk(list(self.mols()))
        return metrics

    def _row(self, candidate: Candidate, mol: Any) -> dict[str, Any]:
        from rdkit import Chem, rdBase

        from polyscore.graphs.chem.properties import alerts, properties

        found = candidate.outcome
        with rdBase.BlockLogs():
            key = Chem.MolToInchiKey(mol)
        row = {
            "smiles": found.smiles,
            "inchikey": key,
            "seed": self.args.seed + candidate.number,
            "atoms": mol.GetNumAtoms(),
            "valid_before_correction": int(found.valid),
            "corrected": int(found.corrected),
            "charge": Chem.GetFormalCharge(mol),
            "fragments": found.fragments,
            **(self.work.values.get(candidate.number) or properties(mol)),
            **{name: int(value) for name, value in alerts(mol).items()},
        }
        row = {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
        if self.reference:
            [near] = self.reference.nearest([mol])
            row.update(novel=int(found.smiles not in self.reference.smiles), nearest_tanimoto=round(near, 4))
        if self.work.guide is not None:
            row[_STEERED] = self.work.worth(candidate)
        return row
