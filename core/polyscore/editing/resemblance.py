r"""Guide-and-rescale: an edit that looks at what the model saw in the source, with the strength of guidance itself.

Along the source's path z* of `invert`, with A the attention maps and F the features of chosen modules,

    E(x_t) = v_A sum mean |A(z*_t) - A(x_t)|^2 + v_F sum mean |F(z*_t) - F(x_t)|^2,
    x0 = x0(null) + g + r,     g = w (x0(cond) - x0(null)),     r = -(s / a) grad E,

r made as long as c |g| with c = |r| / |g| cut to [low, high], so that neither term drowns the other and the noise left in the
state keeps its size, whatever the weights v are.

Source: Titov et al. 2024, arXiv 2409.01322.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.denoisers.base import Denoiser, Prediction
from polyscore.editing.attention import maps_of
from polyscore.editing.hooks import recorded
from polyscore.editing.path import Path
from polyscore.guidance.classifier_free import CFG, Null, without
from polyscore.guidance.wrapper import Wrapper, real
from polyscore.state import Given, LeafTime

__all__ = ["GuideAndRescale", "Resemblance"]


@dataclass(frozen=True, eq=False)
class Resemblance:
    """-E (B,): an energy for `GuideAndRescale`, or, as it is, a log-probability for `ClassifierGuidance`.

    Args:
        denoiser: the conditional model, differentiable.
        path: of the source.
        source: what describes the source.
        attention: modules whose maps are compared.
        features: modules whose outputs are compared.
        weights: v_A, v_F.
    """

    denoiser: Denoiser
    path: Path
    source: Given
    attention: Sequence[nn.Module] = ()
    features: Sequence[nn.Module] = ()
    weights: tuple[float, float] = (1.0, 1.0)

    def __call__(self, x: Tensor, t: LeafTime, given: Given) -> Tensor:
        with torch.no_grad():
            there = self._seen(self.path.states[self.path.index(t)], t, self.source)
        energy = x.new_zeros(len(x), dtype=x.real.dtype)
        for weight, old, new in zip(self.weights, there, self._seen(x, t, given), strict=True):
            for a, b in zip(old, new, strict=True):
                energy = energy + weight * (a - b).abs().square().flatten(1).mean(1)
        return -energy

    def _seen(self, x: Tensor, t: LeafTime, given: Given) -> tuple[list[Tensor], list[Tensor]]:
        with recorded(self.features) as features:
            maps = maps_of(self.attention, lambda: self.denoiser(x, t, given))
        return [m.reshape(len(x), -1) for m in maps], features


@dataclass(frozen=True, eq=False)
class GuideAndRescale(Wrapper):
    """The rule of the module docstring.

    Args:
        denoiser: the conditional model.
        process: of the run, which takes the path's times.
        null: the null condition, as for `CFG`.
        scale: w.
        energy: -E; None is `CFG(passes=2)`, bit for bit.
        ratio: low and high of c.
    """

    process: Any
    null: Null
    scale: float = 7.5
    energy: Resemblance | None = None
    ratio: tuple[float, float] = (0.33, 3.0)

    def __call__(self, x: Tensor, t: LeafTime, given: Given) -> Prediction:
        prediction = CFG(self.denoiser, self.null, self.scale, passes=2)(x, t, given)
        if self.energy is None:
            return prediction
        with torch.inference_mode(False), torch.enable_grad():
            own = x.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.energy(own, t, given).sum(), own)
        a, _, s = (real(c, t, x) for c in self.process.coefs_of(t))
        pull = torch.where(a > 0, s / a, torch.zeros_like(a)) * gradient
        null = prediction.extra["null"] if "null" in prediction.extra else self.denoiser(x, t, without(given, self.null)).x0
        guided = _length(prediction.x0 - null)
        least = torch.finfo(pull.real.dtype).tiny
        ratio = (_length(pull) / guided.clamp(min=least)).clamp(*self.ratio)
        return replace(prediction, x0=prediction.x0 + pull * (ratio * guided / _length(pull).clamp(min=least)))


def _length(x: Tensor) -> Tensor:
    size: Tensor = torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim)), keepdim=True)
    return size
