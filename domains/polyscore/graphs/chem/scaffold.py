"""Scaffolds: molecules that hold a given part.

The part takes the first nodes of every graph. At every step the model's prediction is replaced there by the part itself
(`polyscore.guidance.KnownRegion`), so the rest grows around it; the last state holds it exactly. What the valence correction does
to a molecule can still break it: whoever promises the part checks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from rdkit import Chem, rdBase
from torch import Tensor

from polyscore.denoisers import Denoiser
from polyscore.errors import InputError
from polyscore.graphs.batch import Graphs
from polyscore.graphs.chem.encode import encode
from polyscore.graphs.chem.reading import read_mol
from polyscore.guidance import KnownRegion

__all__ = ["Scaffold"]

_KINDS = frozenset({Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC})


@dataclass(frozen=True, eq=False)
class Scaffold:
    """A known part.

    Attributes:
        pattern: what molecules must contain.
        graph: its one-hot atoms and bond orders, one graph.
    """

    pattern: Chem.Mol
    graph: Graphs

    @classmethod
    def of(cls, text: str, atoms: Sequence[int]) -> Scaffold:
        """From SMILES, or SMARTS that name every atom and bond; `atoms` are those of the model.

        Raises:
            InputError: neither, or with atoms or bonds that are not fixed.
        """
        with rdBase.BlockLogs():
            mol = read_mol(text)
            if mol is None or not _is_smiles(mol):
                mol = _from_smarts(text)
        return cls(mol, encode([mol], atoms))

    @property
    def size(self) -> int:
        """Its number of atoms."""
        return self.graph.mask.shape[1]

    def in_molecule(self, mol: Chem.Mol) -> bool:
        """Whether a molecule holds it."""
        return bool(mol.HasSubstructMatch(self.pattern))

    def around(self, denoiser: Denoiser, mask: Tensor) -> Denoiser:
        """The denoiser with the part known, for a batch of graphs that all have room for it."""
        graph = self._wide(mask)
        inside = (torch.arange(mask.shape[1], device=mask.device) < self.size).to(mask.dtype)
        region = {"x": inside.view(1, -1, 1), "adj": inside.view(1, -1, 1) * inside.view(1, 1, -1)}
        return KnownRegion(denoiser, graph.state, region)

    def put(self, graphs: Graphs) -> Graphs:
        """Graphs with the part put in exactly."""
        graph, k = self._wide(graphs.mask), self.size
        x, adj = graphs.x.clone(), graphs.adj.clone()
        x[:, :k], adj[:, :k, :k] = graph.x[:, :k], graph.adj[:, :k, :k]
        return replace(graphs, x=x, adj=adj)

    def _wide(self, mask: Tensor) -> Graphs:
        wide = self.graph.padded(mask.shape[1])
        return Graphs(*(part.to(mask) for part in (wide.x, wide.adj, wide.mask)))


def _is_smiles(mol: Chem.Mol) -> bool:
    """Whether the text was meant as SMILES: RDKit also reads [#6] so, as a bare atom, and * and ~."""
    atoms = all(atom.GetAtomicNum() and not atom.GetNumRadicalElectrons() for atom in mol.GetAtoms())
    return atoms and all(bond.GetBondType() in _KINDS for bond in mol.GetBonds())


def _from_smarts(text: str) -> Chem.Mol:
    pattern = Chem.MolFromSmarts(text)
    if pattern is None:
        raise InputError(f"scaffold '{text}' is neither SMILES nor SMARTS")
    plain = Chem.RWMol()
    for atom in pattern.GetAtoms():
        if atom.GetAtomicNum() == 0:
            raise InputError(f"scaffold '{text}': atom {atom.GetIdx()} may be of several kinds; expected one element an atom")
        made = Chem.Atom(atom.GetAtomicNum())
        made.SetIsAromatic(atom.GetIsAromatic())
        plain.AddAtom(made)
    for bond in pattern.GetBonds():
        kind = bond.GetBondType()
        if kind not in _KINDS:
            ends = f"{bond.GetBeginAtomIdx()} and {bond.GetEndAtomIdx()}"
            raise InputError(f"scaffold '{text}': the bond between atoms {ends} may be of several kinds; write it")
        plain.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), kind)
    if Chem.SanitizeMol(plain, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        raise InputError(f"scaffold '{text}': its valences cannot be right; give it as SMILES")
    mol: Chem.Mol = plain.GetMol()
    return mol
