"""`check_process`: the laws of a Gaussian process."""

from __future__ import annotations

import torch

from polyscore.denoisers import Prediction
from polyscore.noise import Seeded, Silent
from polyscore.processes import GaussianProcess, expand
from polyscore.state import Given
from polyscore.testing._assert import close, keeps_global_rng, true

__all__ = ["check_process"]


def check_process(process: GaussianProcess, *, sample_shape: tuple[int, ...] = (3,), given: Given | None = None) -> None:
    """Run the laws of x_t = a x0 + b y + s eps on a process.

    Checked: the data end (a = 1, b = 0 at t = 0), noise growing with t, the inverse of sigma, rates against finite
    differences, g^2 >= 0, marginals kept by the step formula for eta in {0, .5, 1}, the semigroup law of eta = 0 and 1,
    perturb and transition against the coefficients, tensor times against numbers, dtypes, seeds, the global generator.

    Args:
        process: the process.
        sample_shape: shape of one sample; per-frequency processes need their own.
        given: y and mask for a batch of 5, when the process or its law needs others than a random y.

    Raises:
        AssertionError: naming the law that fails and by how much.
    """
    name = type(process).__name__
    if given is None:
        given = Given(y=torch.randn((5, *sample_shape), generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    _check_coefs(process, name)
    _check_steps(process, name)
    _check_states(process, name, sample_shape, given)


def _check_coefs(process: GaussianProcess, name: str) -> None:
    t = torch.linspace(0, 1, 41, dtype=torch.float64)
    a, b, s = process.coefs_of(t)
    for label, c in (("a", a), ("b", b), ("s", s)):
        true(c.shape[: t.ndim] == t.shape, f"{name}: {label} has shape {tuple(c.shape)} for times of shape {tuple(t.shape)}")
        true(torch.isfinite(c).all(), f"{name}: {label} is not finite on [0, 1]")
    close(a[0], torch.ones_like(a[0]), 1e-9, f"{name}: a(0) = 1, data at t = 0")
    close(b[0], torch.zeros_like(b[0]), 1e-9, f"{name}: b(0) = 0, data at t = 0")
    true((s >= 0).all(), f"{name}: s must not be negative")
    angle = torch.atan2(s, a)
    true((angle[:-1].diff(dim=0) > -1e-12).all(), f"{name}: the noise level s / a must not fall with t")
    if a.ndim == 1:
        inner = t[1:-1]
        sigma = process.sigma(inner)
        back = process.sigma(process.time_at_sigma(sigma)) / sigma
        close(back, torch.ones_like(sigma), 1e-8, f"{name}: time_at_sigma is the inverse of sigma")
    inner, h = t[2:-2] + 3.7e-4, 1e-5  # off the nodes of tables
    rates, lo, hi = process.rates(inner), process.coefs_of(inner - h), process.coefs_of(inner + h)
    for label, slope, left, right in zip("abs", rates[:3], lo, hi, strict=True):
        difference = (right - left) / (2 * h)
        smooth = (slope - difference).abs() <= 1e-4 * (1 + difference.abs())
        true(smooth.double().mean() > 0.9, f"{name}: {label}' differs from its finite difference")
    true((rates.g2 > -1e-9).all(), f"{name}: g^2 is negative: s falls faster than a plain diffusion allows")


def _check_steps(process: GaussianProcess, name: str) -> None:
    t, m, u = (torch.tensor(v, dtype=torch.float64) for v in ([0.9, 0.6, 0.3], [0.7, 0.45, 0.2], [0.5, 0.3, 0.1]))
    now, nxt = process.coefs_of(t), process.coefs_of(u)
    for eta in (0.0, 0.5, 1.0):
        step = process.step(t, u, eta=eta)
        close(step.keep * now.a + step.data, nxt.a, 1e-9, f"{name}: the step (eta {eta}) keeps the x0 coefficient")
        close(step.keep * now.b + step.end, nxt.b, 1e-9, f"{name}: the step (eta {eta}) keeps the y coefficient")
        variance = step.keep**2 * now.s**2 + step.noise**2
        close(variance, nxt.s**2, 1e-9 * float(nxt.s.max() ** 2 + 1), f"{name}: the step (eta {eta}) keeps the variance")
    for eta in (0.0, 1.0):
        whole, first, second = process.step(t, u, eta=eta), process.step(t, m, eta=eta), process.step(m, u, eta=eta)
        close(first.keep * second.keep, whole.keep, 1e-9, f"{name}: two steps make one (eta {eta}), state coefficient")
        noise = second.keep**2 * first.noise**2 + second.noise**2
        close(noise, whole.noise**2, 1e-9 * float(whole.noise.max() ** 2 + 1), f"{name}: two steps make one (eta {eta}), noise")


def _check_states(process: GaussianProcess, name: str, shape: tuple[int, ...], given: Given) -> None:
    x0 = torch.randn((5, *shape), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    times = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    with keeps_global_rng(f"{name}.perturb"):
        x, eps = process.perturb(x0, times, given=given, noise=7)
    a, b, s = (expand(c, times, x0) for c in process.coefs_of(times))
    y = 0.0 if given.y is None else given.y
    close(x, a * x0 + b * y + s * eps, 1e-9, f"{name}: perturb gives a x0 + b y + s eps")
    for i, t in enumerate(times.tolist()):
        one = process.perturb(x0, t, given=given, noise=7).x
        close(one[i], x[i], 1e-9, f"{name}: a tensor of times acts sample by sample")
    prediction = Prediction(x0)
    target = torch.full_like(times, 0.05)
    exact = process.coefs_of(target)
    mean = process.transition(x, prediction, times, target, eta=0.0, given=given, noise=Silent())
    au, bu, su = (expand(c, target, x0) for c in exact)
    close(mean, au * x0 + bu * y + su * eps, 1e-8 * float(1 + x.abs().max()), f"{name}: transition(eta 0) keeps eps")
    moved = process.transition(x, prediction, 0.9, 0.05, eta=1.0, given=given, noise=9)
    step = process.step(0.9, 0.05)
    expected = step.keep * x + step.data * x0 + step.end * y + step.noise * process.law(Seeded(9), x0, given=given)
    close(moved, expected, 1e-8 * float(1 + x.abs().max()), f"{name}: transition(eta 1) is the step formula")
    for dtype in (torch.float32, torch.float64):
        cast = Given(None if given.y is None else given.y.to(dtype), given.cond, given.mask)
        found = process.prior(x0.to(dtype), given=cast, noise=0)
        true(found.dtype == dtype and found.shape == x0.shape, f"{name}: prior gave {found.dtype} {tuple(found.shape)}")
        true(torch.isfinite(found).all(), f"{name}: prior is not finite")
        alone = Given(None if cast.y is None else cast.y[2:3], cast.cond, None if cast.mask is None else cast.mask[2:3])
        single = process.prior(x0[2:3].to(dtype), given=alone, noise=2)
        close(single, found[2:3], 1e-6, f"{name}: sample i depends on seed i alone")
