r"""Sampling what a measurement leaves open: a denoiser of p(x0) becomes one of p(x0 | y).

With x0 = E[x0 | x_t], and p(x0 | x_t) taken as N(x0, r^2 I), y given x_t is N(A(x0), (n^2 + r^2) I), and

    x0 <- x0 + c (s^2 / a) grad_x ln p(y | x_t)
        = x0 + c (s^2 / a) J^T A^T (y - A(x0)) / (n^2 + r^2),     J = dx0 / dx                `Posterior` (DPS, PiGDM, STSL)

which is exact for Gaussian data and linear A with orthonormal rows. J costs a pass backwards through the network. Since
(s^2 / a) J = Cov[x0 | x_t], which is about r^2 I,

    x0 <- x0 + c r^2 A^T (y - A(x0)) / (n^2 + r^2)                                            `Skipped` (FlowChef, GDP)

needs none: for A = I and c = 1 it is the mean of the product of the two Gaussians. Repeated, and with a rough inverse H put in
where one is known, x0 <- x0 + h (H(y, x0) - x0) first, it is Steered Diffusion. Unknown numbers of A are fitted on the way
(`Blind`): each call makes steps of gradient on |y - A_w(x0)|^2 before x0 is moved.

Sources: Chung et al. 2023 (DPS), arXiv 2209.14687; Song et al. 2023 (PiGDM); Rout et al. 2024 (STSL), arXiv 2312.00852; Patel et
al. 2024 (FlowChef), arXiv 2412.00100; Fei et al. 2023 (GDP), arXiv 2304.01247; Nair et al. 2023 (Steered Diffusion), arXiv
2310.00224.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.denoisers.base import Prediction, begin
from polyscore.errors import InputError
from polyscore.guidance.wrapper import Wrapper, real
from polyscore.inverse.measurement import Measurement
from polyscore.inverse.widths import Width, unit_prior
from polyscore.state import Given, LeafTime

__all__ = ["Blind", "Posterior", "Skipped"]


@dataclass(frozen=True, eq=False)
class Posterior(Wrapper):
    """The denoiser of x0 given measurements, with the gradient through the network.

    Args:
        denoiser: differentiable.
        process: the process of the run.
        measurements: one or several, independent given x0.
        scale: c; 0 is the plain denoiser, bit for bit.
        width: r^2.
        floor: least n^2 + r^2, for measurements without noise.

    Where a = 0, the state says nothing about the data and the prediction is left as it is.

    Raises:
        InputError: a width that differs within a sample, as with per-frequency processes.
    """

    process: Any
    measurements: tuple[Measurement, ...]
    scale: float = 1.0
    width: Width = unit_prior
    floor: float = 1e-4

    def __call__(self, x: Tensor, t: LeafTime, given: Given) -> Prediction:
        if self.scale == 0.0:
            return self.denoiser(x, t, given)
        with torch.inference_mode(False), torch.enable_grad():
            own = x.detach().clone().requires_grad_()
            prediction = self.denoiser(own, t, given)
            spread = self.width(self.denoiser, self.process, x, t, given, prediction.x0.detach()).flatten()
            if len(spread) not in (1, len(x)):
                raise InputError(f"Posterior: a width of {len(spread)} numbers for {len(x)} samples; expected 1, or 1 a sample")
            misfit = sum(m.misfit(prediction.x0) / (spread + m.noise**2).clamp(min=self.floor) for m in self.measurements)
            assert isinstance(misfit, Tensor)
            (gradient,) = torch.autograd.grad(misfit.sum(), own)
        a, _, s = (real(c, t, x) for c in self.process.coefs_of(t))
        factor = torch.where(a > 0, s**2 / a, torch.zeros_like(a))
        return replace(prediction, x0=prediction.x0.detach() - self.scale * factor * gradient)


@dataclass(frozen=True, eq=False)
class Skipped(Wrapper):
    """The same without a pass through the network: the residual moves x0 itself.

    Args:
        denoiser: any, differentiable or not.
        process: the process of the run.
        measurements: one or several.
        scale: c.
        repeats: how often x0 is moved in one call; once suffices for one linear measurement with orthonormal rows.
        width: r^2.
        inverse: (y, x0) to a rough reconstruction H, of the first measurement.
        trust: h.
        floor: as in `Posterior`.
    """

    process: Any
    measurements: tuple[Measurement, ...]
    scale: float = 1.0
    repeats: int = 1
    width: Width = unit_prior
    inverse: Callable[[Tensor, Tensor], Tensor] | None = None
    trust: float = 1.0
    floor: float = 1e-4

    def __call__(self, x: Tensor, t: LeafTime, given: Given) -> Prediction:
        prediction = self.denoiser(x, t, given)
        if self.scale == 0.0:
            return prediction
        x0 = prediction.x0
        spread = self.width(self.denoiser, self.process, x, t, given, x0)
        if self.inverse is not None:
            x0 = x0 + self.trust * (self.inverse(self.measurements[0].y, x0) - x0)
        for _ in range(self.repeats):
            shift = sum(spread / (spread + m.noise**2).clamp(min=self.floor) * m.pull(x0) for m in self.measurements)
            x0 = x0 + self.scale * shift
        return replace(prediction, x0=x0)


class Blind:
    """`Skipped` or `Posterior`, with the unknown parameters of the operator fitted while the sample becomes clear.

    Args:
        denoiser: a wrapper whose first measurement's operator is a module with parameters.
        rate: learning rate of Adam.
        steps: steps of gradient a call.
        after: the time from which on (falling) the parameters are fitted; earlier x0 says too little.

    The parameters start where the module's stand and are left where they ended. A call more a step.

    Raises:
        InputError: an operator without parameters.
    """

    def __init__(self, denoiser: Posterior | Skipped, *, rate: float = 0.05, steps: int = 5, after: float = 1.0) -> None:
        operator = denoiser.measurements[0].operator
        if not isinstance(operator, nn.Module) or not any(True for _ in operator.parameters()):
            raise InputError(f"Blind: {type(operator).__name__} has no parameters; expected a module such as GainOffset")
        self.denoiser, self.steps, self.after = denoiser, steps, after
        self.optimiser = torch.optim.Adam(operator.parameters(), lr=rate)

    def begin(self, step: int, stage: int) -> None:
        """Pass the place in the loop on to what is wrapped."""
        begin(self.denoiser, step, stage)

    def __call__(self, x: Tensor, t: LeafTime, given: Given) -> Prediction:
        if torch.as_tensor(t).max() <= self.after:
            x0 = self.denoiser.denoiser(x, t, given).x0.detach()
            with torch.inference_mode(False), torch.enable_grad():
                for _ in range(self.steps):
                    self.optimiser.zero_grad()
                    self.denoiser.measurements[0].misfit(x0.clone()).sum().backward()  # type: ignore[no-untyped-call]
                    self.optimiser.step()
        return self.denoiser(x, t, given)
