r"""Whether a model repeats its training data.

    ratio          |y - nearest training sample| / |y - second nearest|; near 0 for copies          `copy_ratio`
    copies         share of y with a ratio below a threshold (1/3: Yoon et al. 2023)                 `copied`
    authenticity   share of y that lie farther from their nearest training sample than that lies from its own (AuthPct)
    test           do samples lie nearer to the training set than unseen data do?  z of the Mann-Whitney statistic (C_T); below
                   -3 a model copies, near 0 it is as near as new data                               `three_sample`
    generalisation two models of disjoint halves of the data draw alike from the same noise           `agreement`

Sources: Yoon et al. 2023; Alaa et al. 2022, arXiv 2102.08921; Meehan et al. 2020, arXiv 2004.05675; Kadkhodaie et al. 2024, arXiv
2310.02557.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyscore.evaluation.distances import checked

__all__ = ["agreement", "authenticity", "copied", "copy_ratio", "three_sample"]

_EXACT = "donot_use_mm_for_euclid_dist"


def copy_ratio(drawn: Tensor, training: Tensor) -> Tensor:
    """Distance to the nearest over that to the second nearest training sample, (M,)."""
    x, y = checked(training, drawn)
    first, second = torch.cdist(y, x, compute_mode=_EXACT).topk(2, dim=1, largest=False).values.unbind(1)
    return torch.where(second > 0, first / second.clamp(min=1e-300), 0.0)


def copied(drawn: Tensor, training: Tensor, threshold: float = 1 / 3) -> float:
    """Share of samples with a ratio below the threshold."""
    return float((copy_ratio(drawn, training) < threshold).double().mean())


def authenticity(drawn: Tensor, training: Tensor) -> float:
    """Share of samples that are farther from their nearest training sample than it is from its nearest."""
    x, y = checked(training, drawn)
    distance, nearest = torch.cdist(y, x, compute_mode=_EXACT).min(1)
    own = torch.cdist(x, x, compute_mode=_EXACT).fill_diagonal_(torch.inf).min(1).values
    return float((distance > own[nearest]).double().mean())


def three_sample(drawn: Tensor, unseen: Tensor, training: Tensor) -> float:
    """z of "a drawn sample lies farther from the training set than an unseen one": below 0 means nearer, copies far below."""
    x, y = checked(training, drawn)
    _, u = checked(training, unseen)
    mine, theirs = (torch.cdist(v, x, compute_mode=_EXACT).min(1).values for v in (y, u))
    wins = torch.gt(mine[:, None], theirs).double().sum() + torch.eq(mine[:, None], theirs).double().sum() / 2
    m, n = len(mine), len(theirs)
    return float((wins - m * n / 2) / (m * n * (m + n + 1) / 12) ** 0.5)


def agreement(one: Tensor, other: Tensor) -> Tensor:
    """Cosine of two models' samples from the same noise, about their joint mean, (B,): 1 where both have learned the same law."""
    centre = (one + other).mean(0, keepdim=True) / 2
    a, b = ((v - centre).flatten(1).double() for v in (one, other))
    out: Tensor = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-12)
    return out
