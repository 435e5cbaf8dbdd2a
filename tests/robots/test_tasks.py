"""What is asked in every environment, how it is judged, and rollouts in PushT."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyscore.cli.main import main
from polyscore.cli.schema import validate
from polyscore.denoisers import Precondition
from polyscore.errors import InputError
from polyscore.hub import save
from polyscore.processes import EDM
from polyscore.robots import First, Normaliser, Policy, Scaling, ScoreGPT, environments
from polyscore.robots.data.readers import read
from polyscore.robots.environments.kitchen import TASKS, Kitchen
from polyscore.robots.environments.painting import tee
from polyscore.robots.environments.pairs import ORDERS, PairsReached, inside
from polyscore.robots.environments.tee import GOAL, SIDE, coverage
from polyscore.robots.film import mosaic
from polyscore.robots.futures import fans
from polyscore.robots.recording import record, record_metaworld
from polyscore.robots.rollout import rollout
from polyscore.robots.tasks import Asked, task


def tee_pusher() -> Policy:
    """A policy for PushT that has learned nothing, whose pusher goes anywhere."""
    network = ScoreGPT(5, 2, window=3, width=16, layers=1, heads=2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    denoiser = Precondition(network, EDM(1.0, 0.05), predicts="edm", time="edm")
    model = Policy(denoiser, Normaliser(Scaling(5), Scaling(2)), First(5, keep=(2, 3, 4)), environment="pusht")
    model.normaliser.action.fit(torch.tensor([[0.1, 0.1], [SIDE - 0.1, SIDE - 0.1]]), "range")
    return model.eval()


def test_results_are_shares_of_what_was_asked() -> None:
    push, kitchen, pusht = task("push"), task("kitchen"), task("pusht")
    assert push.result(Asked((1, 2), None), (1,), [0.49]) == 0.5
    assert push.result(Asked((1, 2), None), (0, 3), [1.0]) == 0.0
    assert push.result(Asked((1, 2), None), (2, 3, 1), [1.0]) == 1.0
    assert kitchen.result(Asked(("kettle", "microwave"), None), ("kettle", "top burner"), [2.0]) == 0.5
    assert pusht.result(Asked(("in place",), None), (), [0.2, 0.7, 0.4]) == 0.7
    with pytest.raises(InputError, match="'kitchn' is unknown"):
        task("kitchn")


def test_goals_are_what_was_asked() -> None:
    push, pusht = task("push"), task("pusht")
    env = push.make()
    for seed, order in enumerate(ORDERS):
        seen = env.reset(seed=seed)[0]
        asked = push.ask(env, seed, seen)
        assert asked.expected == order and asked.goal is not None
        assert sorted(2 * b + t for b, t in np.argwhere(inside(asked.goal)).tolist()) == sorted(order)
        np.testing.assert_array_equal(np.delete(asked.goal, [0, 1, 3, 4]), np.delete(seen, [0, 1, 3, 4]))
    env = pusht.make()
    seen = env.reset(seed=0)[0]
    goal = pusht.ask(env, 0, seen).goal
    assert goal is not None and coverage(goal[2:]) == pytest.approx(1.0, abs=1e-6)
    stood = env.step(pusht.stays(seen))[0]
    np.testing.assert_allclose(stood, seen, atol=1e-4)


def test_the_kitchen_asks_for_four_tasks_and_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the indices and the goals of a stand-in; the environment itself is not made."""
    known = types.ModuleType("gymnasium_robotics.envs.franka_kitchen.kitchen_env")
    places = {name: np.array([9 + 3 * i, 10 + 3 * i]) for i, name in enumerate(TASKS)}
    known.OBS_ELEMENT_INDICES = places  # type: ignore[attr-defined]
    known.OBS_ELEMENT_GOALS = {name: np.array([i, -i]) + 0.5 for i, name in enumerate(TASKS)}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, known.__name__, known)
    env = Kitchen.__new__(Kitchen)
    env.tasks = TASKS
    seen = np.full(30, 7.0, np.float32)
    asked = [task("kitchen").ask(env, seed, seen) for seed in range(20)]
    for one in asked:
        assert len(set(one.expected)) == 4 and set(one.expected) <= set(TASKS) and one.goal is not None
        changed = sorted(np.flatnonzero(one.goal != seen).tolist())
        assert changed == sorted(i for name in one.expected for i in places[str(name)].tolist())
        assert all(float(one.goal[places[str(name)][0]]) == TASKS.index(str(name)) + 0.5 for name in one.expected)
    assert len({one.expected for one in asked}) > 10


def test_pairs_are_noted_in_their_order() -> None:
    pairs, seen = PairsReached(), np.zeros(16)
    seen[[0, 3, 10, 13]] = 0.0, 1.0, 2.0, 3.0
    assert not pairs.see(seen) and pairs.completed == []
    seen[3] = 2.03
    assert not pairs.see(seen) and pairs.completed == [2]
    seen[0] = 2.0
    assert not pairs.see(seen) and pairs.completed == [2, 0]  # both in one target
    seen[0] = 3.049
    assert pairs.see(seen) and pairs.completed == [2, 0, 1]


