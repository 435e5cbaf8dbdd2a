"""Scores of a set of generated molecules, alone and against a reference set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from rdkit import Chem

from polyscore.errors import InputError
from polyscore.graphs.chem.properties import fingerprint, nearest
from polyscore.graphs.chem.reading import read_mol
from polyscore.graphs.metrics.nspdk import Fingerprints, nspdk, nspdk_mmd

__all__ = ["Reference", "canonical", "kernel_features"]


def canonical(smiles: Sequence[str]) -> list[Chem.Mol]:
    """Molecules of SMILES, without stereo; what cannot be read is left out."""
    mols = [mol for mol in map(read_mol, smiles) if mol is not None]
    for mol in mols:
        Chem.RemoveStereochemistry(mol)
    return mols


def kernel_features(mols: Sequence[Chem.Mol]) -> Fingerprints:
    """NSPDK features with the labels of the published evaluation: element, whole bond order (aromatic 1)."""
    return nspdk(
        [
            (
                [atom.GetAtomicNum() for atom in mol.GetAtoms()],
                [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), int(b.GetBondTypeAsDouble())) for b in mol.GetBonds()],
            )
            for mol in mols
        ]
    )


class Reference:
    """Molecules that generated ones are compared with.

    Raises:
        InputError: none of the SMILES can be read.
    """

    def __init__(self, smiles: Sequence[str]) -> None:
        self.mols = canonical(smiles)
        if not self.mols:
            raise InputError(f"reference: none of {len(smiles)} texts is SMILES that RDKit accepts")
        self.texts = [str(Chem.MolToSmiles(mol)) for mol in self.mols]
        self.smiles = set(self.texts)

    @cached_property
    def features(self) -> Fingerprints:
        """Their NSPDK features."""
        return kernel_features(self.mols)

    @cached_property
    def _prints(self) -> list[Any]:
        return [fingerprint(mol) for mol in self.mols]

    def nspdk(self, mols: Sequence[Chem.Mol]) -> float:
        """Unbiased NSPDK MMD^2 to them."""
        return nspdk_mmd(self.features, kernel_features(mols))

    def nearest(self, mols: Sequence[Chem.Mol]) -> list[float]:
        """For every molecule, its largest Tanimoto similarity to one of them."""
        return nearest([fingerprint(mol) for mol in mols], self._prints)
