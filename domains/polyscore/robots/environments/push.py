r"""Push two blocks into two targets, in any of four orders: the task of BESO's block push in a planar MuJoCo scene.

Observation (16,), metres and radians, float32:

    0..5     x, y, yaw of block 0, then of block 1             yaw in [-pi, pi)
    6..9     x, y of the effector, then of the point it is sent to
    10..15   x, y, yaw of target 0, then of target 1

An action (2,) moves that point by so many metres (at most 0.1 a coordinate); ten actions a second. The first block that comes
within 5 cm of a target earns 0.49; both blocks in different targets earn 0.51 and end the episode. Blocks are cubes of 4 cm and
50 g, the effector a cylinder of 6 mm radius.

`info["completed"]` are the pairs 2 block + target in the order in which they were reached.

Source: Florence et al. 2021, "Implicit Behavioral Cloning", arXiv:2109.00137 (the task); Shafiullah et al. 2022, arXiv:2206.11251
(its multi-modal form).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError, MissingExtraError
from polyscore.robots.environments.offscreen import OffScreen
from polyscore.robots.environments.pairs import PairsReached

try:
    import gymnasium
    import mujoco
except ImportError as error:
    raise MissingExtraError(f"PushBlocks needs {error.name}: pip install 'polyscore[robots]'") from error

__all__ = ["ACTION_LIMIT", "ORIGIN", "WORKSPACE", "PushBlocks"]

Array = NDArray[np.float64]

WORKSPACE = np.array([[0.15, -0.5], [0.7, 0.5]])
ORIGIN = np.array([0.3, -0.4])
ACTION_LIMIT = 0.1
_SUBSTEPS = 20
_APART = (0.1, 0.12)  # least distance between the blocks and between the targets at the start

_SCENE = """
<mujoco model="push blocks">
  <option timestep="0.005" cone="elliptic" integrator="implicitfast"/>
  <visual>
    <global offwidth="640" offheight="640"/>
    <headlight ambient=".55 .55 .55" diffuse=".25 .25 .25" specular="0 0 0"/>
  </visual>
  <asset><texture name="sky" type="skybox" builtin="flat" rgb1=".93 .94 .96" width="16" height="16"/></asset>
  <worldbody>
    <geom name="table" type="plane" size="0.8 0.8 0.05" pos="0.4 0 0" friction="1" rgba=".82 .84 .88 1"/>
    <camera name="above" pos="0.4 0 1.15" xyaxes="0 1 0 -1 0 0" fovy="52"/>
    <body name="target0" mocap="true">
      <geom type="box" size=".05 .05 .0005" contype="0" conaffinity="0" rgba=".85 .3 .25 .5"/>
    </body>
    <body name="target1" mocap="true">
      <geom type="box" size=".05 .05 .0005" contype="0" conaffinity="0" rgba=".2 .45 .8 .5"/>
    </body>
    {blocks}
    <body name="effector" pos="0 0 0.03">
      <joint name="effector_x" type="slide" axis="1 0 0"/><joint name="effector_y" type="slide" axis="0 1 0"/>
      <geom type="cylinder" size="0.006 0.025" mass="0.2" rgba=".15 .15 .18 1"/>
    </body>
  </worldbody>
  <actuator>
    <position joint="effector_x" kp="400" dampratio="1"/><position joint="effector_y" kp="400" dampratio="1"/>
  </actuator>
