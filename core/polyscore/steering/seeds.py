r"""Seeds that are better than others, if there are any.

With scores r_ps of prompts (or classes, inputs) p and seeds s, the rank of a seed is the mean over prompts of its rank within the
prompt. Ranks mean something only if they carry over: prompts are split in halves at random, and Spearman's correlation of the
two halves' mean ranks is averaged over splits; its interval comes from permuting the seeds within each prompt, which is what
seeds without an effect look like.

Source: Xu et al. 2025 (Good Seed Makes a Good Crop), arXiv 2405.14828.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["SeedRanking", "rank_seeds"]


@dataclass(frozen=True)
class SeedRanking:
    """What `rank_seeds` found.

    Attributes:
        order: seeds, best first.
        rank: mean rank of each seed, 0 the worst, 1 the best, (S,).
        transfer: mean Spearman correlation of halves.
        chance: the 95th percentile of it without an effect.
    """

    order: Tensor
    rank: Tensor
    transfer: float
    chance: float

    @property
    def matters(self) -> bool:
        """Whether the ranking carries over to other prompts more than chance would."""
        return self.transfer > self.chance


def rank_seeds(scores: Tensor, *, splits: int = 50, permutations: int = 200, seed: int = 0) -> SeedRanking:
    """Rank seeds by scores (P, S), larger is better.

    Raises:
        InputError: fewer than 4 prompts or 3 seeds, or scores that are not finite.
    """
    if scores.ndim != 2 or scores.shape[0] < 4 or scores.shape[1] < 3 or not bool(torch.isfinite(scores).all()):
        raise InputError(f"rank_seeds: scores {tuple(scores.shape)}; expected at least 4 prompts and 3 seeds, all finite")
    generator = torch.Generator().manual_seed(seed)
    ranks = _ranks(scores.double().cpu()) / (scores.shape[1] - 1)
    halves = [torch.randperm(len(ranks), generator=generator) for _ in range(splits)]

    def transfer(table: Tensor) -> float:
        cut = len(table) // 2
        pairs = [(table[h[:cut]].mean(0), table[h[cut:]].mean(0)) for h in halves]
        return float(torch.stack([_correlation(_ranks(a), _ranks(b)) for a, b in pairs]).mean())

    shuffled = []
    for _ in range(permutations):
        keys = torch.rand(ranks.shape, generator=generator)
        shuffled.append(transfer(ranks.gather(1, keys.argsort(1))))
    mean = ranks.mean(0)
    order = mean.argsort(stable=True, descending=True)
    return SeedRanking(order, mean, transfer(ranks), float(torch.tensor(shuffled).quantile(0.95)))


def _ranks(values: Tensor) -> Tensor:
    """Ranks along the last axis from 0, equal values share the mean of theirs."""
    less = (values.unsqueeze(-1) > values.unsqueeze(-2)).double().sum(-1)
    same = torch.eq(values.unsqueeze(-1), values.unsqueeze(-2)).double().sum(-1)
    out: Tensor = less + (same - 1) / 2
    return out


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    a, b = a - a.mean(), b - b.mean()
    out: Tensor = (a @ b) / (a.norm() * b.norm()).clamp(min=1e-12)
    return out
