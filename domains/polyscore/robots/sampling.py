"""How a policy draws its actions, as numbers and words that a configuration holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from polyscore.errors import InputError
from polyscore.robots import samplers
from polyscore.robots.history import HISTORIES, History
from polyscore.robots.schedules import schedule
from polyscore.samplers import times_of

__all__ = ["Sampling"]


@dataclass(frozen=True)
class Sampling:
    """How actions are drawn; stored with the policy.

    Attributes:
        sampler: a name of `polyscore.robots.samplers.SAMPLERS`.
        steps: levels of the schedule above 0.
        schedule: a name of `polyscore.robots.schedules.SCHEDULES`.
        sigma_min, sigma_max: ends of the schedule.
        rho: of "karras" and "polyexponential".
        guidance: scale of classifier-free guidance; 1 is the conditional model, 0 the unconditional one.
        history: how past actions enter, see `polyscore.robots.history`.
        eta: of the ancestral samplers.
        s_churn: of "euler" and "heun".
        margin: actions are clipped to the bounds of the training actions, widened by this factor.

    Raises:
        InputError: an unknown name, no steps, levels out of order, or a guidance that is no number.
    """

    sampler: str = "ddim"
    steps: int = 3
    schedule: str = "linear"
    sigma_min: float = 0.05
    sigma_max: float = 1.0
    rho: float = 5.0
    guidance: float = 1.0
    history: History = "renoise"
    eta: float = 1.0
    s_churn: float = 0.0
    margin: float = 1.1

    def __post_init__(self) -> None:
        schedule(self.schedule, self.sigma_min, self.sigma_max, rho=self.rho)
        self.method()
        if self.steps < 1 or self.history not in HISTORIES or not math.isfinite(self.guidance) or not self.margin > 0:
            raise InputError(
                f"Sampling: steps {self.steps}, history {self.history!r}, guidance {self.guidance}, margin {self.margin}; "
                f"expected 1 or more, one of {', '.join(HISTORIES)}, a number, and more than 0"
            )

    def method(self) -> Any:
        """The sampler."""
        return samplers.make(self.sampler, eta=self.eta, s_churn=self.s_churn)

    def times(self, process: Any) -> list[float]:
        """The times of the schedule."""
        return times_of(process, self.steps, schedule(self.schedule, self.sigma_min, self.sigma_max, rho=self.rho))
