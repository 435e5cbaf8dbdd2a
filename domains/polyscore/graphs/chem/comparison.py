r"""Scores of a set of molecules as a whole: diversity, scaffolds, rings, distances of property distributions.

    internal diversity      1 - (mean over all pairs of T^p)^(1/p), T the Tanimoto similarity, each molecule with itself included
    nearest neighbour       mean over the set of the largest T to the reference
    scaffold similarity     cosine of the counts of Bemis-Murcko scaffolds with at least two rings
    fragment similarity     cosine of the counts of BRICS fragments
    Wasserstein distance    integral of |F - G|, F and G the distribution functions of a property

T is that of Morgan fingerprints of radius 2 with 1024 bits. The definitions are those of MOSES.

Sources: Polykovskiy et al. 2020 (MOSES), arXiv 1811.12823; Bemis and Murcko, J. Med. Chem. 39 (1996), 2887-2893;
Degen et al., ChemMedChem 3 (2008), 1503-1507.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold
from scipy.sparse import csr_array

from polyscore.errors import InputError
from polyscore.graphs.metrics.bootstrap import Array, mean_of_pairs

__all__ = [
    "Similarities",
    "fragments",
    "nearest_similarity",
    "parts_similarity",
    "ring_sizes",
    "scaffold",
    "scaffold_similarity",
    "wasserstein",
]

_BITS = 1024
_ROWS = 256  # of a similarity matrix at a time


@dataclass(frozen=True, eq=False)
class Similarities:
    """Fingerprints of a set, (n, 1024) of zeros and ones."""

    bits: Array

    @classmethod
    def of(cls, mols: Sequence[Chem.Mol]) -> Similarities:
        """Of molecules.

        Raises:
            InputError: no molecules.
        """
        if not mols:
            raise InputError("Similarities: no molecules; expected at least one")
        bits = np.zeros((len(mols), _BITS))
        for row, mol in zip(bits, mols, strict=True):
            DataStructs.ConvertToNumpyArray(_morgan().GetFingerprint(mol), row)
        return cls(bits)

    def diversity(self, w: Array, *, p: float = 1.0) -> Array:
        """Internal diversity for weights (R, n) of the molecules, (R,); see `polyscore.graphs.metrics.bootstrap`."""
        total = np.zeros(len(w))
        for start in range(0, len(self.bits), _ROWS):
            rows = slice(start, start + _ROWS)
            powers = _tanimoto(self.bits[rows], self.bits) ** p
            total += np.einsum("ri,ri->r", w[:, rows], w @ powers.T)
        result: Array = 1 - mean_of_pairs(total, np.ones(len(self.bits)), w) ** (1 / p)
        return result


def nearest_similarity(one: Similarities, reference: Similarities) -> Array:
    """For every molecule the largest Tanimoto similarity to the reference, (n,)."""
    parts = [one.bits[start : start + _ROWS] for start in range(0, len(one.bits), _ROWS)]
    return np.concatenate([_tanimoto(part, reference.bits).max(1) for part in parts])


def scaffold(mol: Chem.Mol) -> str:
    """SMILES of the Bemis-Murcko scaffold, empty where it has less than two rings."""
    core = MurckoScaffold.GetScaffoldForMol(mol)
    return str(Chem.MolToSmiles(core)) if core.GetRingInfo().NumRings() >= 2 else ""


def fragments(mol: Chem.Mol) -> list[str]:
    """SMILES of the parts between the bonds that BRICS breaks (Degen et al. 2008), with marks where they were joined."""
    return str(Chem.MolToSmiles(Chem.FragmentOnBRICSBonds(mol))).split(".")


def scaffold_similarity(one: Sequence[str], reference: Sequence[str], w: Array) -> Array:
    """For weights (R, n) of the molecules with the scaffolds `one`, (R,); not a number without scaffolds on a side."""
    return parts_similarity([[name] * bool(name) for name in one], [[name] * bool(name) for name in reference], w)


def parts_similarity(one: Sequence[Sequence[str]], reference: Sequence[Sequence[str]], w: Array) -> Array:
    """Cosine of the counts of parts, for weights (R, n) of the molecules with the parts `one`, (R,).

    It is not a number where a side has no parts.
    """
    place: dict[str, int] = {}
    rows = [[place.setdefault(name, len(place)) for name in names] for names in (*one, *reference)]
    owners = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    columns = np.array([k for row in rows for k in row], np.int64)
    counts = csr_array((np.ones(len(columns)), (owners, columns)), (len(rows), max(len(place), 1)))
    own, target = counts[: len(one)], np.asarray(counts[len(one) :].sum(0)).ravel()
    drawn = np.asarray((own.T @ w.T).T)
    squares = mean_of_pairs(np.square(drawn).sum(1), np.asarray((own * own).sum(1)).ravel(), w) * len(one) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Array = drawn @ target / np.sqrt(np.maximum(squares, 0) * np.square(target).sum())
    return result


def ring_sizes(mol: Chem.Mol) -> frozenset[int]:
    """Sizes of the rings of the smallest set of rings."""
    return frozenset(len(ring) for ring in mol.GetRingInfo().AtomRings())


def wasserstein(one: Array, reference: Array, w: Array) -> Array:
    """Distance between two sets of numbers, in their unit, for weights (R, n) of the first, (R,)."""
    order, ranks = np.argsort(one), np.sort(reference)
    places = np.sort(np.concatenate((one, reference)))
    f = np.concatenate((np.zeros((len(w), 1)), np.cumsum(w[:, order], 1) / len(one)), 1)
    here = np.searchsorted(one[order], places[:-1], side="right")
    there = np.searchsorted(ranks, places[:-1], side="right") / len(reference)
    result: Array = np.array([np.abs(row[here] - there) @ np.diff(places) for row in f])
    return result


def _tanimoto(a: Array, b: Array) -> Array:
    both = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1) - both
    result: Array = np.divide(both, either, out=np.ones_like(both), where=either > 0)  # two molecules without bits are alike
    return result


@cache
def _morgan() -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=_BITS)
