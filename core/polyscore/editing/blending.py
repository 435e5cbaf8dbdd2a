r"""Edits that stay inside a mask, and the mask that a change of condition asks for.

Of a batch of pairs, the target's prediction outside the mask is the source's,

    x0' <- m x0' + (1 - m) x0;

with one start and the same noise for both the target's states are there those of the source, bit for bit. The mask is where the
two conditions disagree about the noised source,

    d = mean over draws of |D(x_t, c') - D(x_t, c)|, averaged over channels,     m = [d > threshold max d].

Sources: Couairon et al. 2022 (DiffEdit), arXiv 2210.11427; Mo et al. 2024 (mask-guided blending), arXiv 2411.19652.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers.base import Denoiser, Prediction
from polyscore.editing.pairs import halves, joined
from polyscore.guidance.wrapper import Wrapper
from polyscore.noise import NoiseLike, as_noise
from polyscore.processes import GaussianProcess
from polyscore.state import Given, map_state

__all__ = ["Blended", "difference_mask"]


@dataclass(frozen=True, eq=False)
class Blended(Wrapper):
    """The rule of the module docstring.

    Args:
        denoiser: of pairs.
        mask: m, broadcast to the state (B, ...); a mapping for mapping states. 1 everywhere is the denoiser, bit for bit.
    """

    mask: Any

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        prediction = self.denoiser(x, t, given)
        here, there = halves(prediction.x0)
        target = map_state(lambda m, a, b: torch.where(m.to(b.device).bool(), b, a), self.mask, here, there)
        return replace(prediction, x0=joined(here, target))


def difference_mask(
    denoiser: Denoiser,
    process: GaussianProcess,
    x: Tensor,
    given: tuple[Given, Given],
    *,
    t: float,
    threshold: float = 0.5,
    draws: int = 8,
    noise: NoiseLike = 0,
) -> Tensor:
    """m (B, 1, ...) of data x (B, C, ...) at noise level t, for a change from the first condition to the second."""
    source, total = as_noise(noise), torch.zeros_like(x.real[:, :1])
    for _ in range(draws):
        noised = process.perturb(x, t, given=given[0], noise=source).x
        old, new = (denoiser(noised, t, one).x0 for one in given)
        total = total + (new - old).abs().mean(1, keepdim=True)
    return total > threshold * total.flatten(1).amax(1).view(-1, *[1] * (x.ndim - 1))