</mujoco>
"""
_BLOCK = """
    <body name="block{i}" pos="0 0 0.02">
      <joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 1 0"/><joint type="slide" axis="0 0 1"/>
      <joint type="hinge" axis="0 0 1"/>
      <geom type="box" size="0.02 0.02 0.02" mass="0.05" friction="1" rgba="{colour}"/>
    </body>"""


def _model() -> Any:
    blocks = "".join(_BLOCK.format(i=i, colour=colour) for i, colour in enumerate((".95 .75 .2 1", ".3 .65 .35 1")))
    return mujoco.MjModel.from_xml_string(_SCENE.format(blocks=blocks))


class PushBlocks(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """The environment of the module docstring.

    Args:
        render_mode: "rgb_array" draws the scene in MuJoCo off-screen, "painted" draws it flat from above, without a GL library.
        size: of the picture, in pixels.

    Raises:
        InputError: an unknown render mode.
    """

    metadata = {"render_modes": ["rgb_array", "painted"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's convention

    def __init__(self, render_mode: str | None = None, *, size: int = 240) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"PushBlocks: render_mode {render_mode!r}, expected None, 'rgb_array' or 'painted'")
        self.render_mode, self.size = render_mode, size
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (16,), np.float32)
        self.action_space = gymnasium.spaces.Box(-ACTION_LIMIT, ACTION_LIMIT, (2,), np.float32)
        self.model = _model()
        self.data = mujoco.MjData(self.model)
        self._pairs = PairsReached()
        self._targets = np.zeros((2, 3))
        self._aim = ORIGIN.copy()
        self._screen = OffScreen(self.model, size, advice="set MUJOCO_GL=egl, or take render_mode='painted'")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Blocks near y = -0.2, targets near y = 0.2 in either order, the effector at its origin.

        `options={"observation": o}` puts everything where an observation says.
        """
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        given = None if options is None else options.get("observation")
        o = self._draw() if given is None else np.asarray(given, dtype=np.float64)
        if o.shape != (16,) or not np.isfinite(o).all():
            raise InputError(f"PushBlocks: an observation of shape {o.shape}, expected 16 finite numbers")
        self._targets = o[10:].reshape(2, 3).copy()
        self._aim, self._pairs = o[8:10].copy(), PairsReached()
        for i in range(2):
            self.data.qpos[4 * i : 4 * i + 4] = o[3 * i], o[3 * i + 1], 0.0, o[3 * i + 2]
            self.data.mocap_pos[i] = [*self._targets[i, :2], 0.0005]
            half = self._targets[i, 2] / 2
            self.data.mocap_quat[i] = np.cos(half), 0.0, 0.0, np.sin(half)
        self.data.qpos[8:10], self.data.ctrl[:] = o[6:8], self._aim
        mujoco.mj_forward(self.model, self.data)
        return self._observe(), {"completed": ()}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """A tenth of a second."""
        delta = np.asarray(action, dtype=np.float64)
        if delta.shape != (2,) or not np.isfinite(delta).all():
            raise InputError(f"PushBlocks: action {action}, expected 2 finite numbers")
        self._aim = np.clip(self._aim + np.clip(delta, -ACTION_LIMIT, ACTION_LIMIT), *WORKSPACE)
        self.data.ctrl[:] = self._aim
        mujoco.mj_step(self.model, self.data, _SUBSTEPS)
        observation = self._observe()
        before = len(self._pairs.completed)
        finished = self._pairs.see(observation)
        reward = 0.49 * (before == 0 < len(self._pairs.completed)) + 0.51 * finished
        return observation, reward, finished, False, {"completed": tuple(self._pairs.completed)}

    def render(self) -> Any:
        """The scene from above, (size, size, 3) bytes."""
        if self.render_mode == "painted":
            from polyscore.robots.environments.painting import blocks

            return blocks(self._observe(), size=self.size)
        return self._screen.draw(self.data)

    def close(self) -> None:
        self._screen.close()

    def _observe(self) -> NDArray[np.float32]:
        q = self.data.qpos
        blocks = np.stack([q[[0, 1, 3]], q[[4, 5, 7]]])
        blocks[:, 2] = (blocks[:, 2] + np.pi) % (2 * np.pi) - np.pi
        return np.concatenate([blocks.ravel(), q[8:10], self._aim, self._targets.ravel()]).astype(np.float32)

    def _draw(self) -> Array:
        random = self.np_random

        def apart(place: Any, least: float) -> Array:
            while True:
                points = np.stack([place(0), place(1)])
                if np.linalg.norm(points[0] - points[1]) > least:
                    return points

        flip = random.choice([-1.0, 1.0])
        blocks = apart(lambda _: np.array([0.4 + random.uniform(-0.1, 0.1), -0.2 + random.uniform(-0.15, 0.15)]), _APART[0])
        targets = apart(
            lambda i: np.array([0.4 + flip * (0.12, -0.12)[i] + random.uniform(-0.05, 0.05), 0.2 + random.uniform(-0.05, 0.05)]),
            _APART[1],
        )
        yaws = random.uniform(0, np.pi, 2)
        turns = np.pi + random.uniform(-np.pi / 6, np.pi / 6, 2)
        return np.concatenate(
            [np.column_stack([blocks, yaws]).ravel(), ORIGIN, ORIGIN, np.column_stack([targets, turns]).ravel()]
        )
