"""Scaffolds as texts: SMARTS mean what they say, also where RDKit reads them as SMILES."""

from __future__ import annotations

import pytest

Chem = pytest.importorskip("rdkit.Chem")

from polyscore.errors import InputError  # noqa: E402
from polyscore.graphs.chem.scaffold import Scaffold  # noqa: E402

ATOMS = (6, 7, 8, 9)
ESTER, THF, AMIDE, FURAN = "CCOC=O", "CC1CCCO1", "CNC(C)=O", "Cc1ccco1"


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("C1CCCO1", [THF]),
        ("[#6]1-[#6]-[#6]-[#6]-[#8]-1", [THF]),
        ("[#6]-[#8]-[#6]", [ESTER, THF]),  # as SMILES: radicals without hydrogens, which no molecule holds
        ("[#6]-[#8]-[#6]=[#8]", [ESTER]),
        ("[#7]-[#6]=[#8]", [AMIDE]),
        ("c1ccoc1", [FURAN]),
        ("c:1:c:c:o:c:1", [FURAN]),
    ],
)
def test_it_is_in_the_molecules_that_hold_it(text: str, holds: list[str]) -> None:
    scaffold = Scaffold.of(text, ATOMS)
    assert [smiles for smiles in (ESTER, THF, AMIDE, FURAN) if scaffold.in_molecule(Chem.MolFromSmiles(smiles))] == holds
    assert scaffold.graph.mask.shape[1] == scaffold.pattern.GetNumAtoms()


@pytest.mark.parametrize("text", ["[C,N]C", "C~C", "*C", "C(("])
def test_what_is_not_one_part_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="scaffold"):
        Scaffold.of(text, ATOMS)
