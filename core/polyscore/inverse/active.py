r"""Which entry to measure next: where the particles of a posterior sampler disagree most.

With K particles' measurements y_l^i of a candidate l and the noise n of a measurement, the entropy of the mixture of Gaussians
around them is bounded from below, up to a constant, by

    H(l) = - 1/K sum_i log sum_j exp(-|y_l^i - y_l^j|^2 / (2 (2 n^2)))  >=  the entropy but for the constant,

and the next measurement is argmax of H over what is unmeasured: pixels, lines of k-space, channels, any groups of entries.

Source: Nolan et al. 2025 (active diffusion subsampling), arXiv 2406.14388; Hershey and Olsen 2007 for entropies of mixtures.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["acquire", "disagreement"]


def disagreement(particles: Tensor, noise: float) -> Tensor:
    """H of every candidate, (L,), of particles' measurements (K, L) or, where a candidate has several entries, (K, L, E).

    Raises:
        InputError: fewer than two particles, or no positive noise.
    """
    if len(particles) < 2 or not noise > 0:
        raise InputError(f"disagreement: {len(particles)} particles, noise {noise}; expected at least 2, and a positive noise")
    values = particles.flatten(2) if particles.ndim > 2 else particles.unsqueeze(-1)
    gaps = (values.unsqueeze(0) - values.unsqueeze(1)).abs().square().sum(-1)  # (K, K, L)
    return -torch.logsumexp(-gaps / (4 * noise**2), 1).mean(0)


def acquire(
    estimate: Callable[[Tensor], Tensor],
    candidates: int,
    budget: int,
    *,
    noise: float,
    view: Callable[[Tensor], Tensor] = lambda x: x.flatten(1),
    start: Tensor | None = None,
) -> Tensor:
    """Measure `budget` of the candidates, one after the other, each where the particles disagree most.

    Args:
        estimate: the mask (L,) of what is measured to K particles (K, ...) that agree with it: runs of a posterior sampler, or
            one run that goes on with a growing mask.
        candidates: L.
        budget: how many are measured in the end.
        noise: n.
        view: particles to their measurements of all candidates, (K, L) or (K, L, E).
        start: mask (L,) of what is measured already.

    Returns:
        the mask (L,) of what was measured.

    Raises:
        InputError: a budget above the number of candidates.
    """
    mask = torch.zeros(candidates, dtype=torch.bool) if start is None else start.clone()
    if not int(mask.sum()) <= budget <= candidates:
        raise InputError(f"acquire: a budget of {budget} for {candidates} candidates, {int(mask.sum())} of them measured")
    while int(mask.sum()) < budget:
        score = disagreement(view(estimate(mask)), noise).cpu()
        mask[int(score.masked_fill(mask, -torch.inf).argmax())] = True
    return mask
