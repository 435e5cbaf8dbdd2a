"""Data laws whose denoiser is known exactly: a test of a sampler needs no network.

For z = x - b y = a x0 + s eps and x0 ~ sum_k w_k N(mu_k, C_k):

    S_k = a^2 C_k + s^2 I,   r_k = softmax_k(ln w_k + ln N(z; a mu_k, S_k)),
    E[x0 | z] = sum_k r_k (mu_k + a C_k S_k^-1 (z - a mu_k)).

In one dimension the probability flow keeps quantiles, so with F_t the distribution function of z its map is F_u^-1(F_t(z)).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.processes import GaussianProcess, expand
from polyscore.state import Given, LeafTime

__all__ = ["GMMDenoiser", "GaussianDenoiser", "Mixture", "ScalarMixtureDenoiser", "flow_of_gaussian"]


@dataclass(frozen=True)
class Mixture:
    """sum_k w_k N(mu_k, C_k) in R^d: weights (K,), means (K, d), covs (K, d, d), float64."""

    weights: Tensor
    means: Tensor
    covs: Tensor

    def log_prob_and_mean(self, z: Tensor, a: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Log density of z (B, d) under the noised law (nats), and E[x0 | z]; a, s scalars or (B,)."""
        a, s = (torch.as_tensor(c, dtype=z.dtype).reshape(-1, 1, 1, 1) for c in (a, s))
        cov = a**2 * self.covs + s**2 * torch.eye(z.shape[-1], dtype=z.dtype)  # (B or 1, K, d, d)
        rest = z[:, None, :] - a[..., 0] * self.means  # (B, K, d)
        solved = torch.linalg.solve(cov.expand(len(z), *cov.shape[1:]), rest[..., None])[..., 0]
        log = self.weights.log() - 0.5 * (rest * solved).sum(-1) - 0.5 * torch.logdet(2 * torch.pi * cov)
        mean = self.means + a[..., 0] * torch.einsum("kij,bkj->bki", self.covs, solved)
        return torch.logsumexp(log, -1), (torch.softmax(log, -1)[..., None] * mean).sum(1)


def _centred(process: GaussianProcess, x: Tensor, t: LeafTime, given: Given) -> tuple[Tensor, Tensor, Tensor]:
    time = torch.as_tensor(t, dtype=torch.float64)
    a, b, s = process.coefs_of(time)
    z = x if given.y is None else x - expand(b, time, x).to(x.dtype) * given.y
    return z, a, s


@dataclass(frozen=True)
class GMMDenoiser:
    """The exact denoiser of a `Mixture` under a process with scalar coefficients."""

    mixture: Mixture
    process: GaussianProcess

    def __call__(self, x: Tensor, t: LeafTime, given: Given) -> Prediction:
        z, a, s = _centred(self.process, x, t, given)
        return Prediction(self.mixture.log_prob_and_mean(z, a, s)[1])


@dataclass(frozen=True)
class GaussianDenoiser:
    """The exact denoiser of x0 ~ N(mean, std^2 I), element by element: x0 = mean + a std^2 (z - a mean) / (a^2 std^2 + s^2)."""

    process: GaussianProcess
    mean: float = 0.3
    std: float = 0.7

    def __call__(self, x: Tensor, t: LeafTime, given: Given) -> Prediction:
        z, a, s = _centred(self.process, x, t, given)
        time = torch.as_tensor(t, dtype=torch.float64)
        a, s = (expand(c, time, x).to(x.real.dtype if x.is_complex() else x.dtype) for c in (a, s))
        variance = a**2 * self.std**2 + s**2
        gain = torch.where(variance > 0, a * self.std**2 / variance, torch.zeros_like(variance))
        return Prediction(self.mean + gain * (z - a * self.mean))


def flow_of_gaussian(denoiser: GaussianDenoiser, x: Tensor, t: float, u: float, given: Given) -> Tensor:
    """The probability-flow map from t to u for Gaussian data: z_u = a_u m + r_u / r_t (z_t - a_t m), r^2 = a^2 std^2 + s^2."""
    process = denoiser.process
    (a, b, s), (au, bu, su) = process.coefs_of(t), process.coefs_of(u)
    y = 0.0 if given.y is None else given.y
    scale = torch.sqrt((au**2 * denoiser.std**2 + su**2) / (a**2 * denoiser.std**2 + s**2))
    out: Tensor = au * denoiser.mean + scale * (x - b * y - a * denoiser.mean) + bu * y
    return out


@dataclass(frozen=True)
class ScalarMixtureDenoiser:
    """The exact denoiser of entries drawn independently from sum_k w_k N(mu_k, C_k), and its flow; for scalar coefficients.

    Unlike that of Gaussian data it is not affine in x, so it also sees the order conditions of non-linear equations.
    """

    process: GaussianProcess
    weights: tuple[float, ...] = (0.6, 0.4)
    means: tuple[float, ...] = (-0.5, 0.6)
    variances: tuple[float, ...] = (0.3, 0.2)

    def __call__(self, x: Tensor, t: LeafTime, given: Given) -> Prediction:
        z, a, s = _centred(self.process, x, t, given)
        weights, means, variances = self._parts(x)
        seen, rest = (a**2 * variances + s**2).clamp(min=1e-300), z[..., None] - a * means  # 0 where a bridge starts
        share = torch.softmax(weights.log() - 0.5 * (rest**2 / seen + seen.log()), -1)
        return Prediction((share * (means + a * variances / seen * rest)).sum(-1))

    def flow(self, x: Tensor, t: float, u: float, given: Given) -> Tensor:
        """The probability-flow map from t to u, by 80 halvings of [-30, 30]."""
        (_, b, _), y = self.process.coefs_of(u), 0.0 if given.y is None else given.y
        share = self._distribution(_centred(self.process, x, t, given)[0], t)
        lo, hi = torch.full_like(x, -30.0), torch.full_like(x, 30.0)
        for _ in range(80):
            mid = (lo + hi) / 2
            below = self._distribution(mid, u) < share
            lo, hi = torch.where(below, mid, lo), torch.where(below, hi, mid)
        return hi + b * y

    def _distribution(self, z: Tensor, t: float) -> Tensor:
        (a, _, s), (weights, means, variances) = self.process.coefs_of(t), self._parts(z)
        out: Tensor = (weights * torch.special.ndtr((z[..., None] - a * means) / torch.sqrt(a**2 * variances + s**2))).sum(-1)
        return out

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights, means, variances = (torch.tensor(v, dtype=x.dtype) for v in (self.weights, self.means, self.variances))
        return weights, means, variances
