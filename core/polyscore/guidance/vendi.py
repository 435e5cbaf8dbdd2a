r"""Guidance towards variety: the samples of a batch, and those made before, keep out of each other's way.

With VS the Vendi score (`polyscore.variety`), h features of the predicted data, M what was made before and E examples:

    x0 <- x0 + r^2 grad_x0 [ scale n ln VS(h and M) - exemplar_scale (k + 1) sum_i ln VS(h_i and E) ],     r^2 = s^2 / (a^2 + s^2)

for n samples in the batch and the memory, and k examples; without the counts the pull on one sample would fade as sets grow. The
first term moves samples apart, the second moves each towards the examples (a set to which it adds nothing new). The gradient is
taken at the predicted data, without a pass backwards through the network; r^2, the variance that x_t leaves to unit data, lets it
fade with the noise, so that the model has the last word.

Source: Hemmat et al. 2024, arXiv 2406.04551, who normalise the gradient; Friedman and Dieng 2023, arXiv 2210.02410 (the score).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers.base import Prediction
from polyscore.guidance.wrapper import Wrapper, each_leaf, held, real
from polyscore.state import Given, LeafTime, State, Time, map_state
from polyscore.variety import entropy

__all__ = ["VendiGuidance", "flat"]


def flat(x0: State) -> Tensor:
    """All entries as features (B, K); a complex one is two."""
    parts = x0.values() if isinstance(x0, Mapping) else [x0]
    return torch.cat([(torch.view_as_real(part) if part.is_complex() else part).flatten(1) for part in parts], 1)


@dataclass(frozen=True, eq=False)
class VendiGuidance(Wrapper):
    """Samples of one batch made different from each other and from a memory (module docstring).

    The samples of a batch see each other, so a sample depends on its batch. Outermost of all wrappers: a doubled batch (`CFG`
    inside is right, outside is not) would be taken for twice as many samples. Only `Interval` goes around it: in runs of few
    steps, variety that is asked for until the end drives samples off the data; `Interval(guided, denoiser, 0.3, 1.0)` does not.

    Args:
        denoiser: any.
        process: the process of the run.
        similarity: features (n, K) to similarities (n, n) with 1 on the diagonal: `cosine`, or `gaussian` of a width at which
            samples count as alike. It is not looked at (`vendi` does, once): a run does not wait for the device.
        scale: strength; with `exemplar_scale` also 0 it is the plain denoiser, bit for bit.
        features: x0 (B, ...) to features (B, K), differentiable.
        memory: features (m, K) of samples made before; `remembering` adds to them.
        exemplars: features (k, K) of examples to keep to.
        exemplar_scale: strength of these.
    """

    process: Any
    similarity: Callable[[Tensor], Tensor]
    scale: float = 1.0
    features: Callable[[State], Tensor] = flat
    memory: Tensor | None = None
    exemplars: Tensor | None = None
    exemplar_scale: float = 0.0

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        prediction = self.denoiser(x, t, given)
        if self.scale == 0.0 and self.exemplar_scale == 0.0:
            return prediction
        with torch.inference_mode(False), torch.enable_grad():
            own = map_state(lambda x0: x0.detach().clone().requires_grad_(), prediction.x0)
            leaves = list(own.values()) if isinstance(own, Mapping) else [own]
            wanted = self._wanted(self.features(own))
            gradients = torch.autograd.grad(wanted, leaves, materialize_grads=True)
        gradient: State = dict(zip(own, gradients, strict=True)) if isinstance(own, Mapping) else gradients[0]
        x0 = each_leaf(self._shifted, self.process, x, t, given, prediction.x0, gradient)
        if isinstance(x0, Mapping):
            x0 = {name: prediction.x0[name] if held(t, name) else part for name, part in x0.items()}
        return replace(prediction, x0=x0)

    def remembering(self, samples: State) -> VendiGuidance:
        """The same with these samples (B, ...) in its memory."""
        with torch.no_grad():
            found = self.features(samples)
        return replace(self, memory=found if self.memory is None else torch.cat([self.memory, found.to(self.memory)]))

    def _wanted(self, features: Tensor) -> Tensor:
        total = features.new_zeros(())
        if self.scale != 0.0:
            total = total + self.scale * self._score(features, self.memory)
        if self.exemplar_scale != 0.0:
            each = torch.stack([self._score(row, self.exemplars) for row in torch.split(features, 1)])
            total = total - self.exemplar_scale * each.sum()
        return total

    def _score(self, features: Tensor, others: Tensor | None) -> Tensor:
        """n ln VS of the features and others, n in all."""
        known = features if others is None else torch.cat([features, others.to(features)])
        return len(known) * entropy(self.similarity(known))

    def _shifted(self, process: Any, x: Tensor, t: LeafTime, given: Given, x0: Tensor, gradient: Tensor) -> Tensor:
        a, _, s = (real(c, t, x) for c in process.coefs_of(t))
        return x0 + s**2 / (a**2 + s**2) * gradient
