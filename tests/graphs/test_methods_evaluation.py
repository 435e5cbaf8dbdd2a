"""The evaluation package on molecules, by descriptors: acids among alcohols and amines."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from tests.evaluation_cells import Record, evaluate

pytest.importorskip("rdkit")

from rdkit import Chem

from polyscore.graphs.chem.properties import properties

NAMES = ["logp", "mw", "tpsa", "sa"]


def descriptors(heads: list[str], tails: list[str]) -> torch.Tensor:
    """Of head, chain and tail in all combinations."""
    chains = ["C" * n for n in range(1, 8)] + ["CC(C)C", "CC(C)(C)C", "C1CC1C", "CC=CC", "CC#CC", "CCOC", "CCNC"]
    mols = [Chem.MolFromSmiles("".join(parts)) for parts in product(heads, chains, tails)]
    found = {tuple(round(properties(mol)[name], 4) for name in NAMES): None for mol in mols}  # isomers may share them all
    return torch.tensor(list(found))


def test_acids_are_told_from_the_rest(record_property: Record) -> None:
    heads = ["C", "CC", "CC(C)", "O", "N", "CO", "CN(C)"]
    rest, acids = descriptors(heads, ["O", "N", "F", "C"]), descriptors(heads, ["C(=O)O", "C(=O)N"])
    evaluate(rest, acids, NAMES, record_property, expected="tpsa")
