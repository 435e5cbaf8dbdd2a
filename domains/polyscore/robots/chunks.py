r"""A policy that plans chunks: T_o states are read, T_p actions are drawn together, T_a of them are done before the next plan.

The chunk begins with the action of the oldest observed state, as in training: its entries are the steps
k - T_o + 1, ..., k + H - 1 with H = T_p - T_o + 1, and those before step k are left alone.

    step     k - T_o + 1   ...   k   k + 1   ...   k + T_a - 1   ...   k + H - 1
    states        s        ...   s
    chunk         a        ...   a     a     ...        a        ...       a
    done                         x     x     ...        x

Source: Chi et al. 2023, "Diffusion Policy", arXiv:2303.04137.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Precondition
from polyscore.errors import InputError
from polyscore.guidance import KnownRegion
from polyscore.noise import Noise
from polyscore.robots.execution import Receding
from polyscore.robots.normalise import Normaliser
from polyscore.robots.policy import Policy
from polyscore.robots.sampling import Sampling
from polyscore.state import Given

__all__ = ["ChunkPolicy"]


class ChunkPolicy(Policy):
    """A `Policy` whose network draws chunks of actions; `act` still gives one action a step.

    Before T_o states were seen, the first one stands for those that are missing.

    Args:
        denoiser: around `ActionUNet`, `ActionDiT`, or `HoldLast(ScoreGPT(...))`: a network with `observed` and `window`.
        normaliser: the scaling of states and actions.
        features: what the network is told of an observation.
        sampling: how chunks are drawn; its `history` has no meaning here.
        environment: name of the environment it was trained for.
        execution: how chunks become actions, see `polyscore.robots.execution`.

    Raises:
        InputError: parts of different widths, a network that says no `observed`, or more steps done or kept than are planned.
    """

    def __init__(
        self,
        denoiser: Precondition,
        normaliser: Normaliser,
        features: Any,
        *,
        sampling: Sampling = Sampling(),  # noqa: B008
        environment: str = "",
        execution: Receding = Receding(),  # noqa: B008
    ) -> None:
        network: Any = denoiser.network
        if not hasattr(network, "observed"):
            raise InputError(
                f"ChunkPolicy: {type(network).__name__} does not say how many states it observes; wrap it in HoldLast, or take "
                "an ActionUNet or ActionDiT"
            )
        self.ahead = network.window - network.observed + 1
        self.execution = execution
        if execution.execute + execution.kept > self.ahead:
            raise InputError(
                f"ChunkPolicy: {execution.execute} steps done and {execution.kept} kept of {self.ahead} planned (a window of "
                f"{network.window} with {network.observed} observed states); expected no more than are planned"
            )
        super().__init__(denoiser, normaliser, features, sampling=sampling, environment=environment)

    def reset(self) -> None:
        """Begin an episode: forget what was seen and planned."""
        super().reset()
        self._plans: list[tuple[int, Tensor]] = []

    @torch.inference_mode()
    def act(
        self, observation: Any, goal: Any = None, *, seed: int | Sequence[int] | Noise = 0, sampling: Sampling | None = None
    ) -> Any:
        """The next action (A,), or (N, A); arguments, result and errors are those of `Policy.act`.

        A noise source is asked for the noise of a chunk (N, T_p, A) where a plan is due, then for that of the sampler.
        """
        chosen, device = sampling or self.sampling, self.normaliser.state.shift.device
        seen, single = self._seen(observation, device)
        network: Any = self.denoiser.network
        state = self.encode(seen)
        states = [*(self._states or [state] * (network.observed - 1)), state][-network.observed :]
        plans = [(start, plan) for start, plan in self._plans if start + self.ahead > self._step]
        if not plans or self._step - plans[-1][0] >= self.execution.execute:
            cond = {"state": torch.stack(states, 1)}
            if network.goals:
                cond["goal"] = self._goal(goal, len(seen), network.goals, device)
            plans.append((self._step, self._plan(Given(cond=cond), plans, self._source(seed, len(seen)), chosen)))
        proposals = torch.stack([plan[:, self._step - start] for start, plan in plans])
        self._states, self._plans = states, plans
        self._step += 1
        return self._raw(self.execution.mix(proposals), observation, single=single)

    def _plan(self, given: Given, plans: Sequence[tuple[int, Tensor]], source: Noise, chosen: Sampling) -> Tensor:
        """Scaled and clipped actions from this step on, (N, H, A)."""
        network: Any = self.denoiser.network
        past, kept = network.observed - 1, self.execution.kept
        denoiser, x = self._guided(given, chosen), self._start(given, network.window, source, chosen)
        known = None
        if kept and plans:
            start, plan = plans[-1]
            known = plan[:, self._step - start : self._step - start + kept]
            whole, mask = torch.zeros_like(x), torch.zeros_like(x)
            whole[:, past : past + kept], mask[:, past : past + kept] = known, 1
            # From the first level on the known actions are seen with their noise, not the noise alone
            denoiser, x = KnownRegion(denoiser, whole, mask), x + whole
        drawn = self._clipped(self._solve(denoiser, x, given, source, chosen)[:, past:], chosen)
        return drawn if known is None else torch.cat([known, drawn[:, kept:]], 1)
