"""`polyscore evaluate molecules` and `polyscore evaluate graphs`: numbers that can be counted by hand, protocols, refusals."""

from __future__ import annotations

import csv
import gzip
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rdkit")
pytest.importorskip("networkx")
from rdkit import Chem

from polyscore.cli.main import main
from polyscore.cli.report import validate
from polyscore.graphs.chem.protocols import PROTOCOLS

REFERENCE = "CCO\nCC=O\nC1CC1\nCCN\nc1ccc2ccccc2c1\nCC(C)O\n"


def evaluate(tmp_path: Path, *words: str, code: int = 0) -> dict[str, Any]:
    report = tmp_path / "report.json"
    assert main(["evaluate", *words, "--quiet", "--report", str(report), "--resamples", "50"]) == code
    found: dict[str, Any] = json.loads(report.read_text())
    validate(found)
    metrics: dict[str, Any] = found["metrics"]
    return metrics


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    drawn, reference = tmp_path / "drawn.smi", tmp_path / "reference.smi.gz"
    drawn.write_text("smiles\nOCC\nCCO\nC1CCCCCCCC1\nCN(C)(C)C\nC.CC\nC[NH3+]\nc1cccc1\nc1ccc2ccccc2c1\n")
    reference.write_bytes(gzip.compress(REFERENCE.encode()))
    return drawn, reference


def test_molecules_are_counted_as_by_hand(files: tuple[Path, Path], tmp_path: Path) -> None:
    drawn, reference = files
    metrics = evaluate(tmp_path, "molecules", str(drawn), "--reference", str(reference), "--out", str(tmp_path / "table.csv"))
    shares = {name: (v["share"], v["n"]) for name, v in metrics.items() if isinstance(v, dict) and "share" in v}
    assert shares["validity_without_correction"] == (6 / 8, 8)  # not N with four bonds, not the ring without Kekule form
    assert shares["validity"] == (7 / 8, 8) and shares["validity_strict"] == (5 / 8, 8)
    assert shares["validity_sanitized"] == (6 / 8, 8)
    assert shares["charged"] == (1 / 8, 8) and shares["uniqueness"] == (6 / 7, 7)
    assert shares["novelty"] == (4 / 6, 6)  # ethanol and naphthalene are known
    assert shares["ring_over_8"] == (1 / 7, 7) and shares["ring_6"] == (1 / 7, 7)
    assert metrics["scaffold_similarity"]["value"] == pytest.approx(1.0)
    assert metrics["nspdk_biased"] > metrics["nspdk"]["value"]
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["smiles"] for row in rows][:4] == ["CCO", "CCO", "C1CCCCCCCC1", "CN(C)C"] and rows[6]["qed"] == ""


def test_a_set_is_like_itself(files: tuple[Path, Path], tmp_path: Path) -> None:
    reference = str(files[1])
    metrics = evaluate(tmp_path, "molecules", reference, "--reference", reference, "--train", str(files[0]))
    assert metrics["nspdk_biased"] == pytest.approx(0, abs=1e-12) and metrics["nearest_similarity"]["mean"] == pytest.approx(1)
    for name in ("qed", "logp", "sa", "mw", "tpsa"):
        assert metrics[f"wasserstein_{name}"]["value"] == pytest.approx(0, abs=1e-9)
    assert metrics["novelty"]["share"] == pytest.approx(4 / 6)  # the training set is another one


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_a_protocol_reports_its_numbers_alone(
    files: tuple[Path, Path], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcd", None)  # as if it were not installed
    drawn, reference = map(str, files)
    metrics = evaluate(tmp_path, "molecules", drawn, "--reference", reference, "--protocol", name)
    assert metrics["protocol"] == {"name": name, "molecules": 8, "expected": PROTOCOLS[name].count}
    wanted = {score for score in PROTOCOLS[name].scores if not score.startswith("unique_at")}  # 8 are too few for those
    assert "fcd" not in metrics and ("fcd" in wanted) == (name != "digress")
    wanted -= {"fcd"}
    assert set(metrics) == wanted | {"protocol", "molecules", "rdkit"}


def test_the_chemnet_distance_is_an_extra(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("molecules", str(files[0]), "--reference", str(files[1]))
    monkeypatch.setitem(sys.modules, "fcd", None)
    assert main(["evaluate", *words, "--fcd", "--resamples", "5"]) == 1
    assert "pip install 'polyscore[fcd]'" in capsys.readouterr().err

    def predictions(model: object, smiles: list[str], *args: object, **more: object) -> Any:
        return np.array([[len(text), 2.0 * len(text)] for text in smiles])

    monkeypatch.setitem(sys.modules, "fcd", types.SimpleNamespace(load_ref_model=object, get_predictions=predictions))
    metrics = evaluate(tmp_path, *words, "--fcd")
    drawn = [len(row["smiles"]) for row in rows_of(tmp_path, files) if row["smiles"]]
    known = [len(Chem.CanonSmiles(text)) for text in REFERENCE.split()]
    shift, spread = np.mean(drawn) - np.mean(known), np.std(drawn, ddof=1) - np.std(known, ddof=1)
    assert metrics["fcd"] == {"value": pytest.approx(5 * (shift**2 + spread**2)), "n": 7, "ci95": None}
    assert "fcd" in evaluate(tmp_path, *words, "--protocol", "gdss10k")


def rows_of(tmp_path: Path, files: tuple[Path, Path]) -> list[dict[str, str]]:
    evaluate(tmp_path, "molecules", str(files[0]), "--out", str(tmp_path / "rows.csv"))
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_graphs_are_scored_and_judged(tmp_path: Path) -> None:
    sets = {"drawn": ("0 1\n1 2\n", "a b\nb c # twice\n", "0 1\n1 2\n2 0\n"), "test": ("0 1\n0 2\n0 3\n", "0 1\n")}
    for folder, graphs in sets.items():
        (tmp_path / folder).mkdir()
        for i, text in enumerate(graphs):
            (tmp_path / folder / f"{i}.edges").write_text(text)
    drawn, test = str(tmp_path / "drawn"), str(tmp_path / "test")
    metrics = evaluate(tmp_path, "graphs", drawn, "--reference", test, "--train", test, "--kind", "tree")
    shares = {name: metrics[name]["share"] for name in ("valid", "unique", "novel", "vun")}
    assert shares == pytest.approx({"valid": 2 / 3, "unique": 2 / 3, "novel": 1.0, "vun": 1 / 3})
    assert metrics["degree"]["value"] > metrics["degree"]["unbiased"]
    same = evaluate(tmp_path, "graphs", drawn, "--reference", drawn)
    assert all(same[name]["value"] == pytest.approx(0, abs=1e-12) for name in ("degree", "cluster", "orbit", "spectral"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("molecules", "nowhere.smi"), "nowhere.smi: cannot be read"),
        (("graphs", "nowhere.txt", "--reference", "nowhere.txt"), "nowhere.txt: cannot be read"),
        (("pictures",), "invalid choice: 'pictures'"),
        ((), "required: KIND"),
    ],
)
def test_wrong_words_are_refused(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str) -> None:
    assert main(["evaluate", *words]) == 2
    assert message in capsys.readouterr().err
