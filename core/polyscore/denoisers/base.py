"""A denoiser maps a noisy state to a prediction of the clean one.

Everything that changes what the model sees or says (guidance, thresholding, caching, known regions) wraps a denoiser and gives a
denoiser; samplers never know. A wrapper that must know where it is defines `begin(step, stage)`, which the loop calls first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from polyscore.state import Given

__all__ = ["Denoiser", "Prediction", "begin"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says about x_t.

    Attributes:
        x0: E[x0 | x_t] or its estimate, shaped like the state; of categories, log p(x0 | x_t) up to a constant, (B, ..., N), or
            rows of it on request (`polyscore.processes.discrete.Rows`).
        eps: the noise to put back, where it is not (x - a x0 - b y) / s (CFG++ re-noises with the unconditional one).
        extra: anything else by name ("uncond", "cond", a learned variance).
    """

    x0: Any
    eps: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Denoiser(Protocol):
    """`denoiser(x, t, given) -> Prediction`, x (B, ...) a tensor or mapping, t a number, tensor or mapping."""

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction: ...


def begin(denoiser: Any, step: int, stage: int) -> None:
    """Tell a wrapper (and, through it, what it wraps) where the loop is: step 0..n-1, stage 0.. within the step."""
    hook = getattr(denoiser, "begin", None)
    if hook is not None:
        hook(step, stage)
