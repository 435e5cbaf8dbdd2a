"""Terms: what stands on either side of eps_a - eps_b. Each is a function of a `Point` that returns a tensor shaped like the view.

Every published rule is a pair of these (see `polyscore.distillation.rules`); a new one is a function or a frozen dataclass here.
Classifier-free guidance has two conventions. Form A: e0 + s (ey - e0); form B: ey + s (ey - e0), which is form A with s + 1. Here
both are the same `Mix`, {"cond": s, "null": 1 - s} and {"cond": 1 + s, "null": -s}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from polyscore.denoisers import Denoiser
from polyscore.distillation.point import Point, Stretch
from polyscore.errors import InputError

__all__ = [
    "Drawn",
    "Interval",
    "Later",
    "Mix",
    "Nothing",
    "OtherModel",
    "PerpendicularNegative",
    "Reference",
    "Rescaled",
    "Share",
    "StepBack",
    "Stepped",
    "Term",
    "implied_noise",
]

Term: TypeAlias = Callable[[Point], Tensor]
Share: TypeAlias = float | Callable[[Point], float | Tensor]


@dataclass(frozen=True)
class Mix:
    """sum_k c_k eps(x, t, prompt_k); a share c_k may depend on the point (its t, its progress)."""

    shares: Mapping[str, Share]

    @classmethod
    def guided(cls, scale: float, form: str = "A") -> Mix:
        """Classifier-free guidance of "cond" against "null", in form "A" or "B".

        Raises:
            InputError: another form.
        """
        if form not in {"A", "B"}:
            raise InputError(f"guidance form {form!r}; expected 'A' (e0 + s (ey - e0)) or 'B' (ey + s (ey - e0))")
        return cls({"cond": scale, "null": 1 - scale} if form == "A" else {"cond": 1 + scale, "null": -scale})

    def __call__(self, point: Point) -> Tensor:
        total = torch.zeros_like(point.x)
        for prompt, share in self.shares.items():
            value = share(point) if callable(share) else share
            if isinstance(value, Tensor):
                value = value.to(point.x).view(-1, *[1] * (point.x.ndim - 1))
            elif value == 0:
                continue
            total = total + value * point.eps(prompt)
        return total


def Drawn(point: Point) -> Tensor:  # noqa: N802 - a term without parameters, named like the others
    """The drawn noise n: the baseline of SDS."""
    return point.noise


def Nothing(point: Point) -> Tensor:  # noqa: N802
    """Zero: rules that are one mixture (CSD, NFSD)."""
    return torch.zeros_like(point.x)


def implied_noise(point: Point) -> Tensor:
    """(x - a z) / s: the noise that would lead from the view to the state, however the state was made."""
    a, _, s = point.coefs()
    return (point.x - a * point.z) / s


def Interval(point: Point) -> Tensor:  # noqa: N802
    """eps of the last stretch of the inversion (Liang et al. 2024, LucidDreamer, arXiv 2311.11284)."""
    return _stretch(point).eps


@dataclass(frozen=True)
class OtherModel:
    """`term` under a second model of the same view, as in variational distillation (Wang et al. 2023, arXiv 2305.16213)."""

    denoiser: Denoiser
    term: Term

    def __call__(self, point: Point) -> Tensor:
        return self.term(point.under(self.denoiser))


@dataclass(frozen=True)
class Later:
    """`term` at a noisier time t+ = t + ratio (t - t_min) u with the same noise (Ma et al. 2024, ScaleDreamer, arXiv 2407.02040).

    Args:
        term: what is asked there.
        ratio: largest shift.
        t_min: lowest time of the run.
        nodes: number N of the model's times; shifts are cut to multiples of 1/N, and t+ stays below 1. 0: continuous.
    """

    term: Term
    ratio: float = 0.1
    t_min: float = 0.02
    nodes: int = 0

    def __call__(self, point: Point) -> Tensor:
        shift = self.ratio * (point.t - self.t_min) * point.uniform
        if self.nodes:
            shift = torch.floor(shift * self.nodes + 1e-9) / self.nodes
        t = (point.t + shift).clamp(max=1 - 1 / self.nodes if self.nodes else 1.0)
        return self.term(point.at(point.noised(point.z, t), t))


@dataclass(frozen=True)
class Reference:
    """`term` of the view `prompts["reference"]`, noised alike (delta denoising, Hertz et al. 2023, arXiv 2304.07090)."""

    term: Term

    def __call__(self, point: Point) -> Tensor:
        view = point.prompts.get("reference")
        if not isinstance(view, Tensor):
            raise InputError("Reference: prompts['reference'] must hold the reference view, a tensor shaped like the view")
        return self.term(point.at(point.noised(view, point.t), point.t))


@dataclass(frozen=True)
class Stepped:
    """`term` after the deterministic step along itself to the time `to(point)` (Wu et al. 2024, Consistent3D, 2401.09050)."""

    term: Term
    to: Callable[[Point], Tensor]

    def __call__(self, point: Point) -> Tensor:
        t = self.to(point)
        return self.term(point.at(point.moved(self.term(point), t), t))


@dataclass(frozen=True)
class StepBack:
    """eps at mu = s + (t - s) sqrt(1 - gamma^2), one step from the start s of the inversion's last stretch.

    Miao et al. 2024 (Dreamer XL, arXiv 2405.11252). gamma = 1 is `Interval` itself.

    Args:
        gamma: from 0 (mu = t) to 1 (mu = s).
        prompt: name of the inversion's prompt.
        nodes: number N of the model's times; mu is rounded to a multiple of 1/N. 0: continuous.
    """

    gamma: float = 0.3
    prompt: str = "inversion"
    nodes: int = 0

    def __call__(self, point: Point) -> Tensor:
        x, s, eps = _stretch(point)
        mu = s + (point.t - s) * (1 - self.gamma**2) ** 0.5
        if self.nodes:
            mu = torch.round(mu * self.nodes) / self.nodes
        return point.at(point.at(x, s).moved(eps, mu), mu).eps(self.prompt)


@dataclass(frozen=True)
class PerpendicularNegative:
    """e0 + scale [(ey - e0) + sum_i w_i perp(e_i - e0)], perp = the part orthogonal to ey - e0.

    Armandpour et al. 2023 (Perp-Neg, arXiv 2304.04968).
    `weights` names negative prompts and their (usually negative) w_i, which may depend on the point (the camera's azimuth).
    Form A guidance.
    """

    weights: Mapping[str, Share]
    scale: float = 7.5

    def __call__(self, point: Point) -> Tensor:
        null = point.eps("null")
        toward = point.eps("cond") - null
        flat = toward.flatten(1)
        total = toward
        for prompt, share in self.weights.items():
            value = share(point) if callable(share) else share
            if isinstance(value, Tensor):
                value = value.to(point.x).view(-1, *[1] * (point.x.ndim - 1))
            away = point.eps(prompt) - null
            along = (away.flatten(1) * flat).sum(1) / flat.square().sum(1).clamp_min(1e-12)
            total = total + value * (away - along.view(-1, *[1] * (away.ndim - 1)) * toward)
        return null + self.scale * total


@dataclass(frozen=True)
class Rescaled:
    """`term` with its clean view at the contrast of the unguided one: x0 <- x0 (share std(x0_cond) / std(x0) + 1 - share).

    Lin et al. 2024 (arXiv 2305.08891) on x0, as MVDream distils (Shi et al. 2023, arXiv 2308.16512); a sample.
    """

    term: Term
    share: float = 0.5

    def __call__(self, point: Point) -> Tensor:
        guided, plain = point.clean(self.term(point)), point.clean(point.eps("cond"))
        ratio = plain.flatten(1).std(1) / guided.flatten(1).std(1).clamp_min(1e-12)
        factor = (self.share * ratio + 1 - self.share).view(-1, *[1] * (guided.ndim - 1))
        a, _, s = point.coefs()
        return (point.x - a * guided * factor) / s


def _stretch(point: Point) -> Stretch:
    if point.stretch is None:
        raise InputError("this term needs an inverted view: give the rule an `Inversion` as its path")
    return point.stretch
