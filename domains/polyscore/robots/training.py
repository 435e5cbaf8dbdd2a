r"""Training of a policy: hindsight windows, scaled by the policy's own normaliser, which is fitted when training begins.

The loss is that of EDM, |x0 - x0hat|^2 / c_out^2, which is |F - target|^2 of the network (Reuss et al. 2023, arXiv:2304.02532).
"""

from __future__ import annotations

from typing import Any

from polyscore.errors import ConfigError
from polyscore.robots.normalise import Kind
from polyscore.robots.policy import Policy
from polyscore.state import Given
from polyscore.training import ScoreTraining, TimeDensity, Uniform
from polyscore.training.batches import Batch, DropCondition, as_batch
from polyscore.training.objectives import Objective, X0Loss
from polyscore.training.optimiser import AdamW
from polyscore.training.weightings import EDMWeight

__all__ = ["PolicyTraining"]


class PolicyTraining(ScoreTraining):
    """Trains the denoiser of a `Policy`; the whole policy is exported, normaliser included.

    Args:
        model: what is trained.
        times: the density of t, such as `polyscore.training.LogLogistic`.
        objective: the loss.
        drop: drops goals, for classifier-free guidance; `DropCondition(keys=["goal"])` drops whole ones.
        optimiser: optimiser and learning rate.
        state, action: how states and actions are scaled.
        fit_on_all: fit the normaliser to validation episodes too, as the original does.
        seed: of all draws.
    """

    def __init__(
        self,
        model: Policy,
        times: TimeDensity = Uniform(),  # noqa: B008
        *,
        objective: Objective = X0Loss(EDMWeight()),  # noqa: B008
        drop: DropCondition | None = None,
        optimiser: AdamW = AdamW(),  # noqa: B008
        state: Kind = "standard",
        action: Kind = "range",
        fit_on_all: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(model, objective, times, drop=drop, optimiser=optimiser, seed=seed, to_batch=self.scaled)
        self.state, self.action, self.fit_on_all = state, action, fit_on_all

    def setup(self, stage: str) -> None:
        """Fit the normaliser to the training episodes (a resumed run then gets that of its checkpoint)."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if stage != "fit":
            return
        if not hasattr(data, "parts"):
            raise ConfigError(
                f"PolicyTraining: the data are a {type(data).__name__}, expected a PlayData, which knows its episodes"
            )
        train, validation = data.parts
        network, model = self.denoiser.network, self._policy
        if (data.window, data.goals) != (network.window, network.goals):
            raise ConfigError(
                f"PolicyTraining: windows of {data.window} with {data.goals} goals for a network of {network.window} "
                f"and {network.goals}"
            )
        both = type(train).of([*train, *validation], train.about) if self.fit_on_all else train
        model.prepare(both, state=self.state, action=self.action)

    def scaled(self, batch: Any) -> Batch:
        """The batch in the units of the network."""
        actions, given, eps = as_batch(batch)
        cond = {"state": self._policy.encode(given.cond["observation"])}
        if "goal" in given.cond:
            cond["goal"] = self._policy.encode_goal(given.cond["goal"])
        return Batch(self._policy.normaliser.action(actions), Given(cond=cond), eps)

    @property
    def _policy(self) -> Policy:
        model: Any = self.model
        return model  # type: ignore[no-any-return]
