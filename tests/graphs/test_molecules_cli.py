"""`polyscore molecules` from a small model: files, report, seeds, conditions, resumption, refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

pytest.importorskip("rdkit")
from rdkit import Chem

from polyscore import hub
from polyscore.cli.main import main
from polyscore.cli.molecule_page import histogram
from polyscore.cli.report import validate
from polyscore.graphs import (
    GraphDenoiser,
    GraphGenerator,
    PropertyRegressor,
    ScoreNetworkA,
    ScoreNetworks,
    ScoreNetworkX,
    Settings,
)
from polyscore.graphs.chem.conditions import parse_conditions
from polyscore.graphs.processes import graph_process
from polyscore.processes import VE


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows nothing: its molecules are noise, corrected."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        adj = ScoreNetworkA(3, 7, 8, num_layers=2, num_linears=2, c_init=2, c_hid=3, c_final=2, adim=8, num_heads=2)
        networks = ScoreNetworks(ScoreNetworkX(3, 2, 8), adj)
    process = graph_process(VE(0.1, 1.0), VE(0.1, 1.0))
    presets = {"exact": Settings(steps=6), "fast": Settings("s4", 4)}
    sizes, atoms = (0, 0, 0, 1, 2, 3, 2, 1), (6, 7, 8)
    denoiser = GraphDenoiser(networks, process, {"x": "score", "adj": "score"})
    return hub.save(tmp_path_factory.mktemp("model") / "tiny", GraphGenerator(denoiser, 3, sizes, atoms=atoms, presets=presets))


def molecules(model: Path, out: Path, *words: str) -> int:
    return main(["molecules", "--model", str(model), "-o", str(out), "--quiet", "--device", "cpu", *words])


def table(out: Path) -> list[dict[str, str]]:
    with (out / "molecules.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def report_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "report.json").read_text())
    validate(found)
    return found


def test_all_files_agree(model: Path, tmp_path: Path) -> None:
    training = tmp_path / "training.smi"
    training.write_text("smiles\nCCO\nCC\nC1CC1 other words\nnot-a-smiles\n")
    code = molecules(model, tmp_path / "out", "-n", "12", "--batch-size", "5", "--reference", str(training))
    rows, report = table(tmp_path / "out"), report_of(tmp_path / "out")
    failed = [item for item in report["items"] if item["status"] == "failed"]
    assert len(rows) + len(failed) == 12 and code == int(bool(failed))
    smiles = (tmp_path / "out" / "molecules.smi").read_text().split()
    assert smiles == [row["smiles"] for row in rows]
    structures = list(Chem.SDMolSupplier(str(tmp_path / "out" / "molecules.sdf")))
    assert [Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False) for mol in structures] == smiles
    for row in rows:
        assert Chem.MolToSmiles(Chem.MolFromSmiles(row["smiles"])) == row["smiles"]
        assert row["novel"] == str(int(row["smiles"] not in ("CCO", "CC", "C1CC1")))
        assert 0 <= float(row["nearest_tanimoto"]) <= 1 and len(row["inchikey"]) == 27
    metrics = report["metrics"]
    assert metrics["candidates"] == 12 and metrics["validity_without_correction"]["n"] == 12
    strict, plain = (metrics[name]["share"] for name in ("validity_strict", "validity_without_correction"))
    assert strict <= plain <= metrics["validity"]["share"]
    assert {"uniqueness", "novelty", "nspdk", "charged", "connected", "largest_ring", "cpu_seconds_per_molecule"} <= set(metrics)
    assert report["nfe"] == 4
    for name, start in (("grid.png", b"\x89PNG"), ("trajectory.gif", b"GIF8")):
        assert (tmp_path / "out" / name).read_bytes().startswith(start)


def test_the_page_stands_alone(model: Path, tmp_path: Path) -> None:
    training = tmp_path / "training.smi"
    training.write_text("CCO\nCC\nC1CC1\n")
    molecules(model, tmp_path / "out", "-n", "5", "--reference", str(training))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    root = ElementTree.fromstring(page.removeprefix("<!doctype html>").replace("<meta charset='utf-8'>", ""))  # well-formed
    assert not {"src", "href"} & {name for node in root.iter() for name in node.attrib} and "@import" not in page
    captions = " ".join("".join(node.itertext()) for node in root.iter("figcaption"))
    for row in table(tmp_path / "out"):
        assert row["smiles"] in captions
    bars = list(ElementTree.fromstring(histogram([0.0, 0.0, 1.0, 2.0], [1.0])).iter("rect"))
    heights = [float(bar.attrib["height"]) for bar in bars]
    assert [round(h / heights[1], 2) for h in heights] == [2.0, 1.0, 1.0]  # shares of a half and two quarters
    assert bars[-1].attrib["x"] == "249.2"  # the largest value is in the last of 24 bins


def test_batches_and_resumption_change_nothing(model: Path, tmp_path: Path) -> None:
    words = ("-n", "9", "--seed", "4", "--no-pictures")
    molecules(model, tmp_path / "one", *words, "--batch-size", "9")
    molecules(model, tmp_path / "two", *words, "--batch-size", "2")
    (tmp_path / "two" / "shards" / "shard-000002.safetensors").unlink()
    assert molecules(model, tmp_path / "two", *words, "--batch-size", "2") == 2  # there is a run already
    assert molecules(model, tmp_path / "two", *words, "--batch-size", "3", "--resume") == 2  # the parts are cut otherwise
    molecules(model, tmp_path / "two", *words, "--batch-size", "2", "--resume")
    assert table(tmp_path / "one") == table(tmp_path / "two")
    assert [int(row["seed"]) for row in table(tmp_path / "one")] == sorted(int(row["seed"]) for row in table(tmp_path / "two"))


def test_ctrl_c_keeps_what_is_finished(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, draw = [], GraphGenerator.sample

    def interrupted(self: GraphGenerator, *args: Any, **words: Any) -> Any:
        drawn.append(1)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(self, *args, **words)

    monkeypatch.setattr(GraphGenerator, "sample", interrupted)
    assert molecules(model, tmp_path / "out", "-n", "8", "--batch-size", "2", "--no-pictures") == 130
    assert report_of(tmp_path / "out")["metrics"]["candidates"] == 4
    assert report_of(tmp_path / "out")["items"][-1]["error"] == "interrupted"
    monkeypatch.undo()
    molecules(model, tmp_path / "out", "-n", "8", "--batch-size", "2", "--no-pictures", "--resume")
    assert report_of(tmp_path / "out")["metrics"]["candidates"] == 8


def test_conditions_hold_for_every_molecule(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--scaffold", "CCO", "--size", "5-7", "--max-ring", "6", "--target", "mw<130, ring<=5", "--no-pictures")
    assert molecules(model, out, "-n", "6", "--tries", "40", *words) == 0
    rows = table(out)
    assert len(rows) == 6
    for row in rows:
        assert Chem.MolFromSmiles(row["smiles"]).HasSubstructMatch(Chem.MolFromSmiles("CCO"))
        assert float(row["mw"]) < 130 and float(row["largest_ring"]) <= 5
    assert report_of(out)["metrics"]["candidates"] >= 6


def test_steering_is_resumed_and_reported(model: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        regressor = hub.save(tmp_path / "regressor", PropertyRegressor(7, 3, 2, 8))
    words = ("-n", "6", "--no-pictures", "--scaffold", "CO", "--tries", "9")
    assert molecules(model, tmp_path / "out", *words, "--steer", str(regressor), "--steer-weight", "2") == 0
    rows, metrics = table(tmp_path / "out"), report_of(tmp_path / "out")["metrics"]
    values = [float(row["steered_property"]) for row in rows]
    assert metrics["steered_property"]["mean"] == pytest.approx(sum(values) / 6) and 0 < metrics["internal_diversity"] < 1
    assert molecules(model, tmp_path / "out", *words, "--steer", str(regressor), "--resume") == 2  # another strength
    molecules(model, tmp_path / "plain", *words)
    assert [row["smiles"] for row in table(tmp_path / "plain")] != [row["smiles"] for row in rows]


def numbers(out: Path, name: str) -> dict[str, Any]:
    return {key.removeprefix(f"{name}_"): value for key, value in report_of(out)["metrics"].items() if key.startswith(f"{name}_")}


def test_selection_keeps_the_best_of_each_island_whatever_the_batch(model: Path, tmp_path: Path) -> None:
    words = ("-n", "5", "--no-pictures", "--resample", "qed", "--island", "4", "--resample-scale", "40", "--seed", "2")
    assert molecules(model, tmp_path / "out", *words, "--batch-size", "8") == 0
    assert molecules(model, tmp_path / "single", *words, "--batch-size", "1", "--compare", "0") == 0
    rows, metrics = table(tmp_path / "out"), report_of(tmp_path / "out")["metrics"]
    assert [row["smiles"] for row in table(tmp_path / "single")] == [row["smiles"] for row in rows]
    assert not numbers(tmp_path / "single", "plain")
    assert metrics["candidates"] == 20 and [(int(row["seed"]) - 2) // 4 for row in rows] == [0, 1, 2, 3, 4]
    assert all(float(row["steered_property"]) == pytest.approx(float(row["qed"]), abs=1e-4) for row in rows)
    # as many network calls go into the best of four plain molecules as into an island of four
    steered, best, plain = (numbers(tmp_path / "out", name) for name in ("compared", "best_of_n", "plain"))
    assert metrics["best_of_n"] == 4 and metrics["network_calls"] == report_of(tmp_path / "out")["nfe"] == 16
    assert steered["aim"]["mean"] == pytest.approx(metrics["qed"]["mean"], abs=1e-3)
    assert best["aim"]["mean"] > plain["aim"]["mean"] and best["aim"]["n"] == plain["aim"]["n"] == 5
    assert {"qed", "validity_without_correction", "uniqueness", "internal_diversity"} <= set(plain)
    before = table(tmp_path / "out")
    (tmp_path / "out" / "shards-plain" / "shard-000000.safetensors").unlink()
    assert molecules(model, tmp_path / "out", *words, "--batch-size", "8", "--resume") == 0
    assert table(tmp_path / "out") == before and numbers(tmp_path / "out", "best_of_n") == best


def test_a_regressor_can_be_the_aim_and_a_gradient_at_once(model: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        regressor = str(hub.save(tmp_path / "regressor", PropertyRegressor(7, 3, 2, 8)))
    words = ("-n", "3", "--no-pictures", "--resample", regressor, "--island", "2")
    both = (*words, "--steer", regressor, "--steer-away", "0.04")
    assert molecules(model, tmp_path / "both", *both) == 0
    metrics = report_of(tmp_path / "both")["metrics"]
    assert metrics["best_of_n"] == 4 and 0 < metrics["compared_aim"]["mean"] < 1
    assert molecules(model, tmp_path / "both", *words, "--steer", regressor, "--resume") == 2  # without --steer-away
    lower = ("-n", "3", "--no-pictures", "--resample", "low-mw", "--island", "6", "--resample-scale", "1")
    assert molecules(model, tmp_path / "low", *lower) == 0
    found = [numbers(tmp_path / "low", name)["aim"]["mean"] for name in ("compared", "plain")]
    assert found[1] < found[0] < 0  # weights with a minus sign


def test_too_few_is_a_failure_that_says_so(model: Path, tmp_path: Path) -> None:
    assert molecules(model, tmp_path, "-n", "3", "--tries", "2", "--target", "qed>=0.99", "--no-pictures") == 1
    assert "0 of 3 molecules: 6 candidates met no more" in report_of(tmp_path)["items"][-1]["error"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "9"), "sizes from 3 to 7"),
        (("--size", "7-5"), "expected a number of nodes"),
        (("--scaffold", "CCF"), "holds F; this model knows C N O"),
        (("--scaffold", "[C,N]CC"), "may be of several kinds"),
        (("--scaffold", "CCCCCCCC"), "has 8 atoms; expected at most 7"),
        (("--scaffold", "C(("), "neither SMILES nor SMARTS"),
        (("--target", "beauty>1"), "expected one of qed"),
        (("--sampler", "magic"), "expected one of pc, s4"),
        (("--reference", "nowhere.smi"), "nowhere.smi: cannot be read"),
        (("--resample", "beauty"), "'beauty' is no property and no file; expected one of qed"),
        (("--resample", "qed", "--resample-scale", "-1"), "expected 0 or more"),
        (("--resample", "qed", "--sampler", "multistep"), "expected at least 1 and 1, and a stepper"),
    ],
)
def test_wrong_words_are_refused_in_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert molecules(model, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "molecules.csv").exists()


def test_conditions_are_read_as_written() -> None:
    one, two = parse_conditions("qed > 0.6,ring<=7")
    assert str(one) == "qed>0.6" and (two.name, two.bound) == ("largest_ring", 7.0)
    assert one({"qed": 0.61}) and not one({"qed": 0.6}) and two({"largest_ring": 7.0})
