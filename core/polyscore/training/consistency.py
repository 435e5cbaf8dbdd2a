r"""Training of consistency models, with a teacher or without.

Of two neighbours on one trajectory of the probability flow, t and u = max(t - 1/n, 0), the later learns what the earlier says:

    loss = w(t) |f(x_t, t) - stop f(x_u, u)|^2,

with x_u the exact step of the flow from x_t for a known x0: the teacher's prediction at x_t (distillation) or the
clean data itself (training; x_u then has the noise that x_t has). At u = 0 the model is the identity and x_u is that x0:
the chain is tied to it there.

Sources: Song, Dhariwal, Chen, Sutskever 2023, arXiv 2303.01469; Song, Dhariwal 2023, arXiv 2310.14189 (no average of the
weights in the target).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Denoiser, Prediction
from polyscore.errors import ConfigError
from polyscore.hub import load
from polyscore.noise import NoiseLike
from polyscore.state import NONE, Given, State, Time
from polyscore.training.objectives import X0Loss

__all__ = ["Consistency"]


@dataclass(frozen=True)
class Consistency(X0Loss):
    """The loss of every entry (module docstring), for a denoiser that is the identity at t = 0.

    On `Flow`, a `Precondition` of the velocity is one: x0 = x - t F.

    Args:
        steps: n, neighbours from t = 1 to t = 0.
        teacher: a saved model with the student's process, end point and conditioning; None for training without one.

    Raises:
        ConfigError: steps below 1, or a teacher of another process.
    """

    steps: int = 18
    teacher: str | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"Consistency: steps is {self.steps}; expected at least 1")

    def __call__(self, denoiser: Denoiser, process: Any, x0: State, *, t: Time, given: Given = NONE, noise: NoiseLike = 0) -> Any:
        """The loss of every entry of x0 (B, ...) at times (B,)."""
        assert isinstance(x0, Tensor)
        assert isinstance(t, Tensor)
        x, eps = process.perturb(x0, t, given=given, noise=noise)
        found = denoiser(x, t, given).x0
        with torch.no_grad():
            known = x0 if self.teacher is None else self._teacher(process, x.device)(x, t, given).x0
            u = (t - 1 / self.steps).clamp(min=0)
            # From a time without noise, a bridge's end, the step brings in noise of its own: that of the state, which had none.
            earlier = process.transition(x, Prediction(known), t, u, eta=0.0, given=given, noise=_Same(eps))
            wanted = denoiser(earlier, u, given).x0
        return self.entries(process, wanted, found, t)

    def teach(self, teacher: str, device: torch.device) -> Any:
        """The denoiser in the saved model `teacher`."""
        return _load(teacher, device)

    def _teacher(self, process: Any, device: torch.device) -> Any:
        assert self.teacher is not None
        model = self.teach(self.teacher, device)
        theirs = getattr(model, "process", None)
        if theirs != process:
            raise ConfigError(f"Consistency: teacher {self.teacher} has the process {theirs}; expected the student's, {process}")
        return model


@dataclass(frozen=True)
class _Same:
    """The noise there is."""

    eps: Tensor

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        return self.eps


@lru_cache(maxsize=2)
def _load(teacher: str, device: torch.device) -> Any:
    model = load(teacher, device=device).requires_grad_(False)
    return next((part for part in model.modules() if hasattr(part, "process")), model)
