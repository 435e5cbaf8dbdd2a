r"""Couplings: which noise of a mini-batch goes with which sample.

A coupling returns a permutation p; sample i is then noised by draw p(i). The noise of the batch as a whole keeps its law, only
its pairing with the data changes, and trajectories cross less. Assignments are exact (scipy's shortest augmenting path, O(B^3)),
over the batch of one process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from polyscore.errors import InputError, MissingExtraError

__all__ = ["Coupling", "Immiscible", "Independent", "MiniBatchOT", "WithinClass"]


class Coupling(ABC):
    """Pairs the samples of a batch with draws."""

    @abstractmethod
    def __call__(self, x0: Tensor, noise: Tensor, cond: Any = None) -> Tensor:
        """p (B,), a permutation of the batch; `noise` is white, shaped like x0 (B, ...); `cond` is the samples' condition."""


@dataclass(frozen=True)
class Independent(Coupling):
    """Each sample keeps its own draw."""

    def __call__(self, x0: Tensor, noise: Tensor, cond: Any = None) -> Tensor:
        return torch.arange(len(x0), device=x0.device)


@dataclass(frozen=True)
class MiniBatchOT(Coupling):
    """min_p sum_i |x0_i - noise_p(i)|^2: the optimal transport plan of the batch.

    Tong et al. 2023 (arXiv 2302.00482); Pooladian et al. 2023 (arXiv 2304.14772).
    """

    def __call__(self, x0: Tensor, noise: Tensor, cond: Any = None) -> Tensor:
        return _assign(_distances(x0, noise).square())


@dataclass(frozen=True)
class Immiscible(Coupling):
    """min_p sum_i |x0_i - noise_p(i)|: Immiscible Diffusion's assignment (Li et al. 2024, arXiv 2406.12303), for any process."""

    def __call__(self, x0: Tensor, noise: Tensor, cond: Any = None) -> Tensor:
        return _assign(_distances(x0, noise))


@dataclass(frozen=True)
class WithinClass(Coupling):
    """The coupling of each class on its own.

    Assigning across classes makes the noise depend on the class, which sampling with a requested class does not know; within a
    class the conditional law of the noise stays what it was.

    Raises:
        InputError: `cond` is no tensor of one label per sample.
    """

    coupling: Coupling = MiniBatchOT()

    def __call__(self, x0: Tensor, noise: Tensor, cond: Any = None) -> Tensor:
        if not isinstance(cond, Tensor) or cond.shape != (len(x0),):
            found = tuple(cond.shape) if isinstance(cond, Tensor) else type(cond).__name__
            raise InputError(f"WithinClass: cond is {found}, expected a tensor of {len(x0)} labels")
        order = torch.arange(len(x0), device=x0.device)
        for label in torch.unique(cond):
            members = (cond == label).nonzero()[:, 0].to(x0.device)
            order[members] = members[self.coupling(x0[members], noise[members], cond[members])]
        return order


def _distances(x0: Tensor, noise: Tensor) -> Tensor:
    """|x0_i - noise_j| (B, B), computed without the cancellation of the expanded square."""
    flat = [(torch.view_as_real(x) if x.is_complex() else x).flatten(1).double() for x in (x0, noise)]
    return torch.cdist(flat[0], flat[1], compute_mode="donot_use_mm_for_euclid_dist")


def _assign(cost: Tensor) -> Tensor:
    try:
        solve = import_module("scipy.optimize").linear_sum_assignment
    except ImportError as error:
        raise MissingExtraError("assigning noise to data needs scipy: pip install 'polyscore[train]'") from error
    columns = solve(cost.detach().cpu().numpy())[1]
    return torch.as_tensor(columns, device=cost.device)
