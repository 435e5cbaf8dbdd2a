"""How good drawn motions are: which gaits there are, and features for their Frechet distance (`polyscore.evaluation.frechet`).

The features tell the gaits and their steadiness: mean and deviation of every joint, the deviation of its changes, the
product of both hips, the way that was made, and the slide of the standing foot.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyscore.robots.motion.walkers import GAITS, gait_of, slide

__all__ = ["features", "gait_shares"]


def features(motion: Tensor) -> Tensor:
    """(B, 18) of motions (B, T, 6)."""
    joints, hips = motion[..., 1:], motion[..., 2:4] - motion[..., 2:4].mean(1, keepdim=True)
    parts = [joints.mean(1), joints.std(1), 3 * motion.diff(dim=1).std(1)]
    single = [3 * (hips[..., 0] * hips[..., 1]).mean(1), motion[:, -1, 0] - motion[:, 0, 0], 3 * slide(motion).mean(1).sqrt()]
    return torch.cat([*parts, torch.stack(single, 1)], 1)


def gait_shares(motion: Tensor) -> dict[str, float]:
    """The share of every gait."""
    counts = torch.bincount(gait_of(motion), minlength=len(GAITS))
    return {name: float(n) / len(motion) for name, n in zip(GAITS, counts.tolist(), strict=True)}
