r"""The relay kitchen as Gymnasium-Robotics has it (`FrankaKitchen-v1`), with the state of play-to-policy.

Observation (30,): joint positions of the arm (9), then positions of the kitchen's objects (21), which are numbers 0..8 and
18..38 of the original's 59. Action (9,): velocities of the joints in [-1, 1]; 280 steps. A task is done when its joints come
within 0.3 of their goal; a step's reward is the number of tasks it has done. `info["completed"]` are the tasks in the order in
which they were done.

The physics are not those of the old kitchen of D4RL, so that scores do not compare with published ones. Gymnasium-Robotics 1.4
asks whether a joint's type is in a tuple of MuJoCo's constants, which is never so with MuJoCo 4: `joints_by_number` reads joints
by the number of their type instead.

Source: Gupta et al. 2019, "Relay Policy Learning", arXiv:1910.11956; Fu et al. 2020 (D4RL), arXiv:2004.07219.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError, MissingExtraError

try:
    import gymnasium
except ImportError as error:
    raise MissingExtraError("Kitchen needs gymnasium: pip install 'polyscore[robots]'") from error

__all__ = ["STATE", "TASKS", "Kitchen", "joints_by_number"]

TASKS = ("bottom burner", "top burner", "light switch", "slide cabinet", "hinge cabinet", "microwave", "kettle")
STATE = (*range(9), *range(18, 39))
_WIDTHS = {0: (7, 6), 1: (4, 3), 2: (1, 1), 3: (1, 1)}  # numbers of position and velocity of free, ball, slide and hinge joints


def joints_by_number(utilities: Any) -> None:
    """Replace `get_joint_qpos` and `get_joint_qvel` of gymnasium_robotics.utils.mujoco_utils by such as work with MuJoCo 4."""

    def reader(values: str, addresses: str, which: int) -> Any:
        def read(model: Any, data: Any, name: str) -> Any:
            joint = int(utilities.mujoco.mj_name2id(model, utilities.mujoco.mjtObj.mjOBJ_JOINT, name))
            if joint < 0:
                raise InputError(f"Kitchen: there is no joint {name!r} in the scene")
            start = int(getattr(model, addresses)[joint])
            return getattr(data, values)[start : start + _WIDTHS[int(model.jnt_type[joint])][which]].copy()

        return read

    utilities.get_joint_qpos = reader("qpos", "jnt_qposadr", 0)
    utilities.get_joint_qvel = reader("qvel", "jnt_dofadr", 1)


class Kitchen(gymnasium.Wrapper[Any, Any, Any, Any]):
    """`FrankaKitchen-v1` with observations of 30 numbers.

    Args:
        tasks: what is to be done, of `TASKS`.
        render_mode: None or "rgb_array".

    Raises:
        InputError: an unknown task.
        MissingExtraError: Gymnasium-Robotics is not installed.
    """

    def __init__(self, render_mode: str | None = None, *, tasks: Sequence[str] = TASKS) -> None:
        unknown = [task for task in tasks if task not in TASKS]
        if unknown or not tasks:
            raise InputError(f"Kitchen: tasks {list(tasks)}, expected some of {', '.join(TASKS)}")
        try:
            robotics = importlib.import_module("gymnasium_robotics")
        except ImportError as error:
            raise MissingExtraError("Kitchen needs Gymnasium-Robotics: pip install gymnasium-robotics==1.4.2") from error
        joints_by_number(importlib.import_module("gymnasium_robotics.utils.mujoco_utils"))
        gymnasium.register_envs(robotics)
        super().__init__(gymnasium.make("FrankaKitchen-v1", tasks_to_complete=list(tasks), render_mode=render_mode))
        self.tasks, self.completed = tuple(tasks), list[str]()
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (len(STATE),), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """The arm above the kitchen, everything shut."""
        seen, _ = self.env.reset(seed=seed, options=options)
        self.completed = []
        return state_of(seen), {"completed": ()}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One action."""
        seen, reward, finished, late, info = self.env.step(np.clip(np.asarray(action, dtype=np.float64), -1, 1))
        self.completed += [task for task in info.get("step_task_completions", ()) if task not in self.completed]
        return state_of(seen), float(reward), bool(finished), bool(late), {"completed": tuple(self.completed)}

    def goal_of(self, observation: NDArray[np.float32], tasks: Sequence[str]) -> NDArray[np.float32]:
        """The observation with the joints of `tasks` where they are when the tasks are done."""
        known = importlib.import_module("gymnasium_robotics.envs.franka_kitchen.kitchen_env")
        goal = observation.copy()
        for task in tasks:
            goal[known.OBS_ELEMENT_INDICES[task]] = known.OBS_ELEMENT_GOALS[task]
        return goal


def state_of(observation: Any) -> NDArray[np.float32]:
    """The 30 numbers of play-to-policy from an observation of `FrankaKitchen-v1`."""
    whole = np.asarray(observation["observation"] if isinstance(observation, dict) else observation)
    if whole.shape != (59,):
        raise InputError(f"Kitchen: an observation of shape {whole.shape}, expected the 59 numbers of FrankaKitchen-v1")
    return whole[list(STATE)].astype(np.float32)
