"""Known regions: parts of the data that are given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers.base import Prediction
from polyscore.errors import InputError
from polyscore.guidance.wrapper import Wrapper
from polyscore.state import Given, State, Time, map_state

__all__ = ["KnownRegion"]


@dataclass(frozen=True, eq=False)
class KnownRegion(Wrapper):
    """x0 <- known where mask = 1: the replacement method (Song et al. 2021, arXiv 2011.13456) as a denoiser.

    With x0 exact there, every step of a sampler draws the region of the next state from the true q(x_u | x_t, x0), so the region
    is at all times a properly noised `known`, with whatever sampler, and ends as `known` itself. The rest sees it only through
    the model: an approximation of the conditional law (`RePaint` improves it by resampling; `hold` is exact for models trained
    with a time per leaf).

    Args:
        denoiser: the denoiser.
        known: the data, broadcast to the state; a mapping for mapping states.
        mask: 1 where `known` holds; broadcast to the state.

    Raises:
        InputError: the wrapped prediction brings its own eps, which contradicts the region.
    """

    known: Any
    mask: Any

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        prediction = self.denoiser(x, t, given)
        if prediction.eps is not None:
            raise InputError(
                "KnownRegion: the wrapped denoiser brings its own eps, which contradicts the region; put the region inside: "
                "CFGPlusPlus(KnownRegion(...), ...)"
            )
        x0 = map_state(self._leaf, self.mask, self.known, prediction.x0)
        return replace(prediction, x0=x0)

    def _leaf(self, mask: Tensor, known: Tensor, made: Tensor) -> Tensor:
        return torch.where(mask.to(made.device).bool(), known.to(made), made)
