"""Categories: what a model says about cells, asked for row by row, and exact draws from it.

A prediction of categories is log p(x0 | x_t) up to a constant of every cell: a tensor (B, ..., K), or an object with `rows` that
makes the rows it is asked for. A sampler that reveals ten cells of seven thousand then never makes the other rows, which for a
vocabulary of twelve thousand is most of the work.

A draw is the inverse of the distribution function, in float64: Gumbel-max with float32 uniforms of 24 bits loses the classes
whose probability is near 2^-24, which acts like a lower temperature (Zheng et al. 2025, arXiv 2409.02908).
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from polyscore.noise import Noise, NoiseLaw
from polyscore.state import Given

__all__ = ["Rows", "draw", "draw_rows", "log_rows", "supported", "uniforms"]

_AT_ONCE = 2**22  # entries of rows that are made at a time: 32 MB


@runtime_checkable
class Rows(Protocol):
    """Logits of cells on request."""

    def rows(self, cells: Tensor) -> Tensor:
        """(M, K) logits of the cells with these flat places (M,) in the state (B, ...)."""
        ...


def log_rows(logits: Any, cells: Tensor) -> Tensor:
    """Normalised log-probabilities (M, K), float64, of the cells at flat places (M,); `logits` (B, ..., K) or `Rows`."""
    rows = logits.rows(cells) if isinstance(logits, Rows) else logits.flatten(0, -2).index_select(0, cells)
    out: Tensor = rows.double().log_softmax(-1)
    return out


def draw(log_p: Tensor, u: Tensor) -> Tensor:
    """The class k with P(< k) <= u < P(<= k) of every row, (M,) int64.

    Args:
        log_p: (M, K), or (K,) for all rows, up to a constant.
        u: (M,) in [0, 1].
    """
    ends = (log_p - log_p.amax(-1, keepdim=True)).exp().cumsum(-1)
    goal = (u * ends[..., -1]).clamp(max=ends[..., -1] * (1 - 2**-52))  # below the end, where u rounds to 1
    if ends.ndim == 1:
        return torch.searchsorted(ends, goal, right=True)
    return torch.searchsorted(ends, goal.unsqueeze(-1), right=True).squeeze(-1)


def draw_rows(logits: Any, cells: Tensor, u: Tensor, classes: int) -> Tensor:
    """A draw of each of these cells, (M,) int64, from a prediction of `classes` categories; u (M,).

    Rows are made some at a time, so that memory does not grow with the number of cells.
    """
    size = max(1, _AT_ONCE // classes)
    pairs = zip(torch.split(cells, size), torch.split(u, size), strict=True)
    return torch.cat([draw(log_rows(logits, some), v) for some, v in pairs])


def uniforms(law: NoiseLaw, noise: Noise, like: Tensor, given: Given) -> Tensor:
    """Uniform draws in [0, 1], float64, shaped like `like`: Phi(w) of white noise w, shared by the cells that share their noise.

    The interval of time is not told to the source, so that two draws of one step differ even on a Brownian path.
    """
    u: Tensor = torch.special.ndtr(law(noise, _wide(like), given=given))
    return u


def supported(law: NoiseLaw, like: Tensor, given: Given) -> Tensor:
    """Whether the law moves a cell at all, (B, ...) bool: not on the diagonal of a symmetric law, not outside a mask."""
    moved: Tensor = law(_ones, _wide(like), given=given) != 0
    return moved


def _wide(like: Tensor) -> Tensor:
    return torch.empty((), dtype=torch.float64, device=like.device).expand(like.shape)


def _ones(like: Tensor, t: object = None, u: object = None) -> Tensor:
    return torch.ones_like(like)
