"""Molecules from a text of SMILES: QM9, ZINC250k, or one's own.

A file is text (also gzipped), one molecule a line, SMILES first; a first line that is no SMILES is a title. Molecules are kept
as Kekule forms without hydrogens, charges and stereo: one byte an atom, one byte a pair of atoms.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from rdkit import Chem, rdBase
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import InputError
from polyscore.graphs.chem.files import read_smiles
from polyscore.graphs.chem.reading import read_mol
from polyscore.graphs.data.facts import Facts
from polyscore.training.order import Shuffled, whole

__all__ = ["Molecules", "SmilesData", "read_table"]

_LARGEST_TABLE = 8_000_000_000  # bytes


def read_table(path: str | Path) -> list[str]:
    """The SMILES of a file.

    Raises:
        InputError: no such file, not text, or no molecules.
    """
    return read_smiles(Path(path))


@dataclass(frozen=True, eq=False)
class Molecules(Dataset[dict[str, Any]]):
    """Molecules in memory.

    Attributes:
        kinds: (M, N) int8, which of the atoms; -1 where there is none.
        bonds: (M, N (N - 1) / 2) int8, orders of the pairs i < j row by row.
        atoms: their atomic numbers, one a kind.
    """

    kinds: Tensor
    bonds: Tensor
    atoms: tuple[int, ...]

    @classmethod
    def of(cls, smiles: Sequence[str], atoms: Sequence[int] = (), *, nodes: int = 0) -> Molecules:
        """From SMILES; those that RDKit cannot read, with other atoms, or with more than `nodes` atoms (if given), are left out.

        Without `atoms`, all that occur are features, in the order of their numbers.

        Raises:
            InputError: none is left, or one is so large that a table with room for it does not fit in memory.
        """
        found: list[tuple[list[int], list[tuple[int, int, int]]]] = []
        allowed = set(atoms)
        with rdBase.BlockLogs():
            for text in smiles:
                mol = read_mol(text)
                if mol is None or (nodes and mol.GetNumAtoms() > nodes):
                    continue
                Chem.Kekulize(mol, clearAromaticFlags=True)
                numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
                bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), int(b.GetBondType())) for b in mol.GetBonds()]
                known = allowed.issuperset(numbers) if allowed else 0 not in numbers
                if numbers and known and all(order in (1, 2, 3) for *_, order in bonds):
                    found.append((numbers, bonds))
        if not found:
            limit = f" and at most {nodes} of them" if nodes else ""
            raise InputError(f"molecules: none of {len(smiles)} can be used with the atoms {tuple(atoms) or 'found'}{limit}")
        kept = tuple(atoms) or tuple(sorted({number for numbers, _ in found for number in numbers}))
        place = {number: k for k, number in enumerate(kept)}
        n = max([nodes, *(len(numbers) for numbers, _ in found)])
        if len(found) * n * n // 2 > _LARGEST_TABLE:
            raise InputError(
                f"molecules: the largest of {len(found)} has {n} atoms, and a table with room for so many takes "
                f"{len(found) * n * n / 2e9:.0f} GB; leave larger ones out with `nodes`"
            )
        all_kinds = torch.full((len(found), n), -1, dtype=torch.int8)
        all_bonds = torch.zeros(len(found), n * (n - 1) // 2, dtype=torch.int8)
        for row, (numbers, bonds) in enumerate(found):
            all_kinds[row, : len(numbers)] = torch.tensor([place[number] for number in numbers], dtype=torch.int8)
            for a, b, order in bonds:
                i, j = min(a, b), max(a, b)
                all_bonds[row, i * n - i * (i + 1) // 2 + j - i - 1] = order
        return cls(all_kinds, all_bonds, kept)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many molecules have 0, 1, 2, ... atoms."""
        counts: list[int] = torch.bincount((self.kinds >= 0).sum(1)).tolist()
        return tuple(counts)

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, index: int) -> dict[str, Any]:
        batch = self.__getitems__([index])
        return {"x0": {name: value[0] for name, value in batch["x0"].items()}, "mask": batch["mask"][0]}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A whole batch, cut to its largest molecule."""
        kinds, bonds = self.kinds[torch.as_tensor(indices)].long(), self.bonds[torch.as_tensor(indices)].float()
        total = kinds.shape[1]
        i, j = torch.triu_indices(total, total, 1)
        adj = bonds.new_zeros(len(kinds), total, total)
        adj[:, i, j] = bonds
        mask = (kinds >= 0).float()
        n = int(mask.sum(1).max())
        x = torch.nn.functional.one_hot(kinds.clamp(min=0), len(self.atoms)) * mask.unsqueeze(-1)
        return {"x0": {"x": x[:, :n], "adj": (adj + adj.mT)[:, :n, :n]}, "mask": mask[:, :n]}


class SmilesData(LightningDataModule):
    """Batches `{"x0": {"x", "adj"}, "mask"}` of the molecules of a file.

    Args:
        path: the file.
        atoms: atomic numbers of the node features; empty for all that occur.
        nodes: larger molecules are left out; 0 keeps all.
        batch_size: molecules a batch.
        test: a JSON file with the row numbers (from 0) of the molecules for validation, a list or `{"valid_idxs": [...]}`.
        share: without `test`, the part of the molecules to train on.
        limit: molecules used for validation at most.
        seed: of the order and of the split.

    Raises:
        InputError: files that cannot be read, or no molecules in a part.
    """

    def __init__(
        self,
        path: str,
        atoms: Sequence[int] = (),
        *,
        nodes: int = 0,
        batch_size: int = 256,
        test: str | None = None,
        share: float = 0.9,
        limit: int = 2048,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.path, self.atoms, self.nodes, self.batch_size = path, tuple(atoms), nodes, batch_size
        self.test, self.share, self.limit, self.seed = test, share, limit, seed
        self._parts: tuple[Molecules, Molecules] | None = None

    def parts(self) -> tuple[Molecules, Molecules]:
        """Training and validation molecules."""
        if self._parts is None:
            smiles = read_table(self.path)
            held = self._held(len(smiles))
            kept = [text for row, text in enumerate(smiles) if row not in held]
            other = [smiles[row] for row in sorted(held)][: self.limit]
            if not kept or not other:
                found = f"{len(kept)} molecules to train on, {len(other)} to validate"
                raise InputError(f"{self.path}: {found}; expected some of both")
            train = Molecules.of(kept, self.atoms, nodes=self.nodes)
            self._parts = train, Molecules.of(other, train.atoms, nodes=self.nodes)
        return self._parts

    @property
    def facts(self) -> Facts:
        """What a model of the training molecules has to know."""
        train = self.parts()[0]
        return Facts(train.sizes, train.atoms)

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        data = self.parts()[0]
        order = Shuffled(len(data), seed=self.seed)
        return DataLoader(data, self.batch_size, sampler=order, drop_last=len(data) >= self.batch_size, collate_fn=whole)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        return DataLoader(self.parts()[1], self.batch_size, collate_fn=whole)

    def _held(self, count: int) -> set[int]:
        if self.test is None:
            order = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed)).tolist()
            return set(order[round(self.share * count) :])
        try:
            found = json.loads(Path(self.test).read_text(encoding="utf-8"))
            rows = found["valid_idxs"] if isinstance(found, dict) else found
            return {int(row) for row in rows if 0 <= int(row) < count}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{self.test}: expected a JSON list of row numbers ({error})") from error
