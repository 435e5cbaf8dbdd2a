r"""Scaling of observations and actions, stored with the policy.

A `Scaling` is u = (x - shift) / scale by feature, with the bounds of the scaled data it was fitted on:

    identity   shift 0,                 scale 1
    standard   shift mean,              scale std + 1e-12       (std with N below)
    range      shift (min + max) / 2,   scale (max - min) / 2   so that u is in [-1, 1]

BESO's `Scaler` is standard for both observations and actions; its `MinMaxScaler` is standard for observations and range for
actions. With scaling off both are the identity.

Source: Reuss et al. 2023, arXiv:2304.02532.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from polyscore.errors import InputError

__all__ = ["Kind", "Normaliser", "Scaling"]

Kind = Literal["identity", "standard", "range"]


class Scaling(nn.Module):
    """u = (x - shift) / scale for vectors of `width` features, and its inverse.

    Args:
        width: number of features.
        widen: how `clip` widens the bounds by a factor: about their "centre", or by "multiply", the original's way, which moves a
            bound towards 0 where both have one sign.
    """

    shift: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, width: int, *, widen: Literal["centre", "multiply"] = "centre") -> None:
        super().__init__()
        if width < 1 or widen not in ("centre", "multiply"):
            raise InputError(f"Scaling: width {width}, widen {widen!r}; expected 1 or more, and 'centre' or 'multiply'")
        self.width, self.widen = width, widen
        for name, value in (("shift", 0.0), ("scale", 1.0), ("low", -torch.inf), ("high", torch.inf)):
            self.register_buffer(name, torch.full((width,), value))

    @torch.no_grad()
    def fit(self, data: Tensor, kind: Kind = "standard") -> Scaling:
        """Set the numbers from rows of data (N, width), and return itself. A feature that never changes is only shifted.

        Raises:
            InputError: no rows, another width, an unknown kind, or a number that is not finite.
        """
        if data.ndim != 2 or data.shape[1] != self.width or len(data) == 0:
            raise InputError(f"Scaling: data {tuple(data.shape)}, expected (N, {self.width}) with N of 1 or more")
        rows = data.double()
        if not bool(torch.isfinite(rows).all()):
            raise InputError("Scaling: the data hold NaN or infinity; repair or leave out these rows")
        low, high = rows.amin(0), rows.amax(0)
        match kind:
            case "identity":
                shift, scale = torch.zeros_like(low), torch.ones_like(low)
            case "standard":
                shift, scale = rows.mean(0), rows.std(0, correction=0) + 1e-12
            case "range":
                shift, scale = (low + high) / 2, (high - low) / 2
            case _:
                raise InputError(f"Scaling: kind {kind!r}, expected identity, standard or range")
        scale = torch.where(high > low, scale, torch.ones_like(scale))
        for name, value in (("shift", shift), ("scale", scale), ("low", (low - shift) / scale), ("high", (high - shift) / scale)):
            getattr(self, name).copy_(value)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """u (..., width) in float32."""
        self._check(x)
        return (x.to(self.shift) - self.shift) / self.scale

    def inverse(self, u: Tensor) -> Tensor:
        """x (..., width)."""
        self._check(u)
        return u * self.scale + self.shift

    def clip(self, u: Tensor, factor: float = 1.1) -> Tensor:
        """U within the bounds of the fitted data, widened by a factor."""
        if self.widen == "multiply":
            return u.clamp(self.low * factor, self.high * factor)
        if not bool(torch.isfinite(self.high).all()):  # never fitted: infinite bounds have no centre
            return u
        centre, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return u.clamp(centre - factor * half, centre + factor * half)

    def _check(self, x: Tensor) -> None:
        if x.shape[-1:] != (self.width,):
            raise InputError(f"Scaling: a vector of {x.shape[-1] if x.ndim else 0} features, expected {self.width}")


class Normaliser(nn.Module):
    """The scaling of states (and goals) and that of actions.

    Args:
        state: of states and goals.
        action: of actions.
    """

    def __init__(self, state: Scaling, action: Scaling) -> None:
        super().__init__()
        self.state, self.action = state, action

    def fit(self, states: Tensor, actions: Tensor, *, state: Kind = "standard", action: Kind = "range") -> Normaliser:
        """Fit both to rows of data (N, S) and (N, A), and return itself."""
        self.state.fit(states, state)
        self.action.fit(actions, action)
        return self
