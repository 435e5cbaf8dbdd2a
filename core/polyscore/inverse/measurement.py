r"""What is known of the data: y = A(x0) + noise, A any differentiable map.

    discrepancy     r(x0) = y - A(x0)
    misfit          |r|^2 / 2 per sample
    pull            A^T r = -grad misfit          (by reverse differentiation: an operator is written forwards only)

Complex measurements count their real and imaginary parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["Measurement", "Operator"]

Operator: TypeAlias = Callable[[Any], Tensor]
"""x0 (B, ...), a tensor or mapping, to a measurement (B, ...), differentiable."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """A measurement and where it came from.

    Args:
        operator: A.
        y: (B, ...), or (1, ...) for all samples alike.
        noise: standard deviation of the measurement's noise.

    Raises:
        InputError: a negative noise, or values that are not finite.
    """

    operator: Operator
    y: Tensor
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not self.noise >= 0 or not bool(torch.isfinite(self.y).all()):
            raise InputError(f"measurement: noise {self.noise}, y {tuple(self.y.shape)}; expected noise >= 0 and finite values")

    def misfit(self, x0: Any) -> Tensor:
        """|y - A(x0)|^2 / 2, (B,).

        Raises:
            InputError: A(x0) and y differ in shape.
        """
        made = self.operator(x0)
        if made.shape[1:] != self.y.shape[1:]:
            raise InputError(f"measurement: A(x0) is {tuple(made.shape)}, y is {tuple(self.y.shape)}; expected equal but for B")
        rest = self.y.to(made) - made
        size: Tensor = (rest.abs().square() if rest.is_complex() else rest.square()).flatten(1).sum(1)
        return size / 2

    def pull(self, x0: Tensor) -> Tensor:
        """A'(x0)^T (y - A(x0)), shaped like x0."""
        with torch.inference_mode(False), torch.enable_grad():
            own = x0.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.misfit(own).sum(), own)
        return -gradient
