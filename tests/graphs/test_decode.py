"""Decoding against the published algorithm, which reads RDKit's error messages and checks after every bond."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

pytest.importorskip("rdkit")
from rdkit import Chem, rdBase

from polyscore.errors import InputError
from polyscore.graphs import Graphs
from polyscore.graphs.batch import mask_of
from polyscore.graphs.chem import Decoded, decode, outcome
from polyscore.graphs.chem.encode import encode, parse
from polyscore.graphs.chem.properties import largest_ring, properties

ATOMS = (6, 7, 8, 9, 15, 16, 17, 35, 53)
BONDS = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}


def complaint(mol: Any) -> tuple[int, int] | None:
    try:
        Chem.SanitizeMol(mol, sanitizeOps=Chem.SanitizeFlags.SANITIZE_PROPERTIES)
    except ValueError as error:
        atom, valence = map(int, re.findall(r"\d+", str(error)[str(error).index("#") :])[:2])
        return atom, valence
    return None


def published(x: torch.Tensor, adj: torch.Tensor) -> tuple[str, bool]:
    """SMILES after correction and validity before it, for one graph, following the description of the method."""
    rows = [[*(v > 0.5).long().tolist(), 1 - int((v > 0.5).sum())] for v in x]
    kinds = [row.index(max(row)) for row in rows]
    places = [i for i, kind in enumerate(kinds) if kind < len(ATOMS)]
    mol = Chem.RWMol()
    for place in places:
        mol.AddAtom(Chem.Atom(ATOMS[kinds[place]]))
    for i, p in enumerate(places):
        for j, q in enumerate(places[:i]):
            value = float(adj[p, q])
            order = 3 if value >= 2.5 else 2 if value >= 1.5 else 1 if value >= 0.5 else 0
            if not order:
                continue
            mol.AddBond(i, j, BONDS[order])
            found = complaint(mol)
            number = mol.GetAtomWithIdx(found[0]).GetAtomicNum() if found else 0
            if found and number in (7, 8, 16) and found[1] - {7: 3, 8: 2, 16: 2}[number] == 1:
                mol.GetAtomWithIdx(found[0]).SetFormalCharge(1)
    valid = complaint(mol) is None
    while (found := complaint(mol)) is not None:
        bonds = sorted(
            ((int(b.GetBondType()), b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetAtomWithIdx(found[0]).GetBonds()),
            key=lambda bond: -bond[0],
        )
        order, begin, end = bonds[0]
        mol.RemoveBond(begin, end)
        if order > 1:
            mol.AddBond(begin, end, BONDS[order - 1])
    longest = max(Chem.MolToSmiles(mol).split("."), key=len)
    read = Chem.MolFromSmiles(longest)
    return (Chem.MolToSmiles(read) if read is not None else ""), valid


def random_graphs(n: int, nodes: int, density: float) -> Graphs:
    generator = torch.Generator().manual_seed(nodes)
    x = torch.randn(n, nodes, len(ATOMS), generator=generator) * 0.5
    kinds = torch.randint(0, len(ATOMS), (n, nodes), generator=generator)
    x += torch.nn.functional.one_hot(kinds, len(ATOMS))
    upper = torch.where(torch.rand(n, nodes, nodes, generator=generator) < density, 1.0, 0.0)
    upper = (upper * (1 + 2.2 * torch.rand(n, nodes, nodes, generator=generator) ** 2)).triu(1)
    sizes = torch.randint(2, nodes + 1, (n,), generator=generator)
    mask = mask_of(sizes, nodes)
    return Graphs(x * mask[..., None], (upper + upper.mT) * mask[:, None] * mask[..., None], mask)


@pytest.mark.parametrize(("nodes", "density"), [(5, 0.5), (9, 0.3), (20, 0.12)])
def test_molecules_are_those_of_the_published_algorithm(nodes: int, density: float) -> None:
    graphs = random_graphs(150, nodes, density)
    charged = corrected = 0
    with rdBase.BlockLogs():
        for i, graph in enumerate(decode(graphs, ATOMS)):
            ours = outcome(graph, fragment="longest_smiles")
            smiles, valid = published(graphs.x[i], graphs.adj[i])
            assert (ours.smiles, ours.valid) == (smiles, valid)
            charged, corrected = charged + ours.charged, corrected + ours.corrected
    assert charged > 10 and corrected > 10  # the hard cases were met


def test_decoding_inverts_encoding() -> None:
    for smiles in ("c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "C#N", "FC(F)(F)c1cscn1", "O=S(=O)(N)c1ccccc1"):
        mol = parse(smiles)
        [graph] = decode(encode([mol], ATOMS, nodes=30), ATOMS)
        assert outcome(graph).smiles == Chem.MolToSmiles(mol)


@pytest.mark.parametrize(
    ("graph", "valid", "strict", "charged", "fragments", "smiles"),
    [
        (Decoded((6, 6), ((1, 0, 1),)), True, True, 0, 1, "CC"),
        (Decoded((6, 6), ()), True, False, 0, 2, "C"),
        (Decoded((7, 6, 6, 6, 6), ((1, 0, 1), (2, 0, 1), (3, 0, 1), (4, 0, 1))), True, True, 1, 1, "C[N+](C)(C)C"),
        (Decoded((9, 6, 6), ((1, 0, 2), (2, 1, 1))), False, False, 0, 1, "CCF"),
        (Decoded((), ()), True, False, 0, 0, ""),
    ],
)
def test_the_three_validities(graph: Decoded, valid: bool, strict: bool, charged: int, fragments: int, smiles: str) -> None:
    found = outcome(graph)
    assert (found.valid, found.strict, found.charged) == (valid, strict, charged)
    assert (found.fragments, found.smiles) == (fragments, smiles)


def test_valences_can_be_right_where_strict_says_no() -> None:
    # a ring of five carbons with two exocyclic bonds is fine; the fragment with the longest text is not always the largest
    graph = Decoded((6, 6, 6, 6, 6, 17, 35), ((1, 0, 1), (2, 1, 1), (3, 2, 1), (4, 3, 1), (6, 5, 1)))
    assert outcome(graph).smiles == "CCCCC"
    assert outcome(graph, fragment="longest_smiles").smiles in ("ClBr", "CCCCC")
    assert not outcome(graph).strict and outcome(graph).fragments == 2


def test_properties_of_known_molecules() -> None:
    aspirin = properties(parse("CC(=O)Oc1ccccc1C(=O)O"))
    assert aspirin["mw"] == pytest.approx(180.159, abs=1e-2) and aspirin["tpsa"] == pytest.approx(63.6, abs=0.1)
    assert aspirin["qed"] == pytest.approx(0.55, abs=0.01) and aspirin["logp"] == pytest.approx(1.31, abs=0.01)
    assert aspirin["sa"] == pytest.approx(1.58, abs=0.1)
    assert largest_ring(parse("C1CCCCCCCCC1")) == 10 and largest_ring(parse("CCC")) == 0


def test_foreign_atoms_and_texts_are_named() -> None:
    with pytest.raises(InputError, match=r"holds Si; this model knows C N O F"):
        encode([parse("C[SiH3]")], (6, 7, 8, 9))
    with pytest.raises(InputError, match="'C1CC' is no molecule"):
        parse("C1CC")
