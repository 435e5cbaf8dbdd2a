"""Meta-World as it is installed: fifty manipulation tasks, observations (39,), actions (4,) in [-1, 1].

Meta-World 3.1 asks for MuJoCo 3.3.0, so it wants an environment of its own.

Source: Yu et al. 2020, "Meta-World", arXiv:1910.10897; McLean et al. 2025, arXiv:2505.11289.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError, MissingExtraError

try:
    import gymnasium
except ImportError as error:
    raise MissingExtraError("MetaWorld needs gymnasium: pip install 'polyscore[robots]'") from error

__all__ = ["MetaWorld"]


class MetaWorld(gymnasium.Wrapper[Any, Any, Any, Any]):
    """One task of Meta-World; `info["completed"]` is (task,) once it has succeeded, which ends the episode.

    Args:
        task: such as "reach-v3".
        render_mode: None or "rgb_array".
        seed: of the places of things.

    Raises:
        InputError: an unknown task.
        MissingExtraError: Meta-World is not installed.
    """

    def __init__(self, task: str = "reach-v3", render_mode: str | None = None, *, seed: int = 0) -> None:
        try:
            known = importlib.import_module("metaworld.env_dict").ALL_V3_ENVIRONMENTS
        except ImportError as error:
            raise MissingExtraError(
                "MetaWorld needs Meta-World (with MuJoCo 3.3.0, so in an environment of its own): pip install metaworld==3.1.1"
            ) from error
        if task not in known:
            raise InputError(f"MetaWorld: there is no task {task!r}; there are {', '.join(sorted(known))}")
        try:
            made = gymnasium.make("Meta-World/MT1", env_name=task, render_mode=render_mode, seed=seed)
        except (ValueError, AttributeError, AssertionError) as error:
            raise MissingExtraError(
                f"MetaWorld: {task} could not be made ({error}); does MuJoCo fit? metaworld 3.1.1 asks for mujoco==3.3.0"
            ) from error
        super().__init__(made)
        self.task = task

    def expert(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """The script that comes with Meta-World: observation to action."""
        script = importlib.import_module("metaworld.policies").ENV_POLICY_MAP[self.task]()
        return lambda seen: np.clip(script.get_action(np.asarray(seen, np.float64)), -1, 1).astype(np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode; a seed names the places of things."""
        if seed is not None:  # the original draws them before it seeds itself
            self.env.unwrapped.np_random = np.random.default_rng(seed)
        seen, _ = self.env.reset(seed=seed, options=options)
        return np.asarray(seen, dtype=np.float32), {"completed": ()}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One action."""
        seen, reward, finished, late, info = self.env.step(np.clip(np.asarray(action, dtype=np.float32), -1, 1))
        done = float(info.get("success", 0.0)) > 0
        return np.asarray(seen, dtype=np.float32), float(reward), bool(finished) or done, bool(late), {
            "completed": (self.task,) if done else ()
        }
