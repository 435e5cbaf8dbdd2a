"""The configuration of a polyscore policy, as LeRobot stores it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import NormalizationMode
from lerobot.optim.optimizers import AdamWConfig

__all__ = ["PolyscoreConfig"]


@PreTrainedConfig.register_subclass("polyscore")
@dataclass
class PolyscoreConfig(PreTrainedConfig):
    """What `polyscore export lerobot` writes.

    Attributes:
        model: the `config.json` of the policy, as text.
        window: steps of the network.
        observed: how many states it reads; `window` for policies without chunks.
        goals: how many goal frames it reads; 0 for none.
        goal_key: where the goal is in a batch, raw: (B, O), or (B, G, O).
        goal_offset: for training: how many steps after the window the goal frame is.
        seed: of the draws; environment i has seed + i.
        learning_rate, weight_decay: for training.
    """

    model: str = ""
    window: int = 1
    observed: int = 1
    goals: int = 0
    goal_key: str = "observation.goal"
    goal_offset: int = 20
    seed: int = 0
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    normalization_mapping: dict[str, NormalizationMode] = field(
        default_factory=lambda: dict.fromkeys(("STATE", "ENV", "VISUAL", "ACTION"), NormalizationMode.IDENTITY)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.n_obs_steps = self.observed

    def get_optimizer_preset(self) -> AdamWConfig:
        """AdamW."""
        return AdamWConfig(lr=self.learning_rate, weight_decay=self.weight_decay)

    def get_scheduler_preset(self) -> None:
        """A constant rate."""
        return

    def validate_features(self) -> None:
        """One action and a model are needed."""
        if self.action_feature is None or not self.input_features:
            raise ValueError("polyscore policies need the feature 'action' and observations")
        try:
            json.loads(self.model)
        except json.JSONDecodeError as error:
            raise ValueError("policy.model holds no model; start from a folder of `polyscore export lerobot`") from error

    @property
    def observation_delta_indices(self) -> list[int]:
        """The last frames, and the goal frames."""
        after = self.action_delta_indices[-1] + self.goal_offset
        return [*range(1 - self.observed, 1), *range(after, after + self.goals)]

    @property
    def action_delta_indices(self) -> list[int]:
        """The actions of a window that begins with the oldest observed frame."""
        return list(range(1 - self.observed, self.window - self.observed + 1))

    @property
    def reward_delta_indices(self) -> None:
        """Rewards are not read."""
        return
