"""Laws of noise: what a process makes of white noise.

A law asks the source for as many white draws as it needs and returns noise of the law, shaped like the state.
Every law here is linear in one white draw, eps = P w with a projection or scaling P, unless its docstring says otherwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise.source import Noise
from polyscore.state import NONE, Given

__all__ = ["Masked", "NoiseLaw", "Normal", "Symmetric", "ZeroMean"]


class NoiseLaw(ABC):
    """eps ~ law, shaped like `like` (B, ...), over the interval [t, u]."""

    @abstractmethod
    def __call__(self, noise: Noise, like: Tensor, *, t: object = None, u: object = None, given: Given = NONE) -> Tensor:
        """Draw from `noise` and make it noise of the law."""

    def independent(self, like: Tensor, *, given: Given = NONE) -> Tensor:
        """Weights m, shaped to multiply `like`, with which sum(m) counts independent real normal variables of the noise.

        Inner products of scores are sum(m a b): entries that are one variable count once, absent ones not at all.

        Raises:
            InputError: the variables of the law are not entries of the state.
        """
        name = type(self).__name__
        raise InputError(f"{name}: its independent variables are not entries of the state; expected Normal, Masked or Symmetric")


@dataclass(frozen=True)
class Normal(NoiseLaw):
    """eps = w ~ N(0, I); complex states: circular, E|w|^2 = 1 (variance 1/2 per component), as in SGMSE."""

    def __call__(self, noise: Noise, like: Tensor, *, t: object = None, u: object = None, given: Given = NONE) -> Tensor:
        return noise(like, t, u)

    def independent(self, like: Tensor, *, given: Given = NONE) -> Tensor:
        return torch.full_like(like.real, 2.0 if like.is_complex() else 1.0)


@dataclass(frozen=True)
class Symmetric(NoiseLaw):
    """Adjacency noise: the strict upper triangle of w, mirrored; zero diagonal (GDSS: Jo et al. 2022, arXiv 2202.02514).

    State (B, ..., N, N); entries (i, j) and (j, i) are one standard normal variable.
    """

    law: NoiseLaw = Normal()

    def __call__(self, noise: Noise, like: Tensor, *, t: object = None, u: object = None, given: Given = NONE) -> Tensor:
        upper = self.law(noise, like, t=t, u=u, given=given).triu(1)
        return upper + upper.mT

    def independent(self, like: Tensor, *, given: Given = NONE) -> Tensor:
        return self.law.independent(like, given=given).triu(1)


@dataclass(frozen=True)
class Masked(NoiseLaw):
    """eps = m * eps' with the 0/1 mask of existing nodes, applied along each of `axes` (Jo et al. 2022, arXiv 2202.02514).

    `given.mask` is (B, N). Node features (B, N, F) use axes (1,), adjacency matrices (B, N, N) axes (1, 2).

    Raises:
        InputError: no mask is given.
    """

    law: NoiseLaw = Normal()
    axes: tuple[int, ...] = (1,)

    def __call__(self, noise: Noise, like: Tensor, *, t: object = None, u: object = None, given: Given = NONE) -> Tensor:
        return self._masked(self.law(noise, like, t=t, u=u, given=given), given)

    def independent(self, like: Tensor, *, given: Given = NONE) -> Tensor:
        return self._masked(self.law.independent(like, given=given), given)

    def _masked(self, values: Tensor, given: Given) -> Tensor:
        if given.mask is None:
            raise InputError("Masked noise: given.mask is None, expected a (B, N) mask of nodes; pass given=Given(mask=...)")
        for axis in self.axes:
            shape = [1] * values.ndim
            shape[0], shape[axis] = given.mask.shape
            values = values * given.mask.view(shape).to(values.dtype)
        return values


@dataclass(frozen=True)
class ZeroMean(NoiseLaw):
    """eps = w - mean of w along `axis`, over the nodes of `given.mask` when there is one: noise of the centred subspace.

    Used for positions whose centre of mass is fixed (Xu et al. 2022, GeoDiff, arXiv 2203.02923).
    """

    law: NoiseLaw = Normal()
    axis: int = 1

    def __call__(self, noise: Noise, like: Tensor, *, t: object = None, u: object = None, given: Given = NONE) -> Tensor:
        eps = self.law(noise, like, t=t, u=u, given=given)
        if given.mask is None:
            return eps - eps.mean(self.axis, keepdim=True)
        shape = [1] * like.ndim
        shape[0], shape[self.axis] = given.mask.shape
        mask = given.mask.view(shape).to(eps.dtype)
        mean = torch.sum(eps * mask, self.axis, keepdim=True) / mask.sum(self.axis, keepdim=True).clamp(min=1)
        centred: Tensor = (eps - mean) * mask
        return centred
