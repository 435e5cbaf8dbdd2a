"""Push-T against closed forms, and the adapters of environments that come from elsewhere."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

import numpy as np
import pytest

from polyscore.errors import InputError, MissingExtraError
from polyscore.robots.environments import NAMES, make, register
from polyscore.robots.environments.block_push import ORDER
from polyscore.robots.environments.kitchen import STATE, joints_by_number, state_of
from polyscore.robots.environments.pusht import PushT
from polyscore.robots.environments.tee import GOAL, coverage

AREA = 0.12 * 0.03 + 0.03 * 0.09


@pytest.mark.parametrize(
    ("pose", "expected"),
    [
        ((0.1, 0.2, 0.7), AREA),
        ((0.12, 0.2, 0.7 + 2 * np.pi), None),
        ((0.4, 0.5, 0.0), 0.0),
    ],
)
def test_coverage_of_itself_and_of_nothing(pose: tuple[float, float, float], expected: float | None) -> None:
    own = coverage(pose, (0.1, 0.2, 0.7))
    if expected is not None:
        assert own * AREA == pytest.approx(expected, abs=1e-12)
    assert own == pytest.approx(coverage((0.1, 0.2, 0.7), pose), abs=1e-12)


@pytest.mark.parametrize("along", [0.0, 0.01, 0.02, 0.05, 0.2])
def test_coverage_of_a_shifted_t(along: float) -> None:
    """Along the bar, bar and stem overlap with themselves alone; along the stem, the bar also lies on the stem."""
    turn = 0.4
    way = along * np.array([np.cos(turn), np.sin(turn)])
    shared = max(0.12 - along, 0) * 0.03 + max(0.03 - along, 0) * 0.09
    assert coverage((*way, turn), (0, 0, turn)) * AREA == pytest.approx(shared, abs=1e-12)
    back = along * np.array([-np.sin(turn), np.cos(turn)])
    shared = 0.12 * max(0.03 - along, 0) + 0.03 * max(0.09 - along, 0) + 0.03 * min(along, 0.03, max(0.12 - along, 0))
    assert coverage((*back, turn), (0, 0, turn)) * AREA == pytest.approx(shared, abs=1e-12)


def test_coverage_of_a_turned_t_by_counting() -> None:
    pose, goal = np.array([0.02, 0.03, 1.1]), np.array([0.0, 0.0, -0.3])
    random = np.random.default_rng(0)
    points = random.uniform([-0.06, 0.0], [0.06, 0.12], (200_000, 2))
    points = points[(points[:, 1] <= 0.03) | (np.abs(points[:, 0]) <= 0.015)]

    def turned(angle: float) -> Any:
        return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    seen = (points @ turned(goal[2]) + goal[:2] - pose[:2]) @ turned(-pose[2])
    inside = (np.abs(seen[:, 0]) <= 0.06) & (seen[:, 1] >= 0) & (seen[:, 1] <= 0.03)
    inside |= (np.abs(seen[:, 0]) <= 0.015) & (seen[:, 1] >= 0) & (seen[:, 1] <= 0.12)
    assert coverage(pose, goal) == pytest.approx(inside.mean(), abs=0.005)


def test_a_push_moves_the_t_and_nothing_else_does() -> None:
    env = PushT()
    seen, info = env.reset(seed=3)
    again, _ = PushT().reset(seed=3)
    np.testing.assert_array_equal(seen, again)
    assert info["coverage"] == pytest.approx(coverage(seen[2:]))
    start = np.array([0.256, 0.1, 0.256, 0.256, 0.0])  # below the middle of the bar, which is at y = 0.256
    seen, _ = env.reset(options={"observation": start})
    for _ in range(5):
        seen, reward, _, _, _ = env.step(start[:2])
    np.testing.assert_allclose(seen, start, atol=2e-4)
    for y in np.linspace(0.1, 0.3, 20):
        seen, reward, done, _, info = env.step([0.256, y])
        assert reward == pytest.approx(min(info["coverage"] / 0.95, 1)) and done == (info["coverage"] > 0.95)
    for _ in range(5):
        seen, *_ = env.step([0.256, 0.3])
    assert seen[1] == pytest.approx(0.3, abs=3e-3)
    assert seen[3] == pytest.approx(0.3 + 0.015, abs=4e-3)  # the bar's edge lies on the pusher, whose radius is 15 mm
    assert abs(seen[4]) < 0.05 and abs(seen[2] - 0.256) < 0.005
    _, reward, done, _, _ = env.step([0.256, 0.3])
    assert not done
    env.reset(options={"observation": [0.05, 0.05, *GOAL]})
    assert env.step([0.05, 0.05])[1:3] == (1.0, True)


def test_the_walls_hold() -> None:
    env = PushT()
    env.reset(options={"observation": [0.05, 0.05, 0.3, 0.3, 0.0]})
    for _ in range(20):
        seen, *_ = env.step([-1.0, -1.0])
    assert seen[:2].min() > -0.01


def test_the_registered_environments_pass_gymnasiums_checks() -> None:
    import gymnasium
    from gymnasium.utils.env_checker import check_env

    register()
    register()
    check_env(gymnasium.make("polyscore/PushT-v0").unwrapped, skip_render_check=True)


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(InputError, match=", ".join(NAMES)):
        make("kitchne")
    env = make("pusht")
    with pytest.raises(InputError, match="2 finite numbers"):
        env.step([np.nan, 0])
    with pytest.raises(InputError, match="5 finite numbers"):
        env.reset(options={"observation": [0.0] * 4})
    with pytest.raises(InputError, match="render_mode"):
        make("pusht", render_mode="human")
    with pytest.raises(InputError, match="tasks"):
        make("kitchen", tasks=["dishes"])


@pytest.mark.parametrize(
    ("name", "package", "words"),
    [
        ("kitchen", "gymnasium_robotics", "pip install gymnasium-robotics==1.4.2"),
        ("metaworld", "metaworld", "pip install metaworld==3.1.1"),
        ("block-push", "pybullet", "pip install pybullet"),
    ],
)
def test_an_absent_simulator_is_named(name: str, package: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=words):
        make(name)


def test_the_original_block_push_through_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the original's interface: mappings, four values of a step, a seed of its own."""

    class BlockPushMultimodal:
        def seed(self, seed: int) -> None:
            self.start = float(seed)

        def reset(self) -> dict[str, Any]:
            sizes = [2 if name.endswith("translation") else 1 for name in ORDER]
            numbers = iter(np.arange(16.0) + self.start)
            found = {name: np.array([next(numbers) for _ in range(n)]) for name, n in zip(ORDER, sizes, strict=True)}
            return dict(sorted(found.items()))

        def step(self, action: Any) -> tuple[Any, float, bool, dict[str, Any]]:
            seen = self.reset()
            return seen | {"target2_translation": seen["block_translation"] + 0.04}, 0.49, False, {"moved": float(action[0])}

    monkeypatch.setitem(sys.modules, "pybullet", types.ModuleType("pybullet"))
    module = types.ModuleType("stand_in")
    module.BlockPushMultimodal = BlockPushMultimodal  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stand_in", module)
    env = make("block-push", module="stand_in")
    np.testing.assert_array_equal(env.reset(seed=5)[0], np.arange(16) + 5)
    seen, reward, done, late, info = env.step([0.1, 0.0])
    assert (reward, done, late) == (0.49, False, False)
    assert info == {"moved": pytest.approx(0.1), "completed": ()}  # 4 cm in both directions are 5.7 cm
    env.original.start = -5.0
    seen, *_ = env.step([0.1, 0.0])
    env._pairs.see(np.concatenate([seen[:13], seen[:2] + 0.03, seen[15:]]))
    assert env.step([0.1, 0.0])[4]["completed"] == (1,)
    assert env.reset(seed=1)[1]["completed"] == ()
    with pytest.raises(MissingExtraError, match="on PYTHONPATH"):
        make("block-push", module="not_there_at_all")


