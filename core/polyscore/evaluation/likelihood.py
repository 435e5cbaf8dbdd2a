r"""Log-likelihood by the probability-flow ODE (Chen et al. 2018, arXiv 1806.07366; Song et al. 2021, arXiv 2011.13456).

Along dx/dt = F(x, t) the density changes by the divergence, so with x_t the flow's path through x

    ln p_start(x) = ln p_end(x_end) + integral from start to end of div F(x_t, t) dt.

div F is exact (one backward pass for each entry of a sample) or Hutchinson's v^T (dF/dx) v with fixed random signs v, which is
unbiased for it and so for the log-likelihood (Hutchinson 1989; Grathwohl et al. 2019, FFJORD, arXiv 1810.01367).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from polyscore import ode
from polyscore.denoisers.base import Denoiser
from polyscore.errors import InputError
from polyscore.noise import Noise, NoiseLike, Normal, Silent, as_noise, leaf_noise
from polyscore.processes import GaussianProcess
from polyscore.processes.probability_flow import Affine, affine, probability_flow
from polyscore.state import NONE, Given, State, leaf_given

__all__ = ["log_likelihood"]

Trace: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def log_likelihood(
    denoiser: Denoiser,
    process: Any,
    x0: State,
    *,
    given: Given = NONE,
    divergence: Literal["exact", "hutchinson"] = "exact",
    probes: int = 1,
    rtol: float = 1e-6,
    atol: float = 1e-6,
    start: float = 1e-5,
    end: float = 1.0,
    noise: NoiseLike = 0,
) -> Tensor:
    """ln p(x0) of every sample in nats, (B,): the density that the model's flow gives the data.

    Args:
        denoiser: the model; its predictions must not couple the samples of a batch.
        process: a Gaussian process, or a `Product` of them for mapping states (the joint density of all leaves).
        x0: data (B, ...), a tensor or mapping; complex entries count as two real ones.
        given: end point, conditioning, mask.
        divergence: "exact", or "hutchinson" with `probes` random sign vectors a sample from `noise`.
        probes: number of sign vectors.
        rtol, atol: tolerances of the integration, see `polyscore.ode`.
        start: time at which the flow is entered, above 0 where it is singular: the density is that of x0 + (s / a) eps with the
            coefficients of this time, so sharp data want it smaller. With EDM, start = sigma / sigma_max gives any level sigma.
        end: time at which the density is that of the process's prior. The prior is an approximation where a(end) is not 0; then
            this is the likelihood under the model that starts from the prior, not the data's. Below 1 for processes whose rates
            are infinite there (bridges, `ShortestPath`).
        noise: source of the signs.

    No graph is kept for the result.

    Raises:
        InputError: a noise law other than `Normal`, or a process without noise at `end`.
    """
    if divergence not in {"exact", "hutchinson"} or probes < 1:
        raise InputError(
            f"log_likelihood: divergence {divergence!r}, {probes} probes; expected exact or hutchinson, at least 1 probe"
        )
    joint = isinstance(x0, Mapping)
    items: list[tuple[str, Any]] = list(x0.items()) if isinstance(x0, Mapping) else [("", x0)]
    leaves = [_Leaf(name, process[name] if joint else process, x, given) for name, x in items]
    source = as_noise(noise)
    traces = [_exact if divergence == "exact" else _hutchinson(leaf, probes, source) for leaf in leaves]

    def slope(parts: ode.Parts, t: float, rows: Sequence[Affine]) -> ode.Parts:
        change, moves = torch.zeros_like(parts[-1]), []
        with torch.enable_grad():
            xs = [part.detach().requires_grad_() for part in parts[:-1]]
            state: Any = {leaf.name: leaf.join(x) for leaf, x in zip(leaves, xs, strict=True)}
            out = denoiser(state if joint else state[""], t, given).x0
            for leaf, trace, row, x in zip(leaves, traces, rows, xs, strict=True):
                flow = leaf.split(affine(row, leaf.join(x), out[leaf.name] if joint else out, leaf.given.y))
                change = change + trace(flow, x)
                moves.append(flow.detach())
        return (*moves, change.detach())

    def field(times: Sequence[float]) -> list[ode.Slope]:
        rows = list(zip(*(probability_flow(leaf.process, times, leaf.like) for leaf in leaves), strict=True))
        return [lambda parts, t=t, row=row: slope(parts, t, row) for t, row in zip(times, rows, strict=True)]  # type: ignore[misc]

    with torch.no_grad():
        priors = [leaf.prior(end) for leaf in leaves]
        states = [leaf.split(leaf.process.perturb(leaf.like, start, given=leaf.given, noise=Silent()).x) for leaf in leaves]
        begin = (*states, torch.zeros(len(states[0]), dtype=states[0].dtype, device=states[0].device))
        *ends, total = ode.integrate(field, begin, start, end, rtol=rtol, atol=atol).state
        for leaf, part, (mean, s) in zip(leaves, ends, priors, strict=True):
            total = total + leaf.log_gain(start) + leaf.log_normal(leaf.join(part), mean, s)
    return total


class _Leaf:
    """One leaf: its process, and its state as real numbers."""

    def __init__(self, name: str, process: GaussianProcess, x: Tensor, given: Given) -> None:
        if not isinstance(process.law, Normal):
            raise InputError(
                f"log_likelihood: the noise law of {type(process).__name__} is {type(process.law).__name__}; "
                "the density of the prior is written for Normal noise alone"
            )
        self.name, self.process, self.like = name, process, x
        self.given = leaf_given(given, name) if name else given

    def split(self, x: Tensor) -> Tensor:
        return torch.view_as_real(x) if x.is_complex() else x

    def join(self, x: Tensor) -> Tensor:
        return torch.view_as_complex(x) if self.like.is_complex() else x

    def prior(self, t: float) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the prior."""
        time = torch.as_tensor(t, dtype=torch.float64)
        s = self.process.std_at_start(time)
        if not bool((s > 0).all()):
            raise InputError(f"log_likelihood: {type(self.process).__name__} has no noise at t = {t}; give an end where s > 0")
        return self.process.mean_at_start(self.like, time, self.given), s.to(self.like.device, self.like.real.dtype)

    def log_normal(self, x: Tensor, mean: Tensor, s: Tensor) -> Tensor:
        """ln N(x; mean, s^2 I) per sample; a complex entry has variance s^2 / 2 in each part."""
        square = ((x - mean) / s).abs().square().flatten(1).sum(1)
        if x.is_complex():
            return self._total(-2 * torch.log(s) - math.log(math.pi)) - square
        return self._total(-torch.log(s) - 0.5 * math.log(2 * math.pi)) - square / 2

    def log_gain(self, t: float) -> Tensor:
        """ln |d(a x0 + b y) / d x0|, from the density of the scaled state to that of the data."""
        return self._total(torch.log(self.process.coefs_of(t).a)) * (2 if self.like.is_complex() else 1)

    def _total(self, coef: Tensor) -> Tensor:
        """The sum of a coefficient (one, or one per frequency) over the entries of a sample."""
        return coef.to(self.like.device).expand(self.like.shape[1:]).sum().to(self.like.real.dtype)


def _exact(flow: Tensor, x: Tensor) -> Tensor:
    """tr(dF/dx) per sample."""
    flat = flow.flatten(1)
    total = torch.zeros_like(flat[:, 0])
    for j in range(flat.shape[1]):
        (gradient,) = torch.autograd.grad(flat[:, j].sum(), x, retain_graph=True)
        total = total + gradient.flatten(1)[:, j]
    return total


def _hutchinson(leaf: _Leaf, probes: int, source: Noise) -> Trace:
    """The mean of v^T (dF/dx) v over sign vectors v drawn once."""
    part = leaf_noise(source, leaf.name) if leaf.name else source
    signs = [torch.sign(part(leaf.split(leaf.like))) for _ in range(probes)]

    def trace(flow: Tensor, x: Tensor) -> Tensor:
        total = torch.zeros_like(flow.flatten(1)[:, 0])
        for v in signs:
            (gradient,) = torch.autograd.grad(flow, x, v, retain_graph=True)
            total = total + (gradient * v).flatten(1).sum(1)
        return total / probes

    return trace
