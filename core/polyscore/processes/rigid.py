r"""Diffusion of rigid motions: the Gaussian process in the tangent space, moved to SE(3) by the exponential.

Let H_T be the end point (`given.y`, else the identity), K = H H_T^-1, and x_t = a x0 + s eps a Gaussian schedule of the variance
preserving kind. The data fade along the screw towards H_T and the noise is a small motion on the left,

    H_t = exp(s_t D eps) exp(a_t log K_0) H_T,   eps ~ N(0, I_6),   D = diag(rotation_std x 3, translation_std x 3),

where exp(a_t log K_0) H_T = exp((1 - a_t) log(H_T H_0^-1)) H_0: at a = 1 it is H_0, at a = 0 it is H_T. The reverse step is the
one step formula of the schedule (`GaussianProcess.step`: keep d, data a_u - d a_t, noise v) on logarithms,

    H_u = exp(v D eps) exp((a_u - d a_t) log K0hat + d log K_t) H_T.

With eta = 1 the three numbers are gamma_1 = d, gamma_0 = a_u - d a_t and sqrt(gamma_2) = v of DiffusionReg; without noise a state
stays on its screw for every eta; from any t to u = 0 the step is K0hat.

Constraint: it is the posterior to first order in D (motions commute with their noise); the screw is unique below a half turn.

Source: Jiang et al. 2023 (SE(3) Diffusion Model-based Point Cloud Registration), arXiv 2310.17359.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.lie import inverse, se3_exp, se3_log
from polyscore.noise import NoiseLaw, NoiseLike, Normal, as_noise
from polyscore.processes.base import Perturbed
from polyscore.processes.gaussian import GaussianProcess, expand
from polyscore.processes.table import BetaTable, cosine_betas
from polyscore.state import NONE, Given, LeafTime

__all__ = ["Rigid"]


@dataclass(frozen=True)
class Rigid:
    """H_t = exp(s D eps) exp(a log(H_0 H_T^-1)) H_T on states (B, 4, 4); `given.y` is H_T, else the identity.

    Args:
        schedule: a and s; the published ones are tables of 200 (training) and 5 (sampling) cosine betas.
        rotation_std: radians of tangent noise where s = 1 (published: 0.05 in training, 0.1 in sampling).
        translation_std: length units of tangent noise where s = 1 (published: 0.03 in training, 0.01 in sampling).
        law: of the tangent noise (B, 6).

    Raises:
        InputError: a negative standard deviation; at use, a state that is not (B, 4, 4).
    """

    schedule: GaussianProcess = field(default_factory=lambda: BetaTable(cosine_betas(200)))
    rotation_std: float = 0.05
    translation_std: float = 0.03
    law: NoiseLaw = field(default_factory=Normal)

    def __post_init__(self) -> None:
        if self.rotation_std < 0 or self.translation_std < 0:
            raise InputError(
                f"Rigid: rotation_std {self.rotation_std}, translation_std {self.translation_std}; expected 0 or more"
            )

    def default_grid(self, n: int) -> Tensor:
        """The schedule's own."""
        return self.schedule.default_grid(n)

    def prior(self, like: Tensor, *, t: float = 1.0, given: Given = NONE, noise: NoiseLike = 0) -> Tensor:
        """exp(s_t D eps) H_T. DiffusionReg starts at H_T itself: give that as `init` to a sampler."""
        end = self._end(like, given)
        s = self.schedule.coefs_of(t).s
        return se3_exp(self._tangent(s, like, noise, 1.0, t, given)[0]) @ end

    def perturb(self, x0: Tensor, t: LeafTime, *, given: Given = NONE, noise: NoiseLike = 0) -> Perturbed:
        """A draw of H_t given H_0 (B, 4, 4), t a number or (B,); `eps` is the standard normal tangent noise (B, 6)."""
        end = self._end(x0, given)
        time = torch.as_tensor(t, dtype=torch.float64)
        a, _, s = self.schedule.coefs_of(time)
        twist, eps = self._tangent(s, x0, noise, 0.0, time, given)
        faded = se3_exp(self._along(a, time, x0) * se3_log(x0 @ inverse(end)))
        return Perturbed(se3_exp(twist) @ faded @ end, eps)

    def transition(
        self, x: Tensor, prediction: Any, t: LeafTime, u: LeafTime, *, eta: float = 1.0, given: Given = NONE, noise: NoiseLike = 0
    ) -> Tensor:
        """H_u from H_t and the prediction of H_0 (its `eps` is not read); one draw is made, whatever eta."""
        end = self._end(x, given)
        back = inverse(end)
        t64 = torch.as_tensor(t, dtype=torch.float64)
        u64 = torch.as_tensor(u, dtype=torch.float64, device=t64.device)
        t64, u64 = t64 + torch.zeros_like(u64), u64 + torch.zeros_like(t64)
        step = self.schedule.step(t64, u64, eta=eta)
        keep, data = (self._along(c, t64, x) for c in (step.keep, step.data))
        mean = se3_exp(data * se3_log(prediction.x0 @ back) + keep * se3_log(x @ back))
        return se3_exp(self._tangent(step.noise, x, noise, t64, u64, given)[0]) @ mean @ end

    def _end(self, like: Tensor, given: Given) -> Tensor:
        if like.ndim != 3 or like.shape[-2:] != (4, 4):
            raise InputError(f"Rigid: the state is {tuple(like.shape)}; expected rigid motions (B, 4, 4)")
        if given.y is None:
            return torch.eye(4, dtype=like.dtype, device=like.device).expand_as(like)
        end: Tensor = given.y
        return end.to(like)

    def _tangent(
        self, s: Tensor, like: Tensor, noise: NoiseLike, t: LeafTime, u: LeafTime, given: Given
    ) -> tuple[Tensor, Tensor]:
        """s D eps and eps (B, 6); s is a number or (B,)."""
        eps = self.law(as_noise(noise), like.new_empty(len(like), 6), t=t, u=u, given=given)
        std = eps.new_tensor([self.rotation_std] * 3 + [self.translation_std] * 3)
        return self._along(s, s, like) * std * eps, eps

    @staticmethod
    def _along(coef: Tensor, t: Tensor, x: Tensor) -> Tensor:
        return expand(coef, t, x[..., 0]).to(x.dtype)
