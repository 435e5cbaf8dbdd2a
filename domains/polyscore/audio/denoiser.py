"""Parameterisations of SGMSE+ and of the Schroedinger bridge: what a spectrogram network's output F means.

    F      = network(cat[c_in x_t, c_in cond], t), divided by sigma(t) or t where ``network_scaling`` says so
    score  = c_skip x_t + c_out F        predicts "score";   x0 = (x_t + sigma^2 score - b y) / a
    mean   = F                           predicts "mean", the process mean a x0 + b y;   x0 = (F - b y) / a
    x0     = c_skip x_t + c_out F        predicts "x0"
    v      = c_skip x_t + c_out F        predicts "velocity", dx/dt = a' x0 + b' y + sigma' z

with x_t = a x0 + b y + sigma z the process, and, sigma_d = ``sigma_data``,

    c_in    1 | edm: 1 / sqrt(sigma^2 + sigma_d^2)
    c_out   1 | -1 | sigma | 1/sigma | edm: sigma sigma_d / sqrt(sigma^2 + sigma_d^2)
    c_skip  0 | edm: sigma_d^2 / (sigma^2 + sigma_d^2)

The first SGMSE models have predicts "score" and c_out -1, the published bridges "x0" with all scalings neutral, flow matching
"velocity" (which needs sigma > 0 up to t = 1: no bridge).

Source: Richter et al. 2023, arXiv:2208.05830; Richter et al. 2024, arXiv:2409.10753;
Karras et al. 2022, arXiv:2206.00364; Lee et al. 2025, arXiv:2505.19476 (flow matching).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from polyscore.denoisers import Prediction
from polyscore.errors import ConfigError, InputError
from polyscore.processes import GaussianProcess, expand
from polyscore.processes.gaussian import Coefs
from polyscore.state import NONE, Given, LeafTime

__all__ = ["SpectrogramDenoiser", "spectrogram_inputs"]

_CHOICES = {
    "predicts": ("score", "mean", "x0", "velocity"),
    "c_in": ("1", "edm"),
    "c_out": ("1", "-1", "sigma", "1/sigma", "edm"),
    "c_skip": ("0", "edm"),
    "network_scaling": (None, "1/sigma", "1/t"),
}


class SpectrogramDenoiser(nn.Module):
    """Denoiser of complex spectrograms (B, 1, F, T) around a network such as `NCSNpp` (module docstring).

    The network sees the state and ``given.cond``: one spectrogram like the state, or a tuple of them; without it,
    ``given.y``.

    Raises:
        ConfigError: an unknown parameterisation.
    """

    def __init__(
        self,
        network: nn.Module,
        process: GaussianProcess,
        *,
        predicts: Literal["score", "mean", "x0", "velocity"] = "score",
        c_in: str = "1",
        c_out: str = "1",
        c_skip: str = "0",
        network_scaling: str | None = None,
        sigma_data: float = 0.1,
    ) -> None:
        super().__init__()
        found = {
            "predicts": predicts,
            "c_in": c_in,
            "c_out": c_out,
            "c_skip": c_skip,
            "network_scaling": network_scaling,
        }
        for name, value in found.items():
            if value not in _CHOICES[name]:
                choices = ", ".join(map(str, _CHOICES[name]))
                raise ConfigError(f"SpectrogramDenoiser: {name} is {value!r}; expected one of {choices}")
        self.network = network
        self.process = process
        self.predicts = predicts
        self.c_in = c_in
        self.c_out = c_out
        self.c_skip = c_skip
        self.network_scaling = network_scaling
        self.sigma_data = sigma_data

    def given(self, noisy: Tensor) -> Given:
        """End point and conditioning for the noisy spectrogram (B, 1, F, T): itself, both times."""
        return Given(y=noisy, cond=noisy)

    def forward(self, x: Tensor, t: LeafTime, given: Given = NONE) -> Prediction:
        """Predict x0 (B, 1, F, T) from the state x at time t (a number, or one per sample)."""
        out = self._output(x, t, given)
        if self.predicts == "x0":
            return Prediction(out)
        time, coefs = self._coefs(t, x)
        a, b, s = (expand(c, time, x).to(x.real.dtype) for c in coefs)
        if self.predicts == "velocity":
            return Prediction(self._from_velocity(out, x, time, given))
        mean = x + s.square() * out if self.predicts == "score" else out
        return Prediction((mean if given.y is None else mean - b * given.y) / a)

    def score(self, x: Tensor, t: LeafTime, given: Given = NONE) -> Tensor:
        """Score of the marginal at time t, (B, 1, F, T): the network's own where it predicts one."""
        if self.predicts == "score":
            return self._output(x, t, given)
        return self.process.score(x, self(x, t, given).x0, t, given=given)

    def _from_velocity(self, v: Tensor, x: Tensor, time: Tensor, given: Given) -> Tensor:
        """x0 of v = a' x0 + b' y + (sigma' / sigma) (x - a x0 - b y)."""
        (a, b, s), rates = self.process.coefs_of(time), self.process.rates(time)
        growth = rates.ds / s
        of_state, of_end, of_x0 = (
            expand(c, time, x).to(x.real.dtype) for c in (growth, rates.db - growth * b, rates.da - growth * a)
        )
        rest = v - of_state * x
        out: Tensor = (rest if given.y is None else rest - of_end * given.y) / of_x0
        return out

    def _coefs(self, t: LeafTime, x: Tensor) -> tuple[Tensor, Coefs]:
        time = torch.as_tensor(t, dtype=torch.float64).expand(x.shape[0])
        return time, self.process.coefs_of(time)

    def _output(self, x: Tensor, t: LeafTime, given: Given) -> Tensor:
        """c_skip x + c_out F, or F alone for the mean."""
        time, coefs = self._coefs(t, x)
        s = expand(coefs.s, time, x).to(x.real.dtype)
        root = torch.sqrt(s.square() + self.sigma_data**2)
        inputs = spectrogram_inputs(x, given)
        network_time = time.to(x.device, x.real.dtype)
        out: Tensor = self.network(inputs / root if self.c_in == "edm" else inputs, network_time)
        if self.network_scaling == "1/sigma":
            out = out / s
        elif self.network_scaling == "1/t":
            out = out / expand(network_time, network_time, x)
        if self.predicts == "mean":
            return out
        match self.c_out:
            case "-1":
                out = -out
            case "sigma":
                out = s * out
            case "1/sigma":
                out = out / s
            case "edm":
                out = (s * self.sigma_data / root) * out
        return out + (self.sigma_data / root).square() * x if self.c_skip == "edm" else out


def spectrogram_inputs(x: Tensor, given: Given) -> Tensor:
    """The state (B, 1, F, T) and ``given.cond``, or without it ``given.y``, on the channel axis: (B, 1 + n, F, T).

    Raises:
        InputError: what is given is no spectrogram, or not as large as the state.
    """
    cond = given.y if given.cond is None else given.cond
    parts = cond if isinstance(cond, tuple | list) else (cond,)
    if not all(isinstance(part, Tensor) and part.shape[-2:] == x.shape[-2:] for part in parts):
        raise InputError(
            "SpectrogramDenoiser: given.cond (or given.y) does not fit; expected one or more spectrograms "
            f"(B, 1, {x.shape[-2]}, {x.shape[-1]}), as large as the state"
        )
    return torch.cat([x, *(part.expand_as(x) for part in parts)], dim=1)
