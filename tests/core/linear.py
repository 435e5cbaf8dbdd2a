"""Joint Gaussians: with a linear denoiser a sampler is an affine map of its draws, so its law is computed without sampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.state import Given, Time, leaf_time

F64 = torch.float64


@dataclass(frozen=True)
class JointGaussian:
    """x0 ~ N(mean, cov) over the concatenated leaves; E[x0 | x_t] with one time per leaf (or a plain tensor state)."""

    process: Any
    mean: Tensor
    cov: Tensor

    def __call__(self, x: Any, t: Time, given: Given) -> Prediction:
        joint = isinstance(x, Mapping)
        leaves: dict[str, Tensor] = dict(x) if joint else {"": x}
        a, s = [], []
        for name, leaf in leaves.items():
            coefs = (self.process[name] if joint else self.process).coefs_of(leaf_time(t, name))
            a.append(coefs.a.expand(leaf.shape[1]))
            s.append(coefs.s.expand(leaf.shape[1]))
        gain, level = torch.diag(torch.cat(a)), torch.cat(s)
        z = torch.cat(list(leaves.values()), 1)
        seen = gain @ self.cov @ gain + torch.diag(level**2)
        x0 = self.mean + torch.linalg.solve(seen, (z - self.mean @ gain).mT).mT @ (self.cov @ gain).mT
        parts = dict(zip(leaves, x0.split([leaf.shape[1] for leaf in leaves.values()], 1), strict=True))
        return Prediction(parts if joint else x0)

    def conditional(self, known: slice, value: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the other entries given those of `known`, in closed form."""
        index = torch.arange(len(self.mean))
        inside = torch.zeros(len(self.mean), dtype=torch.bool)
        inside[known] = True
        k, u = index[inside], index[~inside]
        gain = self.cov[u][:, k] @ torch.linalg.inv(self.cov[k][:, k])
        return self.mean[u] + gain @ (value - self.mean[k]), self.cov[u][:, u] - gain @ self.cov[k][:, u]


class Basis:
    """Noise for an affine sampler: row 0 gets zeros, every other row one unit entry of one draw (while there are rows)."""

    def __init__(self) -> None:
        self.row = 1

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        out = torch.zeros_like(like)
        entries = like[0].numel()
        rows = out.reshape(len(like), -1)[self.row : self.row + entries]
        rows.copy_(torch.eye(entries, dtype=like.dtype)[: len(rows)])
        self.row += entries
        return out


def law(out: Tensor, used: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance of a run with `Basis`, whose first `used` rows were needed."""
    assert used <= len(out)
    columns = (out[1:used] - out[0]).flatten(1)
    return out[0].flatten(), columns.mT @ columns
