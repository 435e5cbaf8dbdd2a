"""Perturbed-attention guidance: away from what the model says when its tokens do not see each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from polyscore.denoisers.base import Prediction
from polyscore.guidance.attention import Identity, Maps, replaced
from polyscore.guidance.wrapper import Wrapper, between
from polyscore.state import Given, State, Time

__all__ = ["PerturbedAttention"]


@dataclass(frozen=True)
class PerturbedAttention(Wrapper):
    """x0 = x0(denoiser) + scale (x0(denoiser) - x0(perturbed)) (Ahn et al. 2024, arXiv 2403.17377).

    The perturbed prediction is the denoiser's own with the attention maps of `modules` replaced by I, so no condition, no second
    model and no training is needed. Linear in x0, so the same in eps; of categories it acts on the logits. scale = 0 is the
    denoiser (one call, bit for bit). Inside or outside of `CFG` it composes with it. `extra` holds the two x0 as "cond" and
    "null", which `Rescale` reads.

    Args:
        denoiser: the denoiser.
        modules: where attention is perturbed: some layers of the network, or the network itself.
        scale: strength; the paper's values lie between 0.5 and 3.
        maps: what stands in for attention.

    Raises:
        InputError: the denoiser made no attention map inside `modules`.
    """

    modules: Sequence[nn.Module]
    scale: float = 1.0
    maps: Maps = field(default_factory=Identity)

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        good = self.denoiser(x, t, given)
        if self.scale == 0.0:
            return good
        with replaced(self.maps, self.modules) as replacement:
            bad = self.denoiser(x, t, given)
        replacement.require()
        x0 = between(bad.x0, good.x0, 1 + self.scale)
        return replace(good, x0=x0, extra={**good.extra, "cond": good.x0, "null": bad.x0})
