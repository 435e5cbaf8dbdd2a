"""An analytic Gaussian mixture: the exact denoiser of every Gaussian process."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.processes import GaussianProcess
from polyscore.state import Given, LeafTime


@dataclass(frozen=True)
class Mixture:
    """sum_k w_k N(mu_k, C_k) in R^d."""

    weights: Tensor
    means: Tensor
    covs: Tensor

    def log_prob_and_mean(self, z: Tensor, a: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """log p(z) and E[x0 | z] for z = a x0 + s eps; a, s scalars or (B,)."""
        a, s = torch.broadcast_tensors(a, s)
        a, s = a.reshape(-1, 1, 1, 1), s.reshape(-1, 1, 1, 1)
        eye = torch.eye(z.shape[-1], dtype=z.dtype)
        cov = a**2 * self.covs + s**2 * eye  # (B or 1, K, d, d)
        r = z[:, None, :] - a[..., 0] * self.means  # (B, K, d)
        sol = torch.linalg.solve(cov.expand(len(z), *cov.shape[1:]), r[..., None])[..., 0]
        log = self.weights.log() - 0.5 * (r * sol).sum(-1) - 0.5 * torch.logdet(2 * torch.pi * cov)
        resp = torch.softmax(log, -1)
        mean = self.means + a[..., 0] * torch.einsum("kij,bkj->bki", self.covs, sol)
        return torch.logsumexp(log, -1), (resp[..., None] * mean).sum(1)


@dataclass(frozen=True)
class GMMDenoiser:
    """E[x0 | x] of a mixture under a process (z = x - b y)."""

    mixture: Mixture
    process: GaussianProcess

    def __call__(self, x: Tensor, t: LeafTime, given: Given) -> Prediction:
        a, b, s = self.process.coefs_of(t)
        z = x if given.y is None else x - b.reshape(-1, *[1] * (x.ndim - 1) if b.ndim else []) * given.y
        return Prediction(self.mixture.log_prob_and_mean(z, a, s)[1])
