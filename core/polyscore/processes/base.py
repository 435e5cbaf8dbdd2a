"""The protocol that every forward process fulfils: Gaussian, discrete, rigid, or a product of them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from polyscore.noise import NoiseLike
from polyscore.state import NONE, Given

__all__ = ["Perturbed", "Process"]


class Perturbed(NamedTuple):
    """A noised state and the noise in it (`eps` is None where a process has no such notion)."""

    x: Any
    eps: Any


class Process(Protocol):
    """A forward process: t = 0 is data, t = 1 is noise."""

    def prior(self, like: Any, *, t: float = 1.0, given: Given = NONE, noise: NoiseLike = 0) -> Any:
        """A state from which sampling starts at time `t`, shaped like `like`."""
        ...

    def perturb(self, x0: Any, t: Any, *, given: Given = NONE, noise: NoiseLike = 0) -> Perturbed:
        """A draw of x_t given x0."""
        ...

    def transition(
        self, x: Any, prediction: Any, t: Any, u: Any, *, eta: float = 1.0, given: Given = NONE, noise: NoiseLike = 0
    ) -> Any:
        """A draw of x_u given x_t and the prediction of x0, u < t."""
        ...
