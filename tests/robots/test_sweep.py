"""Sweeps over settings, the page of a rollout, fans of draws, and mini-rollouts in training."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.robots.parts import policy

from polyscore.cli.main import main
from polyscore.cli.rollout_sweep import axes
from polyscore.cli.schema import validate
from polyscore.denoisers import Precondition
from polyscore.errors import ConfigError, InputError
from polyscore.hub import save
from polyscore.processes import EDM
from polyscore.robots import First, MiniRollouts, Normaliser, Policy, PushRelative, Sampling, Scaling, ScoreGPT
from polyscore.robots.futures import fans
from polyscore.robots.rollout import rollout


def pusher(environment: str = "push", features: Any = PushRelative()) -> Policy:  # noqa: B008
    """A policy that has learned nothing, with actions of up to 3 cm."""
    network = ScoreGPT(features.width, 2, window=3, width=16, layers=1, heads=2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
    model = Policy(
        Precondition(network, EDM(1.0, 0.05), predicts="edm", time="edm"),
        Normaliser(Scaling(features.width), Scaling(2)),
        features,
        environment=environment,
    )
    model.normaliser.action.fit(0.03 * torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), "range")
    return model.eval()


def test_axes_are_read() -> None:
    assert axes(["steps=1,3", "cfg=0,1.5", "sampler=ddim"]) == {"steps": [1, 3], "cfg": [0.0, 1.5], "sampler": ["ddim"]}
    assert list(axes([])) == ["sampler", "steps", "cfg"]
    for wrong in (["stairs=1"], ["steps=one"], ["steps"], ["steps=1", "steps=2"], ["cfg=nan"]):
        with pytest.raises(InputError, match="--sweep"):
            axes(wrong)


def cells_of(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Outcomes of the cells of a sweep."""
    contents = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / "cells").iterdir())}
    return {
        name: [(row["seed"], row["steps"], row["reward"], row["completed"]) for row in content["episodes"]]
        for name, content in contents.items()
    }


def test_a_sweep_is_what_its_rollouts_are_and_goes_on(tmp_path: Path) -> None:
    save(tmp_path / "model", pusher())
    common = ["rollout", "--model", str(tmp_path / "model"), "--episodes", "1", "--seed", "7", "--quiet"]
    sweep = [*common, "-o", str(tmp_path / "s"), "--jobs", "1", "--sweep", "steps=1", "cfg=0,1,2"]
    assert main(sweep) == 0
    report = json.loads((tmp_path / "s" / "report.json").read_text(encoding="utf-8"))
    validate(report)
    assert [cell["cfg"] for cell in report["metrics"]["cells"]] == [0.0, 1.0, 2.0]
    for picture in ("sweep.png", "guidance.png"):
        assert (tmp_path / "s" / picture).read_bytes().startswith(b"\x89PNG")
    # one cell against a rollout of its own
    assert main([*common, "-o", str(tmp_path / "r"), "--no-films", "--steps", "1", "--cfg", "0"]) == 0
    (alone,) = json.loads((tmp_path / "r" / "report.json").read_text(encoding="utf-8"))["items"]
    assert cells_of(tmp_path / "s")["steps-1_cfg-0"] == [(7, alone["steps"], alone["reward"], [])]
    # a cell that is lost or of other episodes is made again, the other is kept
    cells = sorted((tmp_path / "s" / "cells").iterdir())
    times = {path: path.stat().st_mtime_ns for path in cells}
    cells[0].unlink()
    cells[1].write_text(cells[1].read_text(encoding="utf-8").replace('"seed": 7', '"seed": 8'), encoding="utf-8")
    assert main(sweep) == 0
    assert [path.stat().st_mtime_ns == times[path] for path in cells] == [False, False, True]
    states = [item["status"] for item in json.loads((tmp_path / "s" / "report.json").read_text(encoding="utf-8"))["items"]]
    assert sorted(states) == ["done", "done", "skipped"]


@pytest.mark.slow
def test_several_processes_find_the_same(tmp_path: Path) -> None:
    save(tmp_path / "model", pusher())
    for jobs in ("1", "2"):
        words = ["rollout", "--model", str(tmp_path / "model"), "--episodes", "2", "-o", str(tmp_path / jobs), "--jobs", jobs]
        assert main([*words, "--quiet", "--sweep", "steps=1,2", "history=keep,renoise"]) == 0
    assert cells_of(tmp_path / "1") == cells_of(tmp_path / "2")


