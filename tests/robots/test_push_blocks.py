"""PushBlocks: the rules of the task, physics that answers pushes, seeds, the expert, and demonstrations with noise."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from polyscore.errors import InputError
from polyscore.robots.environments import make, register
from polyscore.robots.environments.pairs import ORDERS
from polyscore.robots.environments.push import ORIGIN, WORKSPACE, PushBlocks
from polyscore.robots.oracle import PushOracle
from polyscore.robots.recording import demonstrate, record


def scene(blocks: Any = ((0.4, -0.2), (0.5, -0.1)), targets: Any = ((0.3, 0.2), (0.5, 0.2)), effector: Any = ORIGIN) -> Any:
    rows = [(*b, 0.0) for b in blocks], [(*t, 0.0) for t in targets]
    return {"observation": np.concatenate([np.ravel(rows[0]), effector, effector, np.ravel(rows[1])])}


def test_gymnasium_accepts_it() -> None:
    register()
    check_env(gymnasium.make("polyscore/PushBlocks-v0").unwrapped, skip_render_check=True)
    vector = gymnasium.make_vec("polyscore/PushBlocks-v0", num_envs=3)
    first, _ = vector.reset(seed=5)
    single, _ = PushBlocks().reset(seed=6)
    np.testing.assert_array_equal(first[1], single)
    vector.close()


def test_starts_keep_their_distances_and_both_sides() -> None:
    env, left = PushBlocks(), 0
    for seed in range(100):
        o, _ = env.reset(seed=seed)
        assert np.linalg.norm(o[0:2] - o[3:5]) > 0.1
        assert np.linalg.norm(o[10:12] - o[13:15]) > 0.12
        assert (np.abs(o[[1, 4]] + 0.2) <= 0.15).all() and (np.abs(o[[11, 14]] - 0.2) <= 0.05).all()
        np.testing.assert_allclose(o[6:10], [*ORIGIN, *ORIGIN], atol=1e-6)
        left += bool(o[10] < o[13])
    assert 30 < left < 70


def test_a_seed_and_actions_say_all() -> None:
    paths = []
    for _ in range(2):
        env = PushBlocks()
        env.reset(seed=3)
        paths.append(np.stack([env.step([0.01, 0.02])[0] for _ in range(30)]))
    np.testing.assert_array_equal(paths[0], paths[1])


def test_pushing_moves_a_block_and_friction_stops_it() -> None:
    env = PushBlocks()
    env.reset(options=scene(effector=(0.4, -0.3)))
    path = np.stack([env.step([0.0, 0.03])[0] for _ in range(10)])
    assert path[-1, 1] == pytest.approx(path[-1, 7] + 0.026, abs=0.003)  # the face is in touch with the cylinder
    assert abs(path[-1, 0] - 0.4) < 0.01
    still = np.stack([env.step([0.0, 0.0])[0] for _ in range(10)])
    assert np.abs(still[-1, :6] - still[4, :6]).max() < 1e-3
    np.testing.assert_allclose(path[:, 3:6], np.broadcast_to(path[0, 3:6], (10, 3)), atol=1e-4)  # the other one stays


def test_the_effector_stays_in_the_workspace() -> None:
    env = PushBlocks()
    env.reset(seed=0)
    for _ in range(20):
        o = env.step([-1.0, -1.0])[0]
    np.testing.assert_allclose(o[8:10], WORKSPACE[0], atol=1e-6)


def test_rewards_and_completions() -> None:
    env = PushBlocks()
    env.reset(options=scene(blocks=((0.3, 0.2), (0.5, -0.1))))
    _, reward, done, _, info = env.step([0, 0])
    assert reward == pytest.approx(0.49) and not done and info["completed"] == (0,)
    assert env.step([0, 0])[1:3] == (0.0, False)  # once
    env.reset(options=scene(blocks=((0.5, 0.2), (0.3, 0.2))))
    _, reward, done, _, info = env.step([0, 0])
    assert reward == pytest.approx(1.0) and done and set(info["completed"]) == {1, 2}
    env.reset(options=scene(blocks=((0.5, 0.17), (0.5, 0.225))))  # both in one target
    _, reward, done, _, info = env.step([0, 0])
    assert reward == pytest.approx(0.49) and not done


@pytest.mark.parametrize("noise", [0.0, 0.004])
def test_the_expert_serves_every_order(noise: float) -> None:
    env = PushBlocks()
    for seed, order in itertools.product(range(6), ORDERS):
        episode, completed = demonstrate(env, PushOracle(order, 0.008), seed, noise=noise)
        assert set(order) <= set(completed), (seed, order)
        assert float(episode.actions.norm(dim=1).max()) <= 0.0351  # the clean action is recorded, at most 0.35 m/s


@pytest.mark.slow
def test_the_expert_is_reliable() -> None:
    env = PushBlocks()
    outcomes = [demonstrate(env, PushOracle(ORDERS[seed % 4], 0.002), seed, noise=0.0)[1] for seed in range(1000)]
    assert sum(set(ORDERS[i % 4]) <= set(c) for i, c in enumerate(outcomes)) >= 990
    taken = [outcomes.count(order) / len(outcomes) for order in ORDERS]
    assert all(abs(share - 0.25) <= 0.05 for share in taken), taken


def test_recorded_orders_take_turns() -> None:
    made = list(record(8, seed=100))
    assert [about["order"] for _, about in made] == [*ORDERS, *ORDERS]
    for episode, about in made:
        assert about["completed"] == about["order"]
        assert float(episode.actions[-1].abs().max()) == 0.0


def test_painting_shows_every_part() -> None:
    env = PushBlocks("painted", size=120)
    env.reset(options=scene())
    picture = env.render()
    assert picture.shape == (120, 120, 3)
    for x, y, colour in (
        (0.4, -0.2, (242, 191, 51)),
        (0.5, -0.1, (76, 166, 90)),
        (0.3, 0.2, (224, 150, 140)),
        (0.5, 0.2, (140, 172, 224)),
    ):
        assert tuple(picture[int((x + 0.125) * 120 / 1.1), int((y + 0.55) * 120 / 1.1)]) == colour


def test_what_does_not_fit_is_refused() -> None:
    env = PushBlocks()
    env.reset(seed=0)
    with pytest.raises(InputError, match="2 finite numbers"):
        env.step([np.nan, 0.0])
    with pytest.raises(InputError, match="16 finite numbers"):
        env.reset(options={"observation": np.zeros(10)})
    with pytest.raises(InputError, match="render_mode"):
        PushBlocks("ascii")
    with pytest.raises(InputError, match="unknown"):
        make("pull")


DRAW = """
import sys, numpy as np
from polyscore.robots.environments.push import PushBlocks
env = PushBlocks(sys.argv[1], size=120)
env.reset(options={"observation": np.array([.4, -.2, 0, .5, -.1, 0, .6, .4, .6, .4, .3, .2, 0, .5, .2, 0])})
np.save(sys.argv[2], env.render())
"""


def test_both_pictures_show_the_same_scene(tmp_path: Path) -> None:
    pictures = []
    for mode in ("painted", "rgb_array"):  # MuJoCo reads MUJOCO_GL when it is imported
        words = [sys.executable, "-c", DRAW, mode, str(tmp_path / f"{mode}.npy")]
        answer = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "MUJOCO_GL": "egl"})
        if "cannot draw off-screen" in answer.stderr:
            pytest.skip("there is no EGL here")
        assert answer.returncode == 0, answer.stderr
        pictures.append(np.load(tmp_path / f"{mode}.npy").astype(int))
    for more, less in ((1, 0), (2, 0)):  # the green block, the blue target
        middles = [np.argwhere(picture[..., more] - picture[..., less] > 60).mean(0) for picture in pictures]
        assert np.abs(middles[0] - middles[1]).max() < 8
