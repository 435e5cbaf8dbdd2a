r"""DiffEditor: move a part of an image by the model's own features, with noise only where something changes.

With F the features of chosen modules at the image's size, M the region that moves, T its shift and S the mean cosine, in [0, 1],

    E(x_t) = v_e / (1 + 4 S(F(x_t), T F(z*_t) in T M)) + v_c / (1 + 4 S(F(x_t), F(z*_t) outside M and T M)),

where the first term moves only what is in M or T M, the second what is outside (regional gradients). -E is a log-probability for
`ClassifierGuidance`. `regional_sde` samples with fresh noise inside a mask and without it outside; each step may be repeated
(time travel): the state goes back by one step of noise and comes down again.

Sources: Mou et al. 2024 (DragonDiffusion), arXiv 2307.02421; Mou et al. 2024 (DiffEditor), arXiv 2402.02583.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.denoisers.base import Denoiser
from polyscore.editing.hooks import recorded
from polyscore.editing.path import Path
from polyscore.errors import InputError
from polyscore.samplers import RePaint
from polyscore.state import Given, LeafTime

__all__ = ["Moved", "regional_sde"]


@dataclass(frozen=True, eq=False)
class Moved:
    """-E (B,) of images (B, C, H, W).

    Args:
        denoiser: the model, differentiable.
        path: of the source, whose times the sampler takes.
        source: what describes the source.
        features: modules with outputs (B, C', H', W').
        region: M, (H, W) of 0 and 1.
        shift: T, rows down and columns to the right.
        weights: v_e, v_c.

    Raises:
        InputError: modules with other outputs.
    """

    denoiser: Denoiser
    path: Path
    source: Given
    features: Sequence[nn.Module]
    region: Tensor
    shift: tuple[int, int]
    weights: tuple[float, float] = (1.0, 1.0)

    def __call__(self, x: Tensor, t: LeafTime, given: Given) -> Tensor:
        there = self.region.to(x).roll(self.shift, (0, 1))
        changed = torch.maximum(self.region.to(x), there)
        with torch.no_grad():
            old = self._seen(self.path.states[self.path.index(t)], t, self.source)
        moving = self._seen(changed * x + (1 - changed) * x.detach(), t, given)
        staying = self._seen(changed * x.detach() + (1 - changed) * x, t, given)
        energy = x.new_zeros(len(x))
        for f, g, h in zip(old, moving, staying, strict=True):
            energy = energy + self.weights[0] / (1 + 4 * _likeness(g, f.roll(self.shift, (2, 3)), there))
            energy = energy + self.weights[1] / (1 + 4 * _likeness(h, f, 1 - changed))
        return -energy

    def _seen(self, x: Tensor, t: LeafTime, given: Given) -> list[Tensor]:
        with recorded(self.features) as features:
            self.denoiser(x, t, given)
        if any(f.ndim != 4 for f in features) or not features:
            raise InputError(f"Moved: features {[tuple(f.shape) for f in features]}, expected modules with outputs (B, C, H, W)")
        return [functional.interpolate(f, x.shape[2:], mode="bilinear", align_corners=False) for f in features]


def _likeness(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    cosine = functional.cosine_similarity(a, b, dim=1)
    return ((0.5 + 0.5 * cosine) * mask).flatten(1).sum(1) / mask.sum().clamp(min=1)


def regional_sde(mask: Tensor, *, eta: float = 1.0, repeats: int = 1, jump: int = 1) -> RePaint:
    """A sampler that is stochastic, with `eta`, where `mask` is 1, and the probability flow (DDIM) where it is 0.

    Args:
        mask: broadcast to a sample (C, H, W).
        eta: of the steps inside.
        repeats: how often a step is made, 1 is once; the jumps back add noise everywhere.
        jump: how many steps a repetition goes back.
    """
    nothing = torch.zeros(())
    return RePaint(nothing, nothing, jump=jump, resamplings=repeats, eta=eta * mask.double())  # type: ignore[arg-type]
