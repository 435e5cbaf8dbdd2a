"""From recording to rollout through the command line, and every shipped configuration of robots for a step."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.robots.parts import policy

from polyscore.cli.main import main
from polyscore.cli.schema import validate
from polyscore.hub import save
from polyscore.robots import Policy
from polyscore.robots.data.readers import read


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("record") / "demos.npz"
    assert main(["data", "record", "--episodes", "8", "-o", str(path), "--quiet"]) == 0
    return path


def fit(config: str, data: Path, out: Path, *more: str) -> int:
    sizes = ["--data.init_args.batch_size", "4", "--data.init_args.steps_per_epoch", "2", "--trainer.max_epochs", "1"]
    words = ["fit", "--config", config, "--data.init_args.path", str(data), "--out", str(out), "--quiet", *sizes, *more]
    return main([*words, "--trainer.accelerator", "cpu"])


@pytest.fixture(scope="module")
def trained(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fit")
    assert fit("robots/push", recorded, out) == 0
    return out / "model"


def test_recordings_are_seeded_and_inspected(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = tmp_path / "again.npz"
    assert main(["data", "record", "--episodes", "8", "-o", str(again), "--quiet"]) == 0
    assert read(again).fingerprint() == read(recorded).fingerprint()
    assert main(["data", "inspect", str(recorded), "--report", str(tmp_path / "r.json")]) == 0
    shown = capsys.readouterr().out
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    validate(report)
    found = report["metrics"]
    data = read(recorded)
    assert found["episodes"] == 8
    assert found["fingerprint"] == data.fingerprint() and data.fingerprint() in shown
    assert sum(found["action_histograms"][1]["counts"]) == len(data.actions)
    np.testing.assert_allclose(found["actions"]["std"], data.actions.double().std(0, correction=0), rtol=1e-9)
    before, after = (np.concatenate(p) for p in zip(*[(e.actions[:-1], e.actions[1:]) for e in data], strict=True))
    inputs = np.c_[before, np.ones(len(before))].astype(np.float64)
    rest = after - inputs @ np.linalg.lstsq(inputs, after.astype(np.float64), rcond=None)[0]
    assert found["copycat_r2"] == pytest.approx(1 - (rest**2).sum() / ((after - after.mean(0)) ** 2).sum(), abs=1e-6)


def test_a_trained_policy_knows_its_data(trained: Path, recorded: Path) -> None:
    model = Policy.from_pretrained(trained)
    data = read(recorded)
    train, _ = data.split(0.95)
    assert model.data == {"fingerprint": train.fingerprint(), "episodes": 7, "frames": len(train.observations)}
    states = model.encode(train.observations)
    assert float(states.mean(0).abs().max()) < 1e-3
    assert float(model.normaliser.action(train.actions).abs().max()) == pytest.approx(1.0, abs=1e-5)
    model.check(data)


def test_rollout_writes_what_it_measured(trained: Path, tmp_path: Path) -> None:
    words = ["rollout", "--model", str(trained), "--episodes", "3", "--batch-size", "2", "--save-dataset", "--quiet"]
    assert main([*words, "-o", str(tmp_path / "a")]) == 0
    report = json.loads((tmp_path / "a" / "report.json").read_text(encoding="utf-8"))
    validate(report)
    metrics = report["metrics"]
    assert report["nfe"] == 3
    assert metrics["full_success"]["n"] == 3
    assert 0 < metrics["latency_ms"]["p50"] <= metrics["latency_ms"]["p95"] <= metrics["latency_ms"]["p99"]
    assert 0 <= metrics["order_entropy_bits"] <= 2
    with (tmp_path / "a" / "episodes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["0", "1", "2"]
    assert [row["asked"] for row in rows] == ["0-3", "1-2", "2-1"]
    kept = read(tmp_path / "a" / "rollouts.npz")
    assert kept.lengths.tolist() == [int(row["steps"]) for row in rows]
    films = {path.stem for path in (tmp_path / "a").iterdir() if path.suffix in {".mp4", ".gif"}}
    assert films == {"grid", "best", "worst"}
    # the same episodes alone, guided, and late
    assert (
        main([*words, "-o", str(tmp_path / "b"), "--no-films", "--cfg", "1.5", "--steps", "2", "--simulate-latency", "80"]) == 0
    )
    assert json.loads((tmp_path / "b" / "report.json").read_text(encoding="utf-8"))["nfe"] == 2


def play(folder: Path, *, kitchen: bool) -> Path:
    random = np.random.default_rng(0)
    size, widths = (6, 30), (60, 9) if kitchen else (16, 2)
    arrays = [random.normal(size=(*size, widths[0])), random.normal(size=(*size, widths[1])), np.ones(size)]
    names = [f"multimodal_push_{part}" for part in ("observations", "actions", "masks")]
    if kitchen:
        arrays, names = [a.swapaxes(0, 1) for a in arrays], ["observations_seq", "actions_seq", "existence_mask"]
    for name, array in zip(names, arrays, strict=True):
        np.save(folder / f"{name}.npy", array)
    return folder


@pytest.mark.parametrize("name", ["beso_block", "beso_kitchen"])
def test_the_published_settings_train(name: str, tmp_path: Path) -> None:
    kitchen = name.endswith("kitchen")
    data = tmp_path / "data"
    data.mkdir()
    assert fit(f"robots/{name}", play(data, kitchen=kitchen), tmp_path / "run") == 0
    model = Policy.from_pretrained(tmp_path / "run" / "model")
    network: Any = model.denoiser.network
    assert sum(p.numel() for p in network.parameters()) == (9_381_249 if kitchen else 2_783_762)
    if kitchen:
        assert bool((model.normaliser.state.scale == 1).all())


def test_what_cannot_be_done_is_said(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect"]) == 2
    assert main(["data", "record", "-o", str(tmp_path / "a.txt")]) == 2
    assert main(["data", "inspect", str(tmp_path / "none.npz")]) == 1
    assert main(["rollout", "--model", str(trained), "-o", str(tmp_path / "o"), "--sampler", "ddmi"]) == 2
    save(tmp_path / "toy", policy())
    assert main(["rollout", "--model", str(tmp_path / "toy"), "-o", str(tmp_path / "o")]) == 2
    errors = capsys.readouterr().err
    for text in ("which data?", ".npz file", "no such file", "'ddmi' is unknown", "trained for toy"):
        assert text in errors
