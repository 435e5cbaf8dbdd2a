"""Real-valued graphs to molecules, as GDSS decodes them (Jo et al. 2022, arXiv 2202.02514).

    atoms   x > 1/2 becomes 1; the feature that is on, or no atom where none is; of two that are on, the first
    bonds   A >= 5/2 triple, >= 3/2 double, >= 1/2 single, else none

Bonds are added row by row. An N, O or S that has exactly one bond too many becomes a cation (+1), when that happens. What still
breaks a valence is corrected: the first atom with a problem loses one order of its strongest bond, until none has.

Three shares are called validity, and they are not the same:

    without correction   valences are right before the correction, charges of the rule included (the number of the papers)
    after correction     the largest fragment of the corrected molecule can be read as SMILES
    strict               before the correction, charges included: sanitised in full, and connected
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from rdkit import Chem, rdBase

from polyscore.graphs.batch import Graphs
from polyscore.graphs.chem.reading import read_mol

__all__ = ["Decoded", "Outcome", "decode", "inspect", "outcome", "repaired"]

_BONDS = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
_NEUTRAL = {7: 3, 8: 2, 16: 2}  # valence of the neutral atom, for those that may take a charge
_PROPERTIES = Chem.SanitizeFlags.SANITIZE_PROPERTIES


@dataclass(frozen=True)
class Decoded:
    """Atoms and bonds of one graph.

    Attributes:
        atoms: atomic numbers.
        bonds: (i, j, order), i > j, row by row.
    """

    atoms: tuple[int, ...]
    bonds: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a graph. A run keeps many, so of the molecule there are its bytes, a twentieth of what RDKit's object takes.

    Attributes:
        kept: the largest fragment after correction, sanitised, as RDKit writes it; empty where it cannot be read.
        smiles: canonical SMILES of the fragment, empty without one.
        valid: no correction was needed (charges of the rule included).
        charged: how many atoms the rule charged.
        strict: sanitised in full and connected, without correction.
        fragments: how many fragments.
    """

    kept: bytes
    smiles: str
    valid: bool
    charged: int
    strict: bool
    fragments: int

    @property
    def fragment(self) -> Chem.Mol | None:
        """The largest fragment, a new object each time; None where it cannot be read."""
        return Chem.Mol(self.kept) if self.kept else None

    @property
    def corrected(self) -> bool:
        """Whether bonds were weakened."""
        return not self.valid


def decode(graphs: Graphs, atoms: Sequence[int]) -> Iterator[Decoded]:
    """Atoms and bonds of every graph; `atoms` are the atomic numbers of the features.

    Places outside the mask hold no atom.
    """
    on = (graphs.x > 0.5) & (graphs.mask.unsqueeze(-1) > 0)
    orders = sum((graphs.adj >= level).long() for level in (0.5, 1.5, 2.5))
    assert isinstance(orders, torch.Tensor)
    kinds = torch.where(on.any(-1), on.long().argmax(-1), -1).tolist()
    for row, matrix in zip(kinds, orders.tolist(), strict=True):
        places = [place for place, kind in enumerate(row) if kind >= 0]
        bonds = [(i, j, matrix[p][q]) for i, p in enumerate(places) for j, q in enumerate(places[:i]) if matrix[p][q]]
        yield Decoded(tuple(atoms[row[place]] for place in places), tuple(bonds))


def outcome(graph: Decoded, *, fragment: Literal["largest", "longest_smiles"] = "largest") -> Outcome:
    """The molecule of a graph, with the charge rule and the correction.

    `fragment` says which one is kept of several: that with the most heavy atoms (of equals, the longest SMILES), or the one with
    the longest SMILES text, as the original did.
    """
    with rdBase.BlockLogs():
        return _judged(_built(graph), fragment)


def repaired(graph: Decoded) -> Chem.Mol:
    """The molecule of a graph after charge rule and correction, with all its fragments."""
    with rdBase.BlockLogs():
        mol = _built(graph)
        if _problem(mol) is not None:
            _correct(mol)
    return mol


