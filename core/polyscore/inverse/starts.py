r"""One start for all: the noise with which a deterministic sampler restores a few known pairs best serves unknown ones as well.

    z* = argmin over z_1 .. z_K ~ prior of  mean over pairs (x, y) of d(h(z, y), x),

h being the sampler. It takes away the luck of the draw: the restoration of one input no longer differs from run to run.

Source: Ma et al. 2023 (optimal boundary conditions for super-resolution), arXiv 2305.15357.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["shared_start"]


def shared_start(
    restore: Callable[[Tensor], Tensor], references: Tensor, candidates: Tensor, *, distance: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The best candidate, (...), and the mean distance of each, (K,).

    Args:
        restore: starts (R, ...) to restorations (R, ...) of the R references' measurements.
        references: true data (R, ...).
        candidates: prior noise (K, ...).
        distance: (restored, true) to (R,).

    Raises:
        InputError: no candidates.
    """
    if len(candidates) == 0:
        raise InputError("shared_start: no candidates; expected at least one start")
    scores = [distance(restore(z.expand(len(references), *z.shape)), references).mean() for z in candidates]
    values = torch.stack(scores)
    return candidates[int(values.argmin())], values
