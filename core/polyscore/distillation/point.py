"""One evaluation of a distillation rule: a noised view and what the model says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polyscore.denoisers import Denoiser
from polyscore.errors import InputError
from polyscore.processes import Coefs, GaussianProcess, expand
from polyscore.state import Given

__all__ = ["Point", "Stretch"]


class Stretch(NamedTuple):
    """The last stretch of an inversion: the state x at its start s, and the eps that was followed from there."""

    x: Tensor
    s: Tensor
    eps: Tensor


@dataclass(frozen=True)
class Point:
    """A view z at the noise level t.

    Attributes:
        z: the view (B, ...), a rendered image or latent, without gradient.
        x: its noised state a z + s n, or what an inversion made of z.
        t: times (B,), float64.
        noise: the drawn noise n.
        denoiser, process: the frozen model.
        prompts: what is given, by name ("cond", "null", "negative", ...); also tensors a rule needs ("reference").
        progress: how far the run is, from 0 to 1.
        uniform: one number in [0, 1) a sample, (B,), for rules that draw a second time.
        stretch: the last stretch of an inversion, where there was one.
    """

    z: Tensor
    x: Tensor
    t: Tensor
    noise: Tensor
    denoiser: Denoiser
    process: GaussianProcess
    prompts: Mapping[str, Any]
    progress: float = 0.0
    uniform: Tensor = field(default_factory=lambda: torch.zeros(1))
    stretch: Stretch | None = None
    _said: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def eps(self, prompt: str) -> Tensor:
        """The model's noise (x - a x0) / s under the prompt of that name; asked once however many terms use it.

        Raises:
            InputError: no prompt of that name.
        """
        if prompt not in self._said:
            if prompt not in self.prompts:
                raise InputError(f"distillation: the rule asks for the prompt {prompt!r}; given are {sorted(self.prompts)}")
            given = self.prompts[prompt]
            given = given if isinstance(given, Given) else Given(cond=given)
            time = self.t.to(self.x.device)
            x0 = self.denoiser(self.x, time, given).x0
            self._said[prompt] = self.process.eps(self.x, x0, time, given=given)
        return self._said[prompt]

    def at(self, x: Tensor, t: Tensor) -> Point:
        """The same view in another state, at another time."""
        return replace(self, x=x, t=t, _said={})

    def under(self, denoiser: Denoiser) -> Point:
        """The same state seen by another model."""
        return replace(self, denoiser=denoiser, _said={})

    def coefs(self, t: Tensor | None = None) -> Coefs:
        """a, b, s at t, ready to multiply the state."""
        time = self.t if t is None else t
        values = (expand(c, time, self.x).to(self.x.dtype) for c in self.process.coefs_of(time))
        return Coefs(*(c.to(self.x.device) for c in values))

    def noised(self, z: Tensor, t: Tensor) -> Tensor:
        """a z + s n at time t with the noise of this point."""
        a, _, s = self.coefs(t)
        return a * z + s * self.noise

    def moved(self, eps: Tensor, t: Tensor) -> Tensor:
        """The deterministic (DDIM) step to time t along eps: a_t (x - s eps) / a + s_t eps."""
        now, then = self.coefs(), self.coefs(t)
        return then.a * ((self.x - now.s * eps) / now.a) + then.s * eps

    def clean(self, eps: Tensor) -> Tensor:
        """What eps says the clean view is: (x - s eps) / a."""
        a, _, s = self.coefs()
        return (self.x - s * eps) / a