def inspect(smiles: str, *, fragment: Literal["largest", "longest_smiles"] = "largest") -> Outcome:
    """The same for a molecule that was written as SMILES by whatever program; its charges stand as they were written.

    A text that is no SMILES, or is longer than any small molecule's, or whose aromatic atoms have no Kekule form, is valid in
    none of the three ways.
    """
    with rdBase.BlockLogs():
        found = read_mol(smiles, sanitize=False)
        if found is None:
            return Outcome(b"", "", False, 0, False, 0)
        mol = Chem.RWMol(found)
        mol.UpdatePropertyCache(strict=False)
        try:
            Chem.Kekulize(mol, clearAromaticFlags=True)
        except Chem.KekulizeException:
            return Outcome(b"", "", False, 0, False, len(Chem.GetMolFrags(found)))
        Chem.RemoveStereochemistry(mol)
        if not all(bond.GetBondType() in _BONDS.values() for bond in mol.GetBonds()):
            return Outcome(b"", "", False, 0, False, len(Chem.GetMolFrags(found)))
        if _problem(mol) is not None:
            for atom in mol.GetAtoms():  # hydrogens in brackets give way before bonds do
                atom.SetNumExplicitHs(0)
                atom.SetNoImplicit(False)
            return _judged(mol, fragment, valid=False)
        return _judged(mol, fragment)


def _judged(mol: Chem.RWMol, fragment: str, *, valid: bool = True) -> Outcome:
    charged = sum(atom.GetFormalCharge() > 0 for atom in mol.GetAtoms())
    valid = valid and _problem(mol) is None
    whole = Chem.MolToSmiles(mol) if valid else ""
    strict = valid and mol.GetNumAtoms() > 0 and "." not in whole and Chem.MolFromSmiles(whole) is not None
    if not valid:
        _correct(mol)
    text = Chem.MolToSmiles(mol)
    parts = text.split(".")
    chosen = _read(parts, fragment)
    smiles = Chem.MolToSmiles(chosen) if chosen is not None else ""
    return Outcome(b"" if chosen is None else chosen.ToBinary(), smiles, valid, charged, strict, len(parts) if text else 0)


def _read(parts: Sequence[str], fragment: str) -> Chem.Mol | None:
    if not parts[0]:
        return None
    mols = [(text, Chem.MolFromSmiles(text)) for text in parts]
    if fragment == "longest_smiles":
        return max(mols, key=lambda item: len(item[0]))[1]
    readable = [(text, mol) for text, mol in mols if mol is not None]
    return max(readable, key=lambda item: (item[1].GetNumHeavyAtoms(), len(item[0])))[1] if readable else None


def _built(graph: Decoded) -> Chem.RWMol:
    """Atoms and bonds, with charges by the rule.

    Valences only grow while bonds are added, so where the whole molecule has no problem no part of it had one.
    """
    mol = _with_bonds(graph)
    if _problem(mol) is None:
        return mol
    mol = _with_atoms(graph)
    for i, j, order in graph.bonds:
        mol.AddBond(i, j, _BONDS[order])
        problem = _problem(mol)
        if problem is None:
            continue
        atom = mol.GetAtomWithIdx(problem)
        neutral = _NEUTRAL.get(atom.GetAtomicNum())
        if neutral is not None and _valence(atom) - neutral == 1:
            atom.SetFormalCharge(1)
    return mol


def _with_atoms(graph: Decoded) -> Chem.RWMol:
    mol = Chem.RWMol()
    for number in graph.atoms:
        mol.AddAtom(Chem.Atom(number))
    return mol


def _with_bonds(graph: Decoded) -> Chem.RWMol:
    mol = _with_atoms(graph)
    for i, j, order in graph.bonds:
        mol.AddBond(i, j, _BONDS[order])
    return mol


def _problem(mol: Chem.RWMol) -> int | None:
    """The first atom whose valence is not permitted; None, and implicit hydrogens counted, where there is none."""
    if Chem.SanitizeMol(mol, sanitizeOps=_PROPERTIES, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    first: int = Chem.DetectChemistryProblems(mol, sanitizeOps=_PROPERTIES)[0].GetAtomIdx()
    return first


def _valence(atom: Chem.Atom) -> int:
    return sum(int(bond.GetBondType()) for bond in atom.GetBonds())


def _correct(mol: Chem.RWMol) -> None:
    """Weaken bonds until every valence is permitted."""
    while (problem := _problem(mol)) is not None:
        bonds = mol.GetAtomWithIdx(problem).GetBonds()
        if not bonds:
            return  # the atom is wrong by itself, which only a text can say; reading it will fail
        strongest = max(bonds, key=lambda bond: int(bond.GetBondType()))  # of equals the first
        i, j, order = strongest.GetBeginAtomIdx(), strongest.GetEndAtomIdx(), int(strongest.GetBondType()) - 1
        mol.RemoveBond(i, j)
        if order:
            mol.AddBond(i, j, _BONDS[order])
