"""What a diffusers network is given and what its output means.

A diffusers network is called as `network(c_in x, timestep)`. Its output F gives x0 = c_skip x + c_out F by the table of
`polyscore.denoisers.precondition`, in the coordinates the network lives in: variance-preserving ones, x / sqrt(a^2 + s^2),
for beta tables, x itself for flows, EDM's own scaling for EDM. The scheduler may then limit x0, by clipping or dynamic
thresholding (Saharia et al. 2022, arXiv 2205.11487), and DDIM keeps the network's own eps when it does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from polyscore.denoisers import Prediction, scalings
from polyscore.denoisers.precondition import Predicts
from polyscore.processes import Coefs, GaussianProcess

__all__ = [
    "BoundaryReadout",
    "Clip",
    "DynamicThreshold",
    "EDMReadout",
    "FlowReadout",
    "Limit",
    "PredictionType",
    "Readout",
    "TableReadout",
]

PredictionType: TypeAlias = Literal["epsilon", "sample", "v_prediction", "flow_prediction"]
_PREDICTS: dict[str, Predicts] = {"epsilon": "eps", "sample": "x0", "v_prediction": "v", "flow_prediction": "flow"}


class Limit(Protocol):
    """A bound put on x0 (B, ...)."""

    def __call__(self, x0: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Clip:
    """Clamp x0 to [-bound, bound]."""

    bound: float = 1.0

    def __call__(self, x0: Tensor) -> Tensor:
        return x0.clamp(-self.bound, self.bound)


@dataclass(frozen=True)
class DynamicThreshold:
    """Clamp each sample to [-q, q] and divide by q, q the `ratio` quantile of abs(x0), held in [1, top] (at top, if top < 1)."""

    ratio: float = 0.995
    top: float = 1.0

    def __call__(self, x0: Tensor) -> Tensor:
        wide = x0 if x0.dtype in (torch.float32, torch.float64) else x0.float()
        q = torch.quantile(wide.flatten(1).abs(), self.ratio, dim=1).clamp(1, self.top)
        q = q.reshape(-1, *[1] * (x0.ndim - 1))
        return (torch.maximum(torch.minimum(wide, q), -q) / q).to(x0.dtype)


class Readout(Protocol):
    """Input scaling and meaning of a network's output at one time of a process."""

    def scale(self, process: GaussianProcess, x: Tensor, t: float) -> Tensor:
        """What the network is given."""
        ...

    def predict(self, process: GaussianProcess, x: Tensor, output: Tensor, t: float) -> Prediction:
        """x0 (and eps, where the sampler shall put back another than x0 implies) from the state and the network's output."""
        ...


def _coefs(process: GaussianProcess, t: float) -> tuple[float, float]:
    a, _, s = process.coefs_of(t)
    return float(a), float(s)


def _x0(predicts: Predicts, x: Tensor, output: Tensor, a: float, s: float) -> Tensor:
    if predicts == "x0":
        return output
    if predicts == "eps":
        return (x - s * output) / a  # infinite where a = 0, not undefined: a clipped prediction is finite again
    c = scalings(predicts, Coefs(*(torch.tensor(v, dtype=torch.float64) for v in (a, 0.0, s))))
    return float(c.skip) * x + float(c.out) * output


@dataclass(frozen=True)
class TableReadout:
    """Networks trained on a beta table, in variance-preserving coordinates whatever those of the state.

    Attributes:
        predicts: diffusers' prediction_type.
        limit: bound on x0.
        own_eps: put back the network's own eps where x0 was limited (DDIM).
    """

    predicts: PredictionType = "epsilon"
    limit: Limit | None = None
    own_eps: bool = False

    def scale(self, process: GaussianProcess, x: Tensor, t: float) -> Tensor:
        return x / math.hypot(*_coefs(process, t))

    def predict(self, process: GaussianProcess, x: Tensor, output: Tensor, t: float) -> Prediction:
        a, s = _coefs(process, t)
        norm = math.hypot(a, s)
        a, s, z = a / norm, s / norm, x / norm
        x0 = _x0(_PREDICTS[self.predicts], z, output, a, s)
        if self.limit is None:
            return Prediction(x0)
        eps = (a * output + s * z if self.predicts == "v_prediction" else output) if self.own_eps else None
        if self.own_eps and self.predicts == "sample":
            eps = (z - a * x0) / s
        return Prediction(self.limit(x0), eps)


@dataclass(frozen=True)
class FlowReadout:
    """Networks of a rectified flow: x is given as it is."""

    predicts: PredictionType = "flow_prediction"
    limit: Limit | None = None

    def scale(self, process: GaussianProcess, x: Tensor, t: float) -> Tensor:
        return x

    def predict(self, process: GaussianProcess, x: Tensor, output: Tensor, t: float) -> Prediction:
        x0 = _x0(_PREDICTS[self.predicts], x, output, *_coefs(process, t))
        return Prediction(x0 if self.limit is None else self.limit(x0))


@dataclass(frozen=True)
class EDMReadout:
    """EDM's preconditioning; "v_prediction" is the same with the output's sign turned.

    Attributes:
        predicts: "epsilon" or "v_prediction".
        sigma_data: standard deviation of the data.
        limit: bound on x0.
    """

    predicts: Literal["epsilon", "v_prediction"] = "epsilon"
    sigma_data: float = 0.5
    limit: Limit | None = None

    def scale(self, process: GaussianProcess, x: Tensor, t: float) -> Tensor:
        return x / math.hypot(_coefs(process, t)[1], self.sigma_data)

    def predict(self, process: GaussianProcess, x: Tensor, output: Tensor, t: float) -> Prediction:
        coefs = process.coefs_of(t)
        skip, out, _ = (float(c) for c in scalings("edm", coefs, sigma_data=self.sigma_data))
        x0 = skip * x + (out if self.predicts == "epsilon" else -out) * output
        return Prediction(x0 if self.limit is None else self.limit(x0))


@dataclass(frozen=True)
class BoundaryReadout:
    """A consistency model's output: x0 = x exactly at sigma_min (Song et al. 2023, arXiv 2303.01469).

    c_skip = sd^2 / ((sigma - sigma_min)^2 + sd^2), c_out = (sigma - sigma_min) sd / sqrt(sigma^2 + sd^2).
    """

    sigma_min: float = 0.002
    sigma_data: float = 0.5
    limit: Limit | None = None

    def scale(self, process: GaussianProcess, x: Tensor, t: float) -> Tensor:
        return x / math.hypot(_coefs(process, t)[1], self.sigma_data)

    def predict(self, process: GaussianProcess, x: Tensor, output: Tensor, t: float) -> Prediction:
        sigma, sd = _coefs(process, t)[1], self.sigma_data
        away = sigma - self.sigma_min
        x0 = sd**2 / (away**2 + sd**2) * x + away * sd / math.hypot(sigma, sd) * output
        return Prediction(x0 if self.limit is None else self.limit(x0))
