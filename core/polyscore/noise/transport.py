"""Split and merge: white noise carried to other places and still exactly white.

Noise n_i ~ N(0, 1) sits in N cells. A plan lists pieces j = (source s_j, target d_j, share m_j > 0, weight a_j > 0), where the
shares of the pieces of one source sum to 1. With fresh z_j ~ N(0, 1) and b_j = sqrt(m_j) z_j,

    piece_j = m_j n_{s_j} + b_j - m_j sum_{k: s_k = s_j} b_k        (the increments of a Brownian bridge that ends at n)
    out(d)  = sum_{j: d_j = d} a_j piece_j / sqrt(sum_{j: d_j = d} a_j^2 m_j),

and targets without a piece get fresh noise.

Theorem: out is white noise for every plan that does not depend on n. Proof: the pieces of one source have covariance
m_j delta_jk, those of different sources are independent, and targets use disjoint pieces. So no interpolation, no loss of
variance, no correlation between neighbours; what is carried along is sum_j a_j m_j / sqrt(sum a_j^2 m_j).

Instances: Go-with-the-Flow (Burgert et al. 2025, arXiv 2501.08331): m = 1/k for k copies, a = w/sqrt(k) with the density w of
the cell. How I Warped Your Noise (Chang et al. 2024) and infinite-resolution integral noise (Deng et al. 2024, arXiv
2411.01212): m = overlap / requested area, a = 1. Area averages, resizing and the removal of duplicates are plans too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise.source import Noise

__all__ = ["Transport"]


@dataclass(frozen=True)
class Transport:
    """One plan, ready to be applied to any noise: `transport(values, noise)`.

    Args:
        source: (J,) source cell of every piece.
        target: (J,) target cell of every piece; `targets` itself drops the piece.
        share: (J,) m_j; None: equal shares 1/k of every source.
        weight: (J,) a_j; None: 1.
        sources, targets: numbers N and M of cells.

    Raises:
        InputError: lengths or indices that do not fit, shares of a source that do not sum to 1.
    """

    source: Tensor
    target: Tensor
    share: Tensor | None = None
    weight: Tensor | None = None
    sources: int = field(default=0, kw_only=True)
    targets: int = field(default=0, kw_only=True)
    _parts: _Parts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, index, count in (("source", self.source, self.sources), ("target", self.target, self.targets + 1)):
            if index.shape != self.source.shape or index.ndim != 1:
                found = f"{name} has shape {tuple(index.shape)}"
                raise InputError(f"Transport: {found}; expected one axis of one length for source and target")
            low, high = (int(end) for end in index.aminmax()) if len(index) else (0, count - 1)
            if not 0 <= low <= high < count:
                found = f"{low} to {high}"
                raise InputError(f"Transport: {name} cells run from {found}; expected 0 to {count - 1}")
        if self.share is not None:
            total = self.share.new_zeros(self.sources, dtype=torch.float64).index_add_(0, self.source, self.share.double())
            if bool(((total > 0) & ((total - 1).abs() > 1e-4)).any()):
                raise InputError("Transport: the shares of a source do not sum to 1; divide them by their sum over the source")
        object.__setattr__(self, "_parts", _Parts.of(self))

    def __call__(self, values: Tensor, noise: Noise) -> Tensor:
        """Carry white noise (B, N, K), K independent channels a cell, to (B, M, K).

        `noise` is asked once, for all the fresh numbers that the plan needs, so sample i depends on its own seed alone.
        """
        if values.ndim != 3 or values.shape[1] != self.sources:
            raise InputError(f"Transport: values have shape {tuple(values.shape)}, expected (batch, {self.sources}, channels)")
        return self._parts.carry(values, noise)


@dataclass(frozen=True)
class _Parts:
    """The pieces by what has to be done with them. Most are whole and alone in their target: those are copied."""

    gather: Tensor  # (M + 1,) source copied into every target (any where it is no plain copy); the last takes dropped pieces
    clear: Tensor  # targets that are sums of pieces (or of one that was divided)
    empty: Tensor  # targets without a piece
    whole: tuple[Tensor, Tensor, Tensor]  # source, target, coefficient of undivided pieces that are merged
    split: tuple[Tensor, Tensor, Tensor, Tensor]  # source, target, coefficient of n - sum b, coefficient of z
    group: Tensor  # which divided source a divided piece belongs to, counted from 0
    root: Tensor  # sqrt(m) of divided pieces
    groups: int

    @classmethod
    def of(cls, plan: Transport) -> _Parts:
        copies, landed = _count(plan.source, plan.sources), _count(plan.target, plan.targets + 1)
        gather = torch.zeros(plan.targets + 1, dtype=torch.int64, device=plan.source.device)
        gather.index_copy_(0, plan.target, plan.source)
        divided, merged = ((n > 1).index_select(0, i) for n, i in ((copies, plan.source), (landed, plan.target)))
        split, whole = divided.nonzero()[:, 0], (merged & ~divided).nonzero()[:, 0]
        summed, d = torch.cat([split, whole]), len(split)
        source, target = plan.source.index_select(0, summed), plan.target.index_select(0, summed)
        if plan.share is not None:
            share = plan.share.index_select(0, summed)
        else:
            share = copies.index_select(0, source).to(torch.float64 if plan.weight is None else plan.weight.dtype).reciprocal_()
        weight = torch.ones_like(share) if plan.weight is None else plan.weight.index_select(0, summed).to(share.dtype)
        power = share.new_zeros(plan.targets + 1).index_add_(0, target, weight.square() * share)
        weight = weight * power.rsqrt_().index_select(0, target)
        keep, root = weight * share, share[:d].sqrt()
        number = torch.cumsum(copies > 1, 0) - 1
        return cls(
            gather=gather,
            clear=target,
            empty=(landed[:-1] == 0).nonzero()[:, 0],
            whole=(source[d:], target[d:], keep[d:]),
            split=(source[:d], target[:d], keep[:d], weight[:d] * root),
            group=number.index_select(0, source[:d]),
            root=root,
            groups=int(number[-1]) + 1 if len(number) else 0,
        )

    def carry(self, values: Tensor, noise: Noise) -> Tensor:
        rows = len(self.root) + len(self.empty)
        fresh = noise(values.new_empty(len(values), rows, values.shape[2])) if rows else values[:, :0]
        if len(values) == 1:
            return self._carry(values[0], fresh[0])[None]
        return torch.stack([self._carry(*sample) for sample in zip(values, fresh, strict=True)])  # rows add fastest in two axes

    def _carry(self, values: Tensor, fresh: Tensor) -> Tensor:
        """One sample: values (N, K) to (M, K), with one fresh row for every divided piece and then every empty target."""
        source, target, keep, add = self.split
        z, born = fresh[: len(source)], fresh[len(source) :]
        out = values.index_select(0, self.gather) if len(values) else values.new_zeros(len(self.gather), values.shape[1])
        out.index_fill_(0, self.clear, 0.0)
        origin, place, factor = self.whole
        if len(origin):
            out.index_add_(0, place, values.index_select(0, origin).mul_(_column(factor, values)))
        if len(source):
            bridge = values.new_zeros(self.groups, values.shape[1]).index_add_(0, self.group, z * _column(self.root, values))
            pieces = values.index_select(0, source).sub_(bridge.index_select(0, self.group)).mul_(_column(keep, values))
            out.index_add_(0, target, pieces.addcmul_(z, _column(add, values)))
        out.index_copy_(0, self.empty, born)
        return out[:-1]


def _column(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers[:, None].to(like.dtype)


def _count(index: Tensor, size: int) -> Tensor:
    """How often each of 0 to size - 1 occurs: bincount without its search for the extremes, several times as fast."""
    counts = torch.zeros(size, dtype=torch.float32 if len(index) < 2**24 else torch.float64, device=index.device)
    return counts.index_add_(0, index, counts.new_ones(1).expand(len(index)))