def test_the_page_holds_everything(tmp_path: Path) -> None:
    save(tmp_path / "model", pusher("block push", First(10, keep=(0, 1, 3, 4))))  # as the published block push is made
    assert main(["rollout", "--model", str(tmp_path / "model"), "--episodes", "2", "-o", str(tmp_path / "r"), "--quiet"]) == 0
    page = (tmp_path / "r" / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=['"](?!data:)""", page)
    assert page.count("src='data:") == 3
    assert "full success" in page and "<svg" in page and "seed 1" in page


def test_a_fan_is_the_policys_own_and_remembers_what_was_done() -> None:
    model = pusher()
    outcomes = list(rollout(model, 2, seed=3, limit=6))
    drawn = fans(model, outcomes, count=3)
    assert [fan.shape for fan in drawn] == [(6, 3, 2)] * 2
    # the draws of an episode do not depend on its neighbours
    np.testing.assert_allclose(fans(model, outcomes[1:], count=3)[0], drawn[1], atol=1e-6)
    # at every step the memory holds what was executed: a draw by hand along the episode
    seed = 1_000_003 * (outcomes[0].seed + 1) + 2
    model.reset()
    for step in range(6):
        action = model.act(outcomes[0].observations[step], outcomes[0].goal, seed=seed)
        np.testing.assert_allclose(action, drawn[0][step, 2], atol=1e-6)
        model._actions[-1] = model.normaliser.action(torch.as_tensor(outcomes[0].actions[step]))[None]
    assert float(drawn[0].std(1).mean()) > 1e-4
    model.reset()
    with pytest.raises(InputError, match="act.* comes first"):
        model.correct([0.0, 0.0])
    model.act(outcomes[0].observations[0], outcomes[0].goal)
    with pytest.raises(InputError, match="expected"):
        model.correct([0.0, 0.0, 0.0])
    with pytest.raises(InputError, match="no episodes|0 episodes"):
        fans(model, [])


def test_mini_rollouts_are_logged_and_warn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "demos.npz"
    assert main(["data", "record", "--episodes", "4", "-o", str(data), "--quiet"]) == 0
    callback = "polyscore.robots.MiniRollouts"
    words = ["fit", "--config", "robots/push", "--data.init_args.path", str(data), "--out", str(tmp_path / "run"), "--quiet"]
    words += ["--data.init_args.batch_size", "4", "--data.init_args.steps_per_epoch", "2", "--trainer.max_epochs", "2"]
    words += [f"--trainer.callbacks+={callback}", "--trainer.callbacks.every_n_steps=1", "--trainer.callbacks.episodes=2"]
    words += ["--trainer.callbacks.limit=5", "--trainer.callbacks.patience=3"]
    assert main(words) == 0
    assert capsys.readouterr().err.count("after 3 steps no episode has earned anything") == 1
    (log,) = (tmp_path / "run" / "logs").rglob("metrics.csv")
    with log.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = [row["rollout/full_success"] for row in rows if row.get("rollout/full_success")]
    assert [float(value) for value in found] == [0.0, 0.0]


def test_mini_rollouts_refuse_what_they_cannot_run() -> None:
    with pytest.raises(InputError, match="1 or more"):
        MiniRollouts(0)
    module: Any = type("Module", (), {"model": policy()})()
    with pytest.raises(ConfigError, match="environment 'toy' is unknown"):
        MiniRollouts().on_fit_start(None, module)  # type: ignore[arg-type]


def test_sampling_of_a_cell_is_checked_before_the_first_episode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "model", pusher())
    words = ["rollout", "--model", str(tmp_path / "model"), "-o", str(tmp_path / "s"), "--sweep", "sampler=ddim,ddmi"]
    assert main(words) == 2
    assert "'ddmi' is unknown" in capsys.readouterr().err
    assert not list((tmp_path / "s" / "cells").glob("*")) if (tmp_path / "s" / "cells").exists() else True
    assert Sampling().sampler == "ddim"
