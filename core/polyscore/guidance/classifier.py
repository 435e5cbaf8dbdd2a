r"""Classifier guidance: the gradient of any log-probability."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers.base import Prediction
from polyscore.guidance.wrapper import Wrapper, each_leaf, held, real
from polyscore.state import Given, LeafTime, State, Time, map_state

__all__ = ["ClassifierGuidance"]


@dataclass(frozen=True)
class ClassifierGuidance(Wrapper):
    """score <- score + scale grad_x ln p(c | x_t), that is x0 <- x0 + scale (s^2 / a) grad_x ln p(c | x_t).

    Dhariwal and Nichol 2021 (arXiv 2105.05233). With the true p(c | x_t) and scale 1 it is the exact conditional denoiser. The
    log-probability may be a noisy classifier, an energy, or a function of a denoiser's own x0 (Chung et al. 2023, arXiv
    2209.14687): only its gradient in x is used. scale = 0 is the plain denoiser, bit for bit. Where a = 0 the state says nothing
    about the data and the prediction is left as it is.

    Args:
        denoiser: the denoiser.
        process: the process of the run.
        log_prob: (x, t, given) -> ln p(c | x_t) per sample, (B,), differentiable in x; a mapping state gives it the mapping.
        scale: strength.

    Gradients flow through the guided prediction where gradients are enabled and x carries them.
    """

    process: Any
    log_prob: Callable[[Any, Any, Given], Tensor]
    scale: float = 1.0

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        prediction = self.denoiser(x, t, given)
        if self.scale == 0.0:
            return prediction
        gradient = self._gradient(x, t, given)
        x0 = each_leaf(self._shifted, self.process, x, t, given, prediction.x0, gradient)
        if isinstance(x0, Mapping):  # leaves held at t = 0 keep their prediction
            x0 = {name: prediction.x0[name] if held(t, name) else part for name, part in x0.items()}
        return replace(prediction, x0=x0)

    def _gradient(self, x: State, t: Time, given: Given) -> State:
        leaves = list(x.values()) if isinstance(x, Mapping) else [x]
        graph = torch.is_grad_enabled() and any(leaf.requires_grad for leaf in leaves)
        with torch.inference_mode(False), torch.enable_grad():
            own = map_state(lambda leaf: leaf if leaf.requires_grad else leaf.clone().requires_grad_(), x)
            inputs = list(own.values()) if isinstance(own, Mapping) else [own]
            gradients = torch.autograd.grad(
                self.log_prob(own, t, given).sum(), inputs, create_graph=graph, materialize_grads=True
            )
        return dict(zip(x, gradients, strict=True)) if isinstance(x, Mapping) else gradients[0]

    def _shifted(self, process: Any, x: Tensor, t: LeafTime, given: Given, x0: Tensor, gradient: Tensor) -> Tensor:
        a, _, s = (real(c, t, x) for c in process.coefs_of(t))
        factor = torch.where(a > 0, s**2 / a, torch.zeros_like(a))
        return x0 + self.scale * factor * gradient
