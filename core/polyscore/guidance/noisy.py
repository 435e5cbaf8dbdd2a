r"""Classifiers of noisy states, their losses, and log-probabilities for `ClassifierGuidance`.

A classifier of x_t is trained on x_t = a x0 + b y + s eps, with one of two targets (losses are unreduced, (B,)):

    from labels          -ln p(c | x_t, t)                                       `label_loss`
    from a classifier    KL(softmax f(x0) || p(. | x_t, t))                      `distilled_loss` (PPAP)

The second needs no labels and no data: x0 may be drawn from the diffusion model itself, and f is a classifier of clean data off
the shelf. `Experts` holds one classifier for each range of t, each the clean one with a low-rank change of its weights.

Sources: Dhariwal and Nichol 2021, arXiv 2105.05233; Go et al. 2022 (PPAP), arXiv 2212.05973; Hu et al. 2021 (LoRA), arXiv
2106.09685.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from polyscore.errors import InputError
from polyscore.guidance.calibrated import asked_class
from polyscore.noise import NoiseLike, as_noise
from polyscore.state import NONE, Given

__all__ = ["Experts", "class_log_prob", "distilled_loss", "label_loss"]

Noisy = Callable[[Tensor, Any], Tensor]


class _LowRank(nn.Module):
    """W + up down, of a weight W (n, ...) seen as a matrix; it starts as W itself."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        generator = torch.Generator().manual_seed(rows * columns)
        first = torch.randn(rank, columns, generator=generator, dtype=weight.dtype) / columns**0.5
        self.down = nn.Parameter(first.to(weight.device))
        self.up = nn.Parameter(weight.new_zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


class Experts(nn.Module):
    """Classifiers of noisy states (x, t) -> logits (B, K), one a range of t: expert i where bounds[i] <= t < bounds[i + 1].

    Args:
        teacher: a classifier of clean data, (B, ...) to logits (B, K). Each expert is a copy whose matrices and kernels W are W +
            (low rank), with W as it is; what is trained is `parameters()`, a few per cent of the copies.
        count: number of experts; the ranges of t are equal.
        rank: of the change.

    Raises:
        InputError: no experts, or a teacher without weights.
    """

    def __init__(self, teacher: nn.Module, count: int = 5, rank: int = 4) -> None:
        super().__init__()
        if min(count, rank) < 1:
            raise InputError(f"Experts: {count} experts of rank {rank}; expected at least 1 each")
        self.bounds = [i / count for i in range(count + 1)]
        self.experts = nn.ModuleList(_adapted(teacher, rank) for _ in range(count))

    def forward(self, x: Tensor, t: Any) -> Tensor:
        """Logits (B, K) of states at t, a number or one a sample."""
        if not isinstance(t, Tensor) or t.ndim == 0:
            return self.experts[self._place(float(t))](x)  # type: ignore[no-any-return]
        places = [self._place(time) for time in t.tolist()]
        rows = {place: [i for i, other in enumerate(places) if other == place] for place in sorted(set(places))}
        parts = [self.experts[place](x[index]) for place, index in rows.items()]
        back = torch.tensor([i for index in rows.values() for i in index], device=x.device).argsort()
        return torch.cat(parts)[back]

    def _place(self, t: float) -> int:
        inside = (i for i, (low, high) in enumerate(pairwise(self.bounds)) if low <= t < high)
        return next(inside, len(self.experts) - 1 if t >= 1 else 0)


def _adapted(teacher: nn.Module, rank: int) -> nn.Module:
    copy, found = deepcopy(teacher).requires_grad_(False), 0
    for module in list(copy.modules()):
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim > 1:
            parametrize.register_parametrization(module, "weight", _LowRank(weight, rank))
            found += 1
    if not found:
        raise InputError(f"Experts: {type(teacher).__name__} has no matrix or kernel that could be adapted")
    return copy


def label_loss(
    classifier: Noisy, process: Any, x0: Tensor, t: Tensor, labels: Tensor, *, noise: NoiseLike = 0, given: Given = NONE
) -> Tensor:
    """-ln p(label | x_t, t), (B,), of `classifier(x, t)` at x0 (B, ...) noised to times t (B,)."""
    x = process.perturb(x0, t, given=given, noise=as_noise(noise)).x
    return functional.cross_entropy(classifier(x, t), labels, reduction="none")


def distilled_loss(
    classifier: Noisy,
    teacher: Callable[[Tensor], Tensor],
    process: Any,
    x0: Tensor,
    t: Tensor,
    *,
    noise: NoiseLike = 0,
    given: Given = NONE,
) -> Tensor:
    """KL(softmax teacher(x0) || softmax classifier(x_t, t)), (B,); no gradient goes into the teacher."""
    with torch.no_grad():
        wanted = teacher(x0).log_softmax(1)
    x = process.perturb(x0, t, given=given, noise=as_noise(noise)).x
    found = classifier(x, t).log_softmax(1)
    return (wanted.exp() * (wanted - found)).sum(1)


def class_log_prob(
    classifier: Noisy, classes: Callable[[Given], Tensor] | Sequence[int] | int = asked_class
) -> Callable[[Tensor, Any, Given], Tensor]:
    """ln p(c | x_t, t) as `ClassifierGuidance` takes it: `classes` finds c in what is given, or says it for all or each."""

    def log_prob(x: Tensor, t: Any, given: Given) -> Tensor:
        logits = classifier(x, t)
        wanted = classes(given) if callable(classes) else torch.as_tensor(classes)
        return logits.log_softmax(1).gather(1, wanted.to(logits.device).expand(len(logits))[:, None])[:, 0]

    return log_prob
