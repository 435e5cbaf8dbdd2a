"""The original block push in PyBullet, from a checkout of BESO or IBC, with the interface of `PushBlocks`.

The original is no package: its folder `envs` must be importable (BESO's `beso` folder on PYTHONPATH). Its observations are
mappings; they become the 16 numbers of `PushBlocks` in the same order, and `info["completed"]` are the pairs 2 block + target in
the order in which they were reached.

Source: Florence et al. 2021, arXiv:2109.00137; Shafiullah et al. 2022, arXiv:2206.11251.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError, MissingExtraError
from polyscore.robots.environments.pairs import PairsReached

try:
    import gymnasium
except ImportError as error:
    raise MissingExtraError("BlockPush needs gymnasium: pip install 'polyscore[robots]'") from error

__all__ = ["ORDER", "BlockPush"]

ORDER = (
    "block_translation", "block_orientation", "block2_translation", "block2_orientation", "effector_translation",
    "effector_target_translation", "target_translation", "target_orientation", "target2_translation", "target2_orientation",
)  # fmt: skip
_MODULE = "envs.block_pushing.block_pushing_multimodal"


class BlockPush(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """The multi-modal block push of the original, through Gymnasium.

    Args:
        module: where its class `BlockPushMultimodal` is.

    Raises:
        MissingExtraError: PyBullet or the original is not there.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's convention

    def __init__(self, render_mode: str | None = None, *, module: str = _MODULE) -> None:
        for name, wanted in (("pybullet", "pip install pybullet"), (module, "put BESO's folder `beso` on PYTHONPATH")):
            try:
                found = importlib.import_module(name)
            except ImportError as error:
                raise MissingExtraError(f"BlockPush needs {error.name or name}: {wanted}") from error
        self.render_mode, self.module = render_mode, module
        self.original: Any = found.BlockPushMultimodal()
        self._pairs = PairsReached()
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (16,), np.float32)
        self.action_space = gymnasium.spaces.Box(-0.1, 0.1, (2,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        if seed is not None:
            self.original.seed(seed)
        self._pairs = PairsReached()
        return self._flat(self.original.reset()), {"completed": ()}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """A tenth of a second."""
        delta = np.asarray(action, dtype=np.float32)
        if delta.shape != (2,) or not np.isfinite(delta).all():
            raise InputError(f"BlockPush: action {action}, expected 2 finite numbers")
        seen, reward, finished, info = self.original.step(delta)
        flat = self._flat(seen)
        self._pairs.see(flat)
        return flat, float(reward), bool(finished), False, {**info, "completed": tuple(self._pairs.completed)}

    def render(self) -> Any:
        """The picture of the original."""
        return self.original.render(mode="rgb_array")

    @staticmethod
    def _flat(observation: Any) -> NDArray[np.float32]:
        missing = [name for name in ORDER if name not in observation] if isinstance(observation, Mapping) else ["a mapping"]
        if missing:
            raise InputError(f"BlockPush: the original's observation lacks {', '.join(missing)}")
        return np.concatenate([np.ravel(observation[name]) for name in ORDER]).astype(np.float32)