def test_joints_are_read_by_the_number_of_their_type() -> None:
    """Free, ball, slide and hinge joints of a scene, with MuJoCo's own readers as reference."""
    mujoco: Any = pytest.importorskip("mujoco")
    scene = """<mujoco><worldbody>
      <body name="a"><freejoint name="free"/><geom size=".1"/></body>
      <body name="b"><joint name="ball" type="ball"/><geom size=".1"/></body>
      <body name="c"><joint name="slide" type="slide"/><joint name="hinge" type="hinge"/><geom size=".1"/></body>
    </worldbody></mujoco>"""
    model = mujoco.MjModel.from_xml_string(scene)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = np.arange(13), np.arange(11)
    utilities = types.SimpleNamespace(mujoco=mujoco)
    joints_by_number(utilities)
    for name in ("free", "ball", "slide", "hinge"):
        np.testing.assert_array_equal(utilities.get_joint_qpos(model, data, name), data.joint(name).qpos)
        np.testing.assert_array_equal(utilities.get_joint_qvel(model, data, name), data.joint(name).qvel)
    with pytest.raises(InputError, match="no joint 'knee'"):
        utilities.get_joint_qpos(model, data, "knee")


def test_the_state_of_the_kitchen() -> None:
    np.testing.assert_array_equal(state_of({"observation": np.arange(59)}), STATE)
    assert len(STATE) == 30 and STATE[8:11] == (8, 18, 19) and STATE[-1] == 38
    with pytest.raises(InputError, match="59 numbers"):
        state_of(np.zeros(60))


@pytest.mark.slow
def test_the_kitchen_runs() -> None:
    if importlib.util.find_spec("gymnasium_robotics") is None:
        pytest.skip("gymnasium-robotics is not installed")
    env = make("kitchen", tasks=["microwave", "kettle"])
    seen, _ = env.reset(seed=0)
    assert seen.shape == (30,)
    for _ in range(5):
        seen, reward, done, _, info = env.step(np.full(9, 2.0))
    assert reward == 0 and not done and info["completed"] == ()
    # what the environment keeps in its data is what the state says
    robot = env.unwrapped.robot_env.data.qpos[:9]
    np.testing.assert_allclose(seen[:9], robot, atol=0.2)
