r"""Push a T onto its place: the planar task of diffusion policy in a MuJoCo scene.

Observation (5,), metres and radians, float32: x, y of the pusher, then x, y and yaw of the T (its frame is in the middle of the
bar's outer edge). An action (2,) is the point the pusher is sent to, in [0, 0.512]^2; ten actions a second. The T has a bar of
120 x 30 mm and a stem of 30 x 90 mm; its place is at (0.256, 0.256) turned by 45 degrees. With

    coverage = area(T and its place) / area(T)

a step is rewarded min(coverage / 0.95, 1), and 0.95 ends the episode. `info["coverage"]` tells it, `info["completed"]` is
("in place",) at the end and () before.

Source: Chi et al. 2023, "Diffusion Policy", arXiv:2303.04137; Florence et al. 2021, arXiv:2109.00137.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError, MissingExtraError
from polyscore.robots.environments.offscreen import OffScreen
from polyscore.robots.environments.tee import PARTS, SIDE, coverage, placed

try:
    import gymnasium
    import mujoco
except ImportError as error:
    raise MissingExtraError(f"PushT needs {error.name}: pip install 'polyscore[robots]'") from error

__all__ = ["PushT"]

Array = NDArray[np.float64]

_ENOUGH = 0.95
_SUBSTEPS = 20

_SCENE = """
<mujoco model="push-t">
  <option timestep="0.005" cone="elliptic"/>
  <visual><global offwidth="640" offheight="640"/></visual>
  <worldbody>
    <light pos="0.256 0.256 1.5" dir="0 0 -1"/>
    <camera name="above" pos="0.256 0.256 0.62" euler="0 0 0" fovy="45"/>
    <geom type="plane" size="1 1 .1" rgba=".93 .94 .96 1"/>
    <geom type="box" size=".005 .27 .03" pos="-.005 .256 .03"/><geom type="box" size=".005 .27 .03" pos=".517 .256 .03"/>
    <geom type="box" size=".27 .005 .03" pos=".256 -.005 .03"/><geom type="box" size=".27 .005 .03" pos=".256 .517 .03"/>
    <body name="place" pos="0.256 0.256 0" euler="0 0 45">
      <geom type="box" size=".06 .015 .0005" pos="0 .015 .0005" contype="0" conaffinity="0" rgba=".55 .8 .6 1"/>
      <geom type="box" size=".015 .045 .0005" pos="0 .075 .0005" contype="0" conaffinity="0" rgba=".55 .8 .6 1"/>
    </body>
    <body name="tee" pos="0 0 0.015">
      <joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 1 0"/><joint type="slide" axis="0 0 1"/>
      <joint type="hinge" axis="0 0 1"/>
      <geom type="box" size=".06 .015 .015" pos="0 .015 0" mass=".08" friction="1" rgba=".45 .5 .6 1"/>
      <geom type="box" size=".015 .045 .015" pos="0 .075 0" mass=".06" friction="1" rgba=".45 .5 .6 1"/>
    </body>
    <body name="pusher" pos="0 0 0.025">
      <joint name="pusher_x" type="slide" axis="1 0 0"/><joint name="pusher_y" type="slide" axis="0 1 0"/>
      <geom type="cylinder" size="0.015 0.022" mass="0.2" friction=".3" rgba=".2 .35 .85 1"/>
    </body>
  </worldbody>
  <actuator>
    <position joint="pusher_x" kp="1000" dampratio="1"/><position joint="pusher_y" kp="1000" dampratio="1"/>
  </actuator>
</mujoco>
"""


class PushT(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
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
            raise InputError(f"PushT: render_mode {render_mode!r}, expected None, 'rgb_array' or 'painted'")
        self.render_mode, self.size = render_mode, size
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (5,), np.float32)
        self.action_space = gymnasium.spaces.Box(0, SIDE, (2,), np.float32)
        self.model = mujoco.MjModel.from_xml_string(_SCENE)
        self.data = mujoco.MjData(self.model)
        self._screen = OffScreen(self.model, size, advice="set MUJOCO_GL=egl, or take render_mode='painted'")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """The T and the pusher anywhere, apart from each other.

        `options={"observation": o}` puts everything where an observation says.
        """
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        given = None if options is None else options.get("observation")
        o = self._draw() if given is None else np.asarray(given, dtype=np.float64)
        if o.shape != (5,) or not np.isfinite(o).all():
            raise InputError(f"PushT: an observation of shape {o.shape}, expected 5 finite numbers")
        self.data.qpos[:] = o[2], o[3], 0.0, o[4], o[0], o[1]
        self.data.ctrl[:] = o[:2]
        mujoco.mj_forward(self.model, self.data)
        seen = self._observe()
        return seen, {"coverage": coverage(seen[2:]), "completed": ()}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """A tenth of a second."""
        aim = np.asarray(action, dtype=np.float64)
        if aim.shape != (2,) or not np.isfinite(aim).all():
            raise InputError(f"PushT: action {action}, expected 2 finite numbers")
        self.data.ctrl[:] = np.clip(aim, 0, SIDE)
        mujoco.mj_step(self.model, self.data, _SUBSTEPS)
        seen = self._observe()
        share = coverage(seen[2:])
        done = share > _ENOUGH
        told = {"coverage": share, "completed": ("in place",) if done else ()}
        return seen, min(share / _ENOUGH, 1.0), done, False, told

    def render(self) -> Any:
        """The scene from above, (size, size, 3) bytes."""
        if self.render_mode == "painted":
            from polyscore.robots.environments.painting import tee

            return tee(self._observe(), size=self.size)
        return self._screen.draw(self.data)

    def close(self) -> None:
        self._screen.close()

    def _observe(self) -> NDArray[np.float32]:
        x, y, _, yaw, px, py = self.data.qpos
        return np.array([px, py, x, y, (yaw + np.pi) % (2 * np.pi) - np.pi], dtype=np.float32)

    def _draw(self) -> Array:
        random = self.np_random
        pose = np.array([random.uniform(0.15, 0.36), random.uniform(0.15, 0.36), random.uniform(-np.pi, np.pi)])
        while True:
            pusher = random.uniform(0.05, SIDE - 0.05, 2)
            if all(np.linalg.norm(pusher - point) > 0.08 for part in PARTS for point in placed(part, pose)):
                return np.concatenate([pusher, pose])
