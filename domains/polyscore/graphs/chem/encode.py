"""Molecules to graphs: the inverse of decoding, for data, scaffolds and tests."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from rdkit import Chem

from polyscore.errors import InputError
from polyscore.graphs.batch import Graphs, mask_of
from polyscore.graphs.chem.reading import read_mol

__all__ = ["encode", "parse"]


def parse(smiles: str) -> Chem.Mol:
    """A sanitised molecule.

    Raises:
        InputError: it is no SMILES.
    """
    mol = read_mol(smiles)
    if mol is None or mol.GetNumAtoms() == 0:
        raise InputError(f"'{smiles}' is no molecule in SMILES that RDKit accepts")
    return mol


def encode(mols: Sequence[Chem.Mol], atoms: Sequence[int], *, nodes: int = 0) -> Graphs:
    """One-hot atoms and bond orders 0 to 3 of Kekule forms; hydrogens, charges and stereo are left out.

    Args:
        mols: sanitised molecules.
        atoms: atomic numbers of the features.
        nodes: room for so many atoms; at least that of the largest.

    Raises:
        InputError: an atom the features do not have.
    """
    size = max([nodes, *(mol.GetNumAtoms() for mol in mols)])
    x, adj = torch.zeros(len(mols), size, len(atoms)), torch.zeros(len(mols), size, size)
    place = {number: k for k, number in enumerate(atoms)}
    for row, mol in enumerate(mols):
        kekule = Chem.Mol(mol)
        Chem.Kekulize(kekule, clearAromaticFlags=True)
        for atom in kekule.GetAtoms():
            if atom.GetAtomicNum() not in place:
                known = " ".join(Chem.GetPeriodicTable().GetElementSymbol(number) for number in atoms)
                raise InputError(f"{Chem.MolToSmiles(mol)}: holds {atom.GetSymbol()}; this model knows {known}")
            x[row, atom.GetIdx(), place[atom.GetAtomicNum()]] = 1
        for bond in kekule.GetBonds():
            i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            adj[row, i, j] = adj[row, j, i] = float(int(bond.GetBondType()))
    return Graphs(x, adj, mask_of([mol.GetNumAtoms() for mol in mols], size))
