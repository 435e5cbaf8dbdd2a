r"""From a network's raw output F to a prediction of x0, in one place.

Every parameterisation is affine on z = x - b y:  x0 = c_skip z + c_out F(c_in x, c_noise), with

    predicts   c_skip                  c_out                    the network learns
    "x0"       0                       1                        x0
    "eps"      1 / a                   -s / a                   eps                      (Ho et al. 2020, arXiv 2006.11239)
    "score"    1 / a                   s^2 / a                  -eps / s                 (Song et al. 2021, arXiv 2011.13456)
    "v"        a / (a^2 + s^2)         -s / (a^2 + s^2)         a eps - s x0             (Salimans and Ho 2022, arXiv 2202.00512)
    "flow"     1 / (a + s)             -s / (a + s)             eps - x0                 (Lipman et al. 2022, arXiv 2210.02747)
    "edm"      (sd^2 / r^2) / a        sigma sd / r             the EDM mixture          (Karras et al. 2022, arXiv 2206.00364)

with sigma = s / a, sd = sigma_data, r^2 = sigma^2 + sd^2. c_in is 1, and 1 / (a r) for "edm".
The inverse, F = (x0 - c_skip z) / c_out, is the training target.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from polyscore.denoisers.base import Prediction
from polyscore.errors import InputError
from polyscore.processes import GaussianProcess, expand
from polyscore.processes.gaussian import Coefs
from polyscore.state import NONE, Given, LeafTime

__all__ = ["Precondition", "Predicts", "Scalings", "TimeInput", "scalings"]

Predicts: TypeAlias = Literal["x0", "eps", "score", "v", "flow", "edm"]
TimeInput: TypeAlias = Literal["t", "log_snr", "index", "edm"]


class Scalings(NamedTuple):
    """c_skip, c_out, c_in of x0 = c_skip z + c_out F(c_in x)."""

    skip: Tensor
    out: Tensor
    inp: Tensor


def scalings(predicts: Predicts, coefs: Coefs, *, sigma_data: float = 0.5) -> Scalings:
    """The table of the module docstring.

    Raises:
        InputError: an unknown parameterisation.
    """
    a, _, s = coefs
    one = torch.ones_like(a)
    match predicts:
        case "x0":
            return Scalings(0 * one, one, one)
        case "eps":
            return Scalings(1 / a, -s / a, one)
        case "score":
            return Scalings(1 / a, s**2 / a, one)
        case "v":
            return Scalings(a / (a**2 + s**2), -s / (a**2 + s**2), one)
        case "flow":
            return Scalings(1 / (a + s), -s / (a + s), one)
        case "edm":
            sigma = s / a
            root = torch.sqrt(sigma**2 + sigma_data**2)
            return Scalings((sigma_data / root) ** 2 / a, sigma * sigma_data / root, 1 / (a * root))
        case _:
            raise InputError(f"predicts: {predicts!r}, expected one of x0, eps, score, v, flow, edm")


class Precondition(nn.Module):
    """A network and a process make a denoiser.

    The network is called as `network(x, time, given)` with x (B, ...) in the dtype of its parameters and time (B,) in float32 (or
    float64 for a float64 network); its output has the shape of x. States keep their own dtype.

    Args:
        network: the network.
        process: the forward process it was, or will be, trained on.
        predicts: what F means, see the module docstring.
        time: the network's second input: "t", "log_snr" (ln(a / s)), "index" (N t - 1 of a table of N = `steps`),
            "edm" (ln(sigma) / 4).
        sigma_data: standard deviation of the data, read by "edm" only.
        steps: N of "index".
    """

    def __init__(
        self,
        network: nn.Module,
        process: GaussianProcess,
        *,
        predicts: Predicts = "eps",
        time: TimeInput = "t",
        sigma_data: float = 0.5,
        steps: int = 1000,
    ) -> None:
        super().__init__()
        self.network = network
        self.process = process
        self.predicts = predicts
        self.time = time
        self.sigma_data = sigma_data
        self.steps = steps

    def scalings(self, t: LeafTime, x: Tensor) -> Scalings:
        """c_skip, c_out, c_in at t, shaped to multiply x."""
        time = torch.as_tensor(t, dtype=torch.float64)
        coefs = self.process.coefs_of(time)
        dtype = x.real.dtype if x.is_complex() else x.dtype
        return Scalings(*(expand(c, time, x).to(dtype) for c in scalings(self.predicts, coefs, sigma_data=self.sigma_data)))

    def noise_input(self, t: LeafTime, x: Tensor) -> Tensor:
        """c_noise (B,) or of t's shape: what the network is told about the time."""
        time = torch.as_tensor(t, dtype=torch.float64)
        match self.time:
            case "t":
                value = time
            case "log_snr":
                value = self.process.half_log_snr(time)
            case "index":
                value = time * self.steps - 1
            case "edm":
                value = torch.log(self.process.sigma(time)) / 4
            case _:
                raise InputError(f"time: {self.time!r}, expected one of t, log_snr, index, edm")
        value = value.to(x.device, torch.float64 if self._dtype(x) == torch.float64 else torch.float32)
        return value.expand(x.shape[0]) if value.ndim == 0 else value

    def raw(self, x: Tensor, t: LeafTime, given: Given = NONE) -> Tensor:
        """F, the network's own output at (x, t), in x's dtype."""
        inp = self.scalings(t, x).inp
        return self.network((inp * x).to(self._dtype(x)), self.noise_input(t, x), given).to(x.dtype)  # type: ignore[no-any-return]

    def target(self, x: Tensor, x0: Tensor, t: LeafTime, given: Given = NONE) -> Tensor:
        """F for which the prediction is x0: (x0 - c_skip z) / c_out."""
        c = self.scalings(t, x)
        return (x0 - c.skip * self._centred(x, t, given)) / c.out

    def forward(self, x: Tensor, t: LeafTime, given: Given = NONE) -> Prediction:
        """x0 = c_skip (x - b y) + c_out F."""
        c = self.scalings(t, x)
        out = self.raw(x, t, given)
        return Prediction(c.out * out if self.predicts == "x0" else c.skip * self._centred(x, t, given) + c.out * out)

    def _centred(self, x: Tensor, t: LeafTime, given: Given) -> Tensor:
        if given.y is None:
            return x
        time = torch.as_tensor(t, dtype=torch.float64)
        b = expand(self.process.coefs_of(time).b, time, x)
        centred: Tensor = x - b.to(x.real.dtype if x.is_complex() else x.dtype) * given.y
        return centred

    def _dtype(self, x: Tensor) -> torch.dtype:
        first: Any = next(self.network.parameters(), None)
        return x.dtype if first is None or x.is_complex() else first.dtype
