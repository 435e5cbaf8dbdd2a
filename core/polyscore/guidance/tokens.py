"""What a model of categories may say, and how sharply: vocabularies, temperature, top-k, top-p.

All act on the rows that a sampler asks for, and on no others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers.base import Prediction
from polyscore.errors import InputError
from polyscore.guidance.wrapper import Wrapper
from polyscore.processes.discrete.rows import Rows
from polyscore.state import Given, State, Time

__all__ = ["Sharpened", "Vocabulary"]


@dataclass(frozen=True, eq=False)
class _Changed:
    """Rows of another prediction, changed."""

    logits: Any
    change: Callable[[Tensor, Tensor], Tensor]

    def rows(self, cells: Tensor) -> Tensor:
        made = self.logits.rows(cells) if isinstance(self.logits, Rows) else self.logits.flatten(0, -2).index_select(0, cells)
        return self.change(made, cells)


@dataclass(frozen=True)
class _RowWrapper(Wrapper, ABC):
    @abstractmethod
    def change(self, name: str, shape: tuple[int, ...]) -> Callable[[Tensor, Tensor], Tensor] | None:
        """What becomes of (rows (M, K), cells (M,)) of leaf `name` ("" for a tensor state of this shape); None: nothing."""

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        prediction = self.denoiser(x, t, given)
        if not isinstance(x, Mapping):
            change = self.change("", tuple(x.shape))
            return prediction if change is None else replace(prediction, x0=_Changed(prediction.x0, change))
        x0 = dict(prediction.x0)
        for name, leaf in x.items():
            change = None if leaf.is_floating_point() else self.change(name, tuple(leaf.shape))
            x0[name] = x0[name] if change is None else _Changed(x0[name], change)
        return replace(prediction, x0=x0)


@dataclass(frozen=True, eq=False)
class Vocabulary(_RowWrapper):
    """Categories that are not allowed get probability 0.

    Args:
        denoiser: of categories.
        allowed: bool, broadcast to the logits (B, ..., K): a vocabulary per track of a (B, tracks, L) grid is (tracks, 1, K). For
            mapping states a mapping of such; leaves it does not name are left alone.

    Raises:
        InputError: a cell for which nothing is allowed.
    """

    allowed: Tensor | Mapping[str, Tensor]

    def __post_init__(self) -> None:
        tables = self.allowed.values() if isinstance(self.allowed, Mapping) else (self.allowed,)
        if not all(bool(table.bool().any(-1).all()) for table in tables):
            raise InputError("Vocabulary: there are cells for which no category is allowed; expected at least one each")

    def change(self, name: str, shape: tuple[int, ...]) -> Callable[[Tensor, Tensor], Tensor] | None:
        if isinstance(self.allowed, Mapping) and name not in self.allowed:
            return None
        table = (self.allowed[name] if isinstance(self.allowed, Mapping) else self.allowed).bool()
        table = table.view(*[1] * (len(shape) + 1 - table.ndim), *table.shape)

        def masked(rows: Tensor, cells: Tensor) -> Tensor:
            # torch.unravel_index would import sympy, half a second of a short run
            index: list[Tensor] = []
            rest = cells
            for whole, own in zip(reversed(shape), reversed(table.shape[: len(shape)]), strict=True):
                index.insert(0, rest % whole if own > 1 else torch.zeros_like(rest))
                rest = rest.div(whole, rounding_mode="floor")
            return rows.masked_fill(~table.to(rows.device)[tuple(index)], -torch.inf)

        return masked


@dataclass(frozen=True)
class Sharpened(_RowWrapper):
    """Temperature, then the `top_k` likeliest categories, then the least set of likeliest ones with probability `top_p`.

    Holtzman et al. 2020 (nucleus sampling, arXiv 1904.09751).

    Args:
        denoiser: of categories.
        temperature: what logits are divided by, positive.
        top_k: how many categories are left; 0 is all.
        top_p: their probability, in (0, 1].

    Raises:
        InputError: numbers out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.top_k >= 0 and 0 < self.top_p <= 1):
            found = f"temperature {self.temperature}, top_k {self.top_k}, top_p {self.top_p}"
            raise InputError(f"Sharpened: {found}; expected a positive temperature, top_k >= 0, and top_p in (0, 1]")

    def change(self, name: str, shape: tuple[int, ...]) -> Callable[[Tensor, Tensor], Tensor] | None:
        return self._sharpened

    def _sharpened(self, rows: Tensor, cells: Tensor) -> Tensor:
        rows = rows.double() / self.temperature
        if 0 < self.top_k < rows.shape[-1]:
            rows = rows.masked_fill(rows < rows.topk(self.top_k).values[:, -1:], -torch.inf)
        if self.top_p < 1:
            ordered, place = rows.sort(dim=-1, descending=True)
            p = ordered.softmax(-1)
            beyond = p.cumsum(-1) - p >= self.top_p  # what came before was enough
            rows = rows.masked_fill(torch.zeros_like(beyond).scatter(-1, place, beyond), -torch.inf)
        return rows