def test_the_painted_t_covers_its_area() -> None:
    """The T over its place hides it; elsewhere both have the area 6,300 mm^2 of 512^2."""
    for pose, shares in ((GOAL, (6300, 0)), ((0.1, 0.1, 0.0), (6300, 6300))):
        picture = tee(np.array([0.48, 0.48, *pose], np.float32), size=256).reshape(-1, 3)
        for colour, share in zip(((120, 130, 150), (168, 214, 176)), shares, strict=True):
            found = (picture == colour).all(1).mean() * (1000 * SIDE) ** 2
            assert found == pytest.approx(share, rel=0.06)


def test_rollouts_in_pusht_from_the_command_line(tmp_path: Path) -> None:
    save(tmp_path / "model", tee_pusher())
    words = ["rollout", "--model", str(tmp_path / "model"), "--env", "pusht", "--episodes", "2", "--steps", "1", "--save-dataset"]
    assert main([*words, "-o", str(tmp_path / "r"), "--no-films", "--quiet"]) == 0
    report = json.loads((tmp_path / "r" / "report.json").read_text(encoding="utf-8"))
    validate(report)
    assert report["metrics"]["tasks"] == {"in place": 0} and report["metrics"]["full_success"]["share"] == 0.0
    kept = read(tmp_path / "r" / "rollouts.npz")
    assert kept.about["environment"] == "pusht" and kept.lengths.tolist() == [300, 300]
    covered = [max(coverage(o[2:].double().numpy()) for o in e.observations[1:]) for e in kept]
    assert report["metrics"]["result"]["mean"] == pytest.approx(np.mean(np.minimum(np.array(covered) / 0.95, 1)), abs=0.02)


def test_late_actions_leave_the_pusher_where_it_is() -> None:
    model, within = tee_pusher(), task("pusht")
    (outcome,) = rollout(model, 1, within=within, seed=4, limit=6, delay=3)
    np.testing.assert_allclose(outcome.actions[:3], np.repeat(outcome.observations[:1, :2], 3, 0))
    np.testing.assert_allclose(outcome.observations[3, :2], outcome.observations[0, :2], atol=1e-4)
    assert np.abs(outcome.actions[3:] - outcome.observations[0, :2]).max() > 0.01
    plain, drawn = (list(mosaic(within, [outcome], fan, size=64)) for fan in (None, fans(model, [outcome], count=3)))
    assert len(drawn) == len(plain) == 4 and plain[0].shape == (68, 68, 3)  # with a gap of 2 around
    violet = [int((frame.astype(int) @ (0, -1, 1) > 30).sum()) for frame in (plain[2], drawn[2], drawn[3])]
    assert violet[1] > violet[0] and violet[2] == 0  # three draws; at the end there is none


def test_what_is_absent_or_does_not_fit_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tee_pusher()
    save(tmp_path / "pusht", model)
    model.environment = "kitchen"
    save(tmp_path / "kitchen", model)
    monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
    common = ["-o", str(tmp_path / "o"), "--episodes", "1", "--quiet"]
    assert main(["rollout", "--model", str(tmp_path / "pusht"), *common]) == 2
    assert main(["rollout", "--model", str(tmp_path / "pusht"), "--env", "pusht", "--task", "reach-v3", *common]) == 2
    assert main(["rollout", "--model", str(tmp_path / "kitchen"), "--env", "kitchen", *common]) != 0
    record_kitchen = ["data", "record", "--env", "kitchen", "-o", str(tmp_path / "a.npz"), "--quiet"]
    assert main(record_kitchen) != 0
    errors = capsys.readouterr().err
    for text in ("trained for pusht, not for --env push", "pusht has one task", "pip install gymnasium-robotics", "no scripted"):
        assert text in errors


def test_an_expert_that_never_arrives_is_given_up() -> None:
    with pytest.raises(InputError, match="too much noise"):
        list(record(1, noise=0.05, tolerance=0.0005))


def test_the_script_of_meta_world_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the environment whose expert succeeds from even seeds."""
    class Env:
        task = "reach-v3"

        def expert(self) -> Any:
            return lambda seen: np.full(4, 0.5, np.float32)

        def reset(self, *, seed: int) -> tuple[Any, dict[str, Any]]:
            self.seed, self.steps = seed, 0
            return np.zeros(39, np.float32), {"completed": ()}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.steps += 1
            done = self.steps == 3 and self.seed % 2 == 0
            return np.full(39, self.steps, np.float32), 0.0, done, self.steps == 5, {"completed": ("reach-v3",) * done}

    monkeypatch.setattr(environments, "make", lambda name, **options: Env())
    made = list(record_metaworld("reach-v3", 2, seed=1))
    assert [about["seed"] for _, about in made] == [2, 4]
    assert [len(episode.actions) for episode, _ in made] == [4, 4]
    assert made[0][0].observations[:, 0].tolist() == [0, 1, 2, 3] and made[0][0].actions[:, 0].tolist() == [0.5, 0.5, 0.5, 0.0]
