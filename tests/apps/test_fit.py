"""`polyscore fit`: configuration to model folder, overrides, resuming, several processes, the report."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tests.apps.fit_runs import MODEL, config, fit, start

from polyscore import hub
from polyscore.cli import configs
from polyscore.cli.main import main
from polyscore.cli.report import validate
from polyscore.denoisers import Precondition

EPOCHS = "--trainer.max_epochs"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, with its report beside it."""
    folder = tmp_path_factory.mktemp("finished")
    file = config(folder)
    assert main(fit(file, folder / "run", "--report", str(folder / "report.json"))) == 0
    return folder / "run"


def read(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    validate(report)
    return report


def test_help_is_short_and_needs_no_torch() -> None:
    code = (
        "import sys, contextlib, io\n"
        "from polyscore.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "    main(['fit', '--help'])\n"
        "loaded = {'torch', 'numpy', 'lightning', 'jsonargparse', 'yaml'} & set(sys.modules)\n"
        "print(len(out.getvalue().splitlines()), sorted(loaded))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines, loaded = answer.stdout.split(maxsplit=1)
    assert int(lines) < 60
    assert loaded.strip() == "[]"


def test_a_run_leaves_configuration_checkpoint_log_and_model(finished: Path) -> None:
    written = yaml.safe_load((finished / "config.yaml").read_text())
    assert written["trainer"]["max_epochs"] == 4
    assert written["model"]["init_args"]["optimiser"]["init_args"]["weight_decay"] == 0.0  # a default the file left out
    with (finished / "logs" / "version_0" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(bool(row["train/loss_step"]) for row in rows) == 16
    assert [int(row["epoch"]) for row in rows if row["val/loss"]] == [0, 1, 2, 3]
    model = hub.load(finished / "model", allow=("tests.core.training_parts",))
    assert isinstance(model, Precondition)
    checkpoint = torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 16
    averaged = {name.removeprefix("model."): value for name, value in checkpoint["state_dict"].items()}
    for name, value in model.state_dict().items():
        assert torch.equal(value, averaged[name])
        assert not torch.equal(value, checkpoint["current_model_state"][f"model.{name}"])


def test_the_report(finished: Path) -> None:
    report = read(finished.parent / "report.json")
    assert (report["command"], report["seed"], report["device"], report["nfe"]) == ("fit", 3, "cpu", None)
    assert report["model"] == str(finished / "model")
    (item,) = report["items"]
    assert (item["status"], item["epochs"], item["steps"], item["output"]) == ("done", 4, 16, str(finished / "model"))
    assert set(report["metrics"]) == {"train/loss", "val/loss"}


def test_the_same_command_again_says_it_is_done_and_restores_a_lost_model(finished: Path, tmp_path: Path) -> None:
    before = load_file(finished / MODEL)
    (finished / MODEL).unlink()  # as if it had been killed before its last save
    report = tmp_path / "report.json"
    assert main(fit(finished.parent / "tiny.yaml", finished, "--report", str(report))) == 0
    (item,) = read(report)["items"]
    assert item["status"] == "skipped"
    assert "finished already" in item["error"]
    after = load_file(finished / MODEL)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_another_model_or_data_is_not_mixed_in(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = finished.parent / "tiny.yaml"
    assert main(fit(file, finished, "--data.init_args.batch_size=4")) == 2
    error = capsys.readouterr().err
    assert "holds a run with data.init_args.batch_size = 8, this one has 4" in error
    assert "--resume" in error
    assert main(fit(file, finished, "--resume", str(finished / "nothing.ckpt"))) == 2
    assert "there is no such file" in capsys.readouterr().err


def test_a_longer_run_goes_on_and_the_folder_is_enough(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    file = config(tmp_path, ("decay: cosine", "decay: constant"))
    assert main(fit(file, out, EPOCHS, "2")) == 0
    assert main(["fit", "--resume", "--out", str(out), "--quiet", EPOCHS, "5"]) == 0
    assert main(fit(file, tmp_path / "through", EPOCHS, "5")) == 0
    assert (out / MODEL).read_bytes() == (tmp_path / "through" / MODEL).read_bytes()


def test_the_seed_and_overrides_and_several_files(tmp_path: Path) -> None:
    first = config(tmp_path)
    second = tmp_path / "more.yaml"
    second.write_text("trainer: {max_epochs: 1, limit_train_batches: 2}\n")
    words = ["fit", "-c", str(first), "-c", str(second), "-o", str(tmp_path / "run"), "--quiet", "--seed", "9"]
    assert main([*words, "--data.init_args.count=24", "--model.init_args.objective=polyscore.training.VLoss"]) == 0
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (written["seed_everything"], written["model"]["init_args"]["seed"]) == (9, 9)
    assert written["data"]["init_args"]["count"] == 24
    assert written["model"]["init_args"]["objective"]["class_path"].endswith("VLoss")
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2


def test_two_processes_train_what_one_does_with_twice_the_batch(tmp_path: Path, repository: Path) -> None:
    file = config(tmp_path)
    assert main(fit(file, tmp_path / "one", EPOCHS, "2")) == 0
    more = ("--trainer.devices=2", "--trainer.strategy=ddp", "--data.init_args.batch_size=4")
    process = start(fit(file, tmp_path / "two", EPOCHS, "2", *more, "--report", str(tmp_path / "r.json")), repository)
    _, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors
    (item,) = read(tmp_path / "r.json")["items"]
    assert item["steps"] == 8
    one, two = (load_file(tmp_path / name / MODEL) for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=2e-6)
    files = (tmp_path / name / "checkpoints" / "last.ckpt" for name in ("one", "two"))
    learned = [torch.load(path, weights_only=True)["time_density"] for path in files]
    assert torch.equal(learned[0]["count"], learned[1]["count"])
    torch.testing.assert_close(learned[1]["losses"], learned[0]["losses"], rtol=0, atol=1e-5)


def test_the_loggers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path)
    pytest.importorskip("tensorboard")
    assert main(fit(file, tmp_path / "run", EPOCHS, "1", "--logger", "tensorboard", "--logger", "csv")) == 0
    assert list((tmp_path / "run").glob("tensorboard/*/events.*"))
    assert list((tmp_path / "run").glob("logs/*/metrics.csv"))
    monkeypatch.setattr("polyscore.training.engine.find_spec", lambda name: None)
    assert main(fit(file, tmp_path / "other", "--logger", "wandb")) == 1
    assert "pip install wandb" in capsys.readouterr().err
    monkeypatch.setattr("polyscore.cli.fit.find_spec", lambda name: None)
    assert main(fit(file, tmp_path / "other")) == 1
    assert "pip install 'polyscore[train]'" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_the_digits_configuration_trains_exports_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    out = tmp_path / "digits"
    limits = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1")
    words = ["fit", "--config", "images/digits", "--out", str(out), "--quiet", *limits]
    assert main([*words, "--trainer.callbacks.init_args.every_n_epochs=1"]) == 0  # of the last callback, the preview
    generator = hub.load(out / "model")
    assert type(generator).__name__ == "ImageGenerator"
    checkpoint = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)
    for name, value in generator.state_dict().items():
        assert torch.equal(value, checkpoint["state_dict"][f"model.{name}"]), name  # the averaged weights
    assert [path.name for path in (out / "previews").iterdir()] == ["epoch-0001.png"]


@pytest.mark.parametrize("name", sorted(configs.shipped()))
def test_shipped_configurations_are_found_by_name_and_pass_the_check(name: str) -> None:
    for word in (name, f"configs/{name}.yaml"):
        assert configs.find(word).resolve() == configs.shipped()[name].resolve()
    configs.check(configs.find(name))


def test_a_short_trial_is_a_run_that_goes_on(tmp_path: Path) -> None:
    file, folder = config(tmp_path), tmp_path / "trial"
    assert main(fit(file, folder, "--limit", "4", "--report", str(tmp_path / "short.json"))) == 0
    assert read(tmp_path / "short.json")["items"][0]["steps"] == 4
    assert (folder / MODEL).is_file()
    assert main(fit(file, folder, "--resume", "--report", str(tmp_path / "whole.json"))) == 0
    assert read(tmp_path / "whole.json")["items"][0]["steps"] == 16
