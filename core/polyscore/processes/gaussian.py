r"""Gaussian processes  x_t = a_t x0 + b_t y + s_t eps.

A process writes one method, `coefs(t)`; everything else follows. With z = x - b y (the part that is a plain diffusion)

    drift of z         f = a'/a                      dx = (f x + h y) dt + g dw,   h = b' - f b
    diffusion          g^2 = (s^2)' - 2 f s^2
    probability flow   z' = a' x0 + s' eps
    noise              eps = (x - a x0 - b y) / s,   score = -eps / s
    noise level        sigma = s / a,   lambda = ln(a / s)  (half the log-SNR)

and the step from t to u with stochasticity eta, exact for any pair of times when x0 is exact:

    v = eta s_u sqrt(1 - (k s_u / s_t)^2),  k = a_t / a_u,   d = sqrt(s_u^2 - v^2) / s_t,
    x_u = d x_t + (a_u - d a_t) x0 + (b_u - d b_t) y + v eps.

eta = 0 is DDIM (Song et al. 2021, arXiv 2010.02502) and the bridge's ODE sampler; eta = 1 is the ancestral step of DDPM
(Ho et al. 2020, arXiv 2006.11239), the bridge's SDE sampler and the exact OUVE posterior. Where s_t = 0 nothing of x_t is
noise and the step takes the kernel's limit d = 0, v = s_u.

Constraint: coefs must be written with torch operations (they are differentiated) and accept t of any shape in float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise import NoiseLaw, NoiseLike, Normal, as_noise
from polyscore.processes import clocks, grids
from polyscore.processes.base import Perturbed
from polyscore.state import NONE, Given, LeafTime

__all__ = ["Coefs", "GaussianProcess", "Rates", "Step", "expand"]


class Coefs(NamedTuple):
    """x_t = a x0 + b y + s eps."""

    a: Tensor
    b: Tensor
    s: Tensor


class Rates(NamedTuple):
    """Time derivatives a', b', s' and the SDE's f, h, g^2 of dx = (f x + h y) dt + g dw."""

    da: Tensor
    db: Tensor
    ds: Tensor
    f: Tensor
    h: Tensor
    g2: Tensor


class Step(NamedTuple):
    """x_u = keep x_t + data x0 + end y + noise eps."""

    keep: Tensor
    data: Tensor
    end: Tensor
    noise: Tensor


def expand(coef: Tensor, t: Tensor, x: Tensor) -> Tensor:
    """Reshape a coefficient to multiply `x`: its first `t.ndim` axes are x's leading axes, the others x's last axes."""
    tail = coef.shape[t.ndim :]
    if t.ndim == 0:
        return coef.to(x.device)
    return coef.reshape(*t.shape, *[1] * (x.ndim - t.ndim - len(tail)), *tail).to(x.device)


def _real(coef: Tensor, x: Tensor) -> Tensor:
    return coef.to(x.real.dtype if x.is_complex() else x.dtype)


class GaussianProcess(ABC):
    """x_t = a_t x0 + b_t y + s_t eps, t in [0, 1] from data to noise. Subclasses are frozen dataclasses."""

    law: NoiseLaw = Normal()
    default_clock: clocks.Clock = clocks.ANGLE  # in which multistep samplers interpolate, when the user names no clock

    @abstractmethod
    def coefs(self, t: Tensor) -> Coefs:
        """a, b, s at time t, each of shape t.shape (plus the shape of per-frequency coefficients)."""

    # --- where a process differs from the rule, it overrides one of these ---

    def default_grid(self, n: int) -> Tensor:
        """The n + 1 times that suit this process when the user gives no grid: uniform in t."""
        return grids.uniform(self, n)

    def mean_at_start(self, like: Tensor, t: Tensor, given: Given) -> Tensor:
        """Mean of the prior at time t: b_t y, or 0 without y."""
        if given.y is None:
            return torch.zeros_like(like)
        b = expand(self.coefs(t).b, t, like)
        mean: Tensor = _real(b, like) * given.y
        return mean

    def kernel(self, now: Coefs, earlier: Coefs) -> Tensor:
        """k of the forward chain x_t = k x_u + (x0 and y terms) + noise, u < t: a_t / a_u where x0 enters through x_u alone."""
        return now.a / earlier.a

    def std_at_start(self, t: Tensor) -> Tensor:
        """Standard deviation of the prior at time t: s_t."""
        return self.coefs(t).s

    # --- everything below is derived ---

    def coefs_of(self, t: LeafTime) -> Coefs:
        """`coefs` in float64 for a number or a tensor."""
        t64 = torch.as_tensor(t, dtype=torch.float64)
        return Coefs(*(torch.as_tensor(c, dtype=torch.float64, device=t64.device) for c in self.coefs(t64)))

    def rates(self, t: LeafTime) -> Rates:
        """a', b', s', f, h, g^2 at t by forward differentiation of `coefs`; at t = 0 the limit from t = 1e-12 is taken."""
        t64 = torch.as_tensor(t, dtype=torch.float64).clamp(min=1e-12)
        one = torch.ones_like(t64)
        values, slopes = torch.func.jvp(lambda time: tuple(self.coefs(time)), (t64,), (one,))  # type: ignore[misc]
        (a, b, s), (da, db, ds) = values, slopes
        f = da / a
        return Rates(da, db, ds, f, db - f * b, 2 * s * ds - 2 * f * s**2)

    def sigma(self, t: LeafTime) -> Tensor:
        """Noise level s / a (infinite where a = 0)."""
        a, _, s = self.coefs_of(t)
        return s / a

    def half_log_snr(self, t: LeafTime) -> Tensor:
        """lambda_t = ln(a_t / s_t); +inf where s = 0, -inf where a = 0."""
        a, _, s = self.coefs_of(t)
        return torch.log(a) - torch.log(s)

    def snr(self, t: LeafTime) -> Tensor:
        """Signal-to-noise ratio (a / s)^2."""
        a, _, s = self.coefs_of(t)
        return (a / s) ** 2

    def time_at_sigma(self, sigma: LeafTime) -> Tensor:
        """The time at which s / a = sigma, by bisection on [0, 1] (64 halvings; sigma outside the range gives an end).

        Bisection compares angles atan2(s, a), which are finite at both ends. Requires scalar coefficients.
        """
        target = torch.atan(torch.as_tensor(sigma, dtype=torch.float64))
        lo, hi = torch.zeros_like(target), torch.ones_like(target)
        for _ in range(64):
            mid = (lo + hi) / 2
            a, _, s = self.coefs(mid)
            below = torch.atan2(s, a) < target
            lo, hi = torch.where(below, mid, lo), torch.where(below, hi, mid)
        return hi

    def step(self, t: LeafTime, u: LeafTime, *, eta: float | Tensor = 1.0) -> Step:
        """Coefficients of the one step formula from t to u (module docstring), in float64."""
        (a, b, s), (au, bu, su) = self.coefs_of(t), self.coefs_of(u)
        zero = torch.zeros((), dtype=torch.float64, device=a.device)
        ratio = torch.where(s > 0, self.kernel(Coefs(a, b, s), Coefs(au, bu, su)) * su / s, zero)
        v = eta * su * torch.sqrt((1 - ratio**2).clamp(min=0))
        v = torch.where(s > 0, v, su)
        d = torch.where(s > 0, torch.sqrt((su**2 - v**2).clamp(min=0)) / s, zero)
        return Step(d, au - d * a, bu - d * b, v)

    def prior(self, like: Tensor, *, t: float = 1.0, given: Given = NONE, noise: NoiseLike = 0) -> Tensor:
        """x ~ b_t y + s_t eps (OUVE-type processes centre on y itself), shaped like `like` (B, ...)."""
        self._check_end_point(given)
        time = torch.as_tensor(t, dtype=torch.float64)
        s = _real(self.std_at_start(time).to(like.device), like)
        return self.mean_at_start(like, time, given) + s * self.law(as_noise(noise), like, given=given)

    def perturb(self, x0: Tensor, t: LeafTime, *, given: Given = NONE, noise: NoiseLike = 0) -> Perturbed:
        """x_t = a x0 + b y + s eps with eps of the law.

        Args:
            x0: data (B, ...).
            t: number, or tensor aligned with x0's leading axes: (B,), (B, N), ...
        """
        self._check_end_point(given)
        time = torch.as_tensor(t, dtype=torch.float64)
        a, b, s = (_real(expand(c, time, x0), x0) for c in self.coefs(time))
        eps = self.law(as_noise(noise), x0, t=0.0, u=t, given=given)
        x = a * x0 + s * eps
        return Perturbed(x if given.y is None else x + b * given.y, eps)

    def eps(self, x: Tensor, x0: Tensor, t: LeafTime, *, given: Given = NONE) -> Tensor:
        """eps = (x - a x0 - b y) / s."""
        time = torch.as_tensor(t, dtype=torch.float64)
        a, b, s = (_real(expand(c, time, x), x) for c in self.coefs(time))
        rest = x - a * x0
        eps: Tensor = (rest if given.y is None else rest - b * given.y) / s
        return eps

    def score(self, x: Tensor, x0: Tensor, t: LeafTime, *, given: Given = NONE) -> Tensor:
        """Score of the marginal when x0 = E[x0 | x]: -eps / s."""
        time = torch.as_tensor(t, dtype=torch.float64)
        return -self.eps(x, x0, t, given=given) / _real(expand(self.coefs(time).s, time, x), x)

    def velocity(self, x: Tensor, x0: Tensor, t: LeafTime, *, given: Given = NONE) -> Tensor:
        """Right-hand side of the probability-flow ODE dx/dt = a' x0 + b' y + s' eps."""
        time = torch.as_tensor(t, dtype=torch.float64)
        da, db, ds = (_real(expand(c, time, x), x) for c in self.rates(time)[:3])
        rest = da * x0 + ds * self.eps(x, x0, t, given=given)
        return rest if given.y is None else rest + db * given.y

    def transition(
        self,
        x: Tensor,
        prediction: Any,
        t: LeafTime,
        u: LeafTime,
        *,
        eta: float = 1.0,
        given: Given = NONE,
        noise: NoiseLike = 0,
    ) -> Tensor:
        """x_u from x_t by the one step formula; t and u are numbers or tensors aligned with x's leading axes.

        `prediction` has `.x0` and may override the noise that is put back by `.eps` (CFG++). One draw is made, whatever eta.
        """
        self._check_end_point(given)
        t64 = torch.as_tensor(t, dtype=torch.float64)
        u64 = torch.as_tensor(u, dtype=torch.float64, device=t64.device)
        t64, u64 = t64 + torch.zeros_like(u64), u64 + torch.zeros_like(t64)
        if prediction.eps is not None:
            a, b, s = (_real(expand(c, t64, x), x) for c in self.coefs(t64))
            x = a * prediction.x0 + s * prediction.eps + (0 if given.y is None else b * given.y)
        keep, data, end, v = (_real(expand(c, t64, x), x) for c in self.step(t64, u64, eta=eta))
        out: Tensor = keep * x + data * prediction.x0
        if given.y is not None:
            out = out + end * given.y
        return out + v * self.law(as_noise(noise), x, t=t, u=u, given=given)

    def _check_end_point(self, given: Given) -> None:
        if isinstance(given.y, Mapping):
            raise InputError(f"{type(self).__name__}: given.y is a mapping, expected a tensor; use Product for mapping states")
