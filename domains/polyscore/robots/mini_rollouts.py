"""Short rollouts while a policy trains: the loss says little of whether it will ever push a block."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from polyscore.errors import ConfigError, InputError
from polyscore.robots.policy import Policy
from polyscore.robots.rollout import rollout
from polyscore.robots.tasks import Task, task
from polyscore.training.export import evaluated

__all__ = ["MiniRollouts"]


class MiniRollouts(Callback):
    """Every n steps, some episodes of the policy's environment with the averaged weights, always the same seeds.

    Logs `rollout/reward`, `rollout/result` and `rollout/full_success`, means over the episodes, beside the losses of the epoch.
    Where no episode of `patience` successive rollouts earned anything, it warns, once.

    Args:
        every_n_steps: optimiser steps between rollouts.
        episodes: of each.
        seed: of the first episode.
        limit: steps of an episode, the task's own by default.
        patience: rollouts without any reward before the warning.

    Raises:
        InputError: a number below 1.
        ConfigError: what is trained is no `Policy`, or nothing is known of its environment.
        MissingExtraError: the simulator of its environment is not installed.
    """

    def __init__(
        self, every_n_steps: int = 2000, episodes: int = 16, *, seed: int = 900_000, limit: int | None = None, patience: int = 4
    ) -> None:
        if min(every_n_steps, episodes, 1 if limit is None else limit, patience) < 1:
            raise InputError(
                f"MiniRollouts: every_n_steps {every_n_steps}, episodes {episodes}, limit {limit}, patience {patience}; "
                "expected 1 or more"
            )
        self.every_n_steps, self.episodes, self.seed = every_n_steps, episodes, seed
        self.limit, self.patience = limit, patience
        self._without = 0
        self._within: Task

    @property
    def state_key(self) -> str:
        """Several of them, with other episodes, may be in one training."""
        return self._generate_state_key(every_n_steps=self.every_n_steps, episodes=self.episodes, seed=self.seed)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = getattr(pl_module, "model", None)
        if not isinstance(model, Policy):
            raise ConfigError(f"MiniRollouts: what is trained is a {type(model).__name__}, expected a Policy")
        try:
            self._within = task(model.environment)
        except InputError as error:
            raise ConfigError(f"MiniRollouts: the policy's {error}; name it there, or take this out of the callbacks") from error
        self._within.make().close()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if not trainer.is_global_zero or step == 0 or step % self.every_n_steps:
            return
        with evaluated(trainer, pl_module) as module:
            try:
                words: dict[str, Any] = {"within": self._within, "seed": self.seed, "limit": self.limit}
                made = list(rollout(module.model, self.episodes, side_by_side=self.episodes, **words))
            finally:
                module.model.reset()
        values = {
            "rollout/reward": float(np.mean([o.reward for o in made])),
            "rollout/result": float(np.mean([o.result for o in made])),
            "rollout/full_success": float(np.mean([o.result == 1 for o in made])),
        }
        pl_module.log_dict(values, on_step=False, on_epoch=True, prog_bar=True, batch_size=self.episodes, rank_zero_only=True)
        self._without = 0 if values["rollout/reward"] > 0 else self._without + 1
        if self._without == self.patience:
            warnings.warn(
                f"after {step} steps no episode has earned anything, in {self.patience} rollouts of {self.episodes}: the policy "
                "needs longer training, or its features, goals or scaling do not fit the environment",
                stacklevel=1,
            )

    def state_dict(self) -> dict[str, Any]:
        return {"without": self._without}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._without = int(state_dict["without"])
