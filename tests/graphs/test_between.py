"""Molecules between two molecules."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from polyscore.cli.main import main
from polyscore.errors import InputError
from polyscore.graphs import GraphGenerator
from polyscore.graphs.between import between

pytest.importorskip("rdkit")


def test_molecules_between_two_molecules(monkeypatch: pytest.MonkeyPatch) -> None:
    from polyscore.graphs.chem import decode, outcome
    from polyscore.graphs.chem.encode import encode, parse

    model = GraphGenerator.from_pretrained("qm9")
    ends = encode([parse(smiles) for smiles in ("OCC1CCCC1=O", "NC(=O)C1CC1CO")], model.atoms)
    made = between(model, ends, 7, steps=20, seed=4)
    assert float((made[0].adj - ends[0].adj).abs().max()) < 1e-5
    assert float((made[6].x - ends[1].x).abs().max()) < 1e-5
    found = [outcome(graph) for graph in decode(made, model.atoms)]
    assert (found[0].smiles, found[6].smiles) == ("O=C1CCCC1CO", "NC(=O)C1CC1CO")
    assert len({molecule.smiles for molecule in found}) >= 4
    assert sum(molecule.strict for molecule in found) >= 5
    monkeypatch.setattr("polyscore.graphs.between._TOGETHER", 3)  # places go through the network three at a time, and then one
    again = between(model, ends, 7, steps=20, seed=4)
    torch.testing.assert_close(again.adj, made.adj, rtol=0, atol=1e-4)
    torch.testing.assert_close(again.x, made.x, rtol=0, atol=1e-4)
    with pytest.raises(InputError, match=r"graphs of \[8\] nodes"):
        between(model, ends[:1])


WAY = ("--between", "OCC1CCCC1=O", "NC(=O)C1CC1CO", "-n", "5", "--steps", "10", "--seed", "4")


def test_the_command_writes_the_way(tmp_path: Path) -> None:
    assert main(["molecules", "--model", "qm9", *WAY, "-o", str(tmp_path), "--quiet"]) == 0
    with (tmp_path / "molecules.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [rows[0]["smiles"], rows[-1]["smiles"]] == ["O=C1CCCC1CO", "NC(=O)C1CC1CO"]
    assert [float(row["place"]) for row in rows] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert (tmp_path / "grid.png").stat().st_size > 1000
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["nfe"] == 10 and report["metrics"]["different"] == len({row["smiles"] for row in rows})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--model", "qm9", "--between", "CCO", "CC"), "3 and 2 heavy atoms; expected two molecules of equally many, at most 9"),
        (("--model", "qm9", "--between", "CCS", "CCO"), "S"),
        (("--model", "qm9", "--between", "CCO", "nonsense"), "'nonsense' is no molecule"),
        (("--model", "qm9", *WAY, "--target", "qed>0.6"), "--between does not go with --target"),
        (("--model", "qm9-discrete", *WAY), "expected one of real-valued graphs"),
    ],
)
def test_ends_it_refuses(words: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["molecules", *words, "-o", str(tmp_path / "out"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1, error
    assert not list(tmp_path.rglob("molecules.*"))
