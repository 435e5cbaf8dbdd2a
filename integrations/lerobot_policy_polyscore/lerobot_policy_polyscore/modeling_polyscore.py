"""A polyscore policy as one of LeRobot's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import torch
from lerobot.policies.pretrained import PreTrainedPolicy
from torch import Tensor

from lerobot_policy_polyscore.configuration_polyscore import PolyscoreConfig
from polyscore.hub import build
from polyscore.robots.policy import Policy
from polyscore.state import Given
from polyscore.training.objectives import X0Loss
from polyscore.training.times import LogLogistic
from polyscore.training.weightings import EDMWeight

__all__ = ["PolyscorePolicy"]


class PolyscorePolicy(PreTrainedPolicy):
    """Holds a `polyscore.robots.Policy`; observations are the input features side by side, in the order of the configuration."""

    config_class = PolyscoreConfig
    name = "polyscore"

    def __init__(self, config: PolyscoreConfig, **_: Any) -> None:
        super().__init__(config)
        config.validate_features()
        model = build(json.loads(config.model))
        if not isinstance(model, Policy):
            raise ValueError(f"policy.model is a {type(model).__name__}, expected a policy of polyscore.robots")
        self.config: PolyscoreConfig = config
        self.policy = model

    def get_optim_params(self) -> Iterable[torch.nn.Parameter]:
        """All parameters."""
        return self.policy.parameters()

    def reset(self) -> None:
        """Begin an episode."""
        self.policy.reset()

    @torch.no_grad()
    def select_action(self, batch: dict[str, Tensor], **_: Any) -> Tensor:
        """The next action (B, A) of every environment."""
        goal = batch.get(self.config.goal_key) if self.config.goals else None
        seen = self._observations(batch)
        return self.policy.act(seen, goal, seed=self.config.seed)

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict[str, Tensor], **_: Any) -> Tensor:
        """The next action as a chunk of one step, (B, 1, A): chunks are planned and done inside `select_action`."""
        return self.select_action(batch)[:, None]

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The loss of EDM on windows (B, t, ...), those that reach beyond an episode left out."""
        frames, goals = self._observations(batch), self.config.goals
        seen, later = frames[:, : self.config.observed], frames[:, self.config.observed :]
        cond = {"state": self.policy.encode(seen)}
        if goals:
            cond["goal"] = self.policy.encode_goal(later)
        actions = self.policy.normaliser.action(batch["action"])
        denoiser = self.policy.denoiser
        process: Any = denoiser.process
        low, high = self.policy.sampling.sigma_min, self.policy.sampling.sigma_max
        density = LogLogistic(loc=-0.6931471805599453, scale=0.5, sigma_min=low, sigma_max=high)
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        t = density.sample(len(actions), generator, process)
        noise = int(torch.randint(2**31, ()))
        losses = X0Loss(EDMWeight(denoiser.sigma_data))(denoiser, process, actions, t=t, given=Given(cond=cond), noise=noise)
        there = ~batch["action_is_pad"] if "action_is_pad" in batch else torch.ones_like(losses[..., 0], dtype=torch.bool)
        loss = (losses.mean(-1) * there).sum() / there.sum().clamp(min=1)
        return loss, {"loss": float(loss)}

    def _observations(self, batch: dict[str, Tensor]) -> Tensor:
        names = [name for name in self.config.input_features if name != self.config.goal_key]
        return torch.cat([batch[name].float() for name in names], -1)
