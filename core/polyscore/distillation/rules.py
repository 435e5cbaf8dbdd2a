"""The published rules, as calls of `ScoreDistillation`.

Prompts by name: "cond", "null" (no condition), "negative", "inversion" (the empty text during inversion), "category",
"source", "reference". Annealed schedules run over the progress of the run. The form of guidance is the publication's:
A = e0 + s (ey - e0), B = ey + s (ey - e0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from polyscore.denoisers import Denoiser
from polyscore.distillation import weights
from polyscore.distillation.loss import ScoreDistillation
from polyscore.distillation.paths import Inversion
from polyscore.distillation.point import Point
from polyscore.distillation.terms import (
    Drawn,
    Interval,
    Later,
    Mix,
    Nothing,
    OtherModel,
    PerpendicularNegative,
    Reference,
    Rescaled,
    Share,
    StepBack,
    Stepped,
    implied_noise,
)
from polyscore.distillation.times import Descending, Window

__all__ = [
    "asd",
    "c_sds",
    "cds",
    "csd",
    "dds",
    "hifa",
    "ism",
    "nfsd",
    "perpendicular",
    "reddiff",
    "sdi",
    "sds",
    "sds_latentnerf",
    "sds_threestudio",
    "sds_threestudio_unified",
    "sjc",
    "tsm",
    "vsd",
    "x0",
    "x0_rescaled",
]


def sds(scale: float = 100.0) -> ScoreDistillation:
    """w = 1 - ac, form A (Poole et al. 2022, DreamFusion, arXiv 2209.14988; stable-dreamfusion, DreamGaussian)."""
    return ScoreDistillation(Mix.guided(scale))


def sds_threestudio(scale: float = 100.0) -> ScoreDistillation:
    """w = 1 - ac, form B: threestudio's stable-diffusion guidance and nerfstudio's generfacto."""
    return ScoreDistillation(Mix.guided(scale, "B"))


def sds_threestudio_unified(scale: float = 100.0) -> ScoreDistillation:
    """w = 1 - sqrt(ac), form A, one t for the batch: threestudio's unified guidance."""
    return ScoreDistillation(Mix.guided(scale), weight=weights.amplitude, times=Window(shared=True))


def sds_latentnerf(scale: float = 100.0) -> ScoreDistillation:
    """w = sqrt(ac) (1 - ac), form A (Metzer et al. 2023, Latent-NeRF, arXiv 2211.07600)."""
    return ScoreDistillation(Mix.guided(scale), weight=weights.fantasia, times=Window(shared=True))


def sjc(scale: float = 100.0, *, variance_reduced: bool = True) -> ScoreDistillation:
    """Score Jacobian chaining, w = 1, form B (Wang et al. 2023, arXiv 2212.00774).

    With D the model's clean view of z + sigma n: -(D - z) / sigma = eps - n, or -(D - z - sigma n) / sigma = eps without
    variance reduction.
    """
    baseline = Drawn if variance_reduced else Nothing
    return ScoreDistillation(Mix.guided(scale, "B"), baseline, weights.uniform, Window(0.01, 0.97))


def hifa(scale: float = 100.0) -> ScoreDistillation:
    """SDS with t = .98 - (.98 - .3) sqrt(progress), form B (Zhu et al. 2023, HiFA, arXiv 2305.18766).

    Its second term works on the decoded images: add .01 times the loss of `x0()` on (image, decode(result.x0)).
    """
    return ScoreDistillation(Mix.guided(scale, "B"), times=Descending(0.98, 0.3, 0.5))


def vsd(second: Denoiser, scale: float = 7.5) -> ScoreDistillation:
    """eps_b = a model of the views so far, trained alongside (Wang et al. 2023, ProlificDreamer, arXiv 2305.16213)."""
    return ScoreDistillation(Mix.guided(scale), OtherModel(second, Mix({"cond": 1.0})), times=Window(0.02, (0.98, 0.5, 0.2)))


def asd(scale: float = 7.5, *, ratio: float = 0.1, nodes: int = 1000) -> ScoreDistillation:
    """eps_b = the conditional model at a noisier time, same n (Ma et al. 2024, ScaleDreamer, arXiv 2407.02040)."""
    later = Later(Mix({"cond": 1.0}), ratio=ratio, t_min=0.02, nodes=nodes)
    return ScoreDistillation(Mix.guided(scale), later, times=Window((0.5, 0.02, 1.0), (0.98, 0.5, 1.0), nodes=nodes))


def cds(scale: float = 50.0, *, gap: float = 0.2, target: tuple[float, float] = (0.7, 0.1)) -> ScoreDistillation:
    """Consistency distillation: eps at t against eps one flow step later, at t' (Wu et al. 2024, Consistent3D, arXiv 2401.09050).

    t' = target[0] - (target[0] - target[1]) sqrt(progress), t = t' + gap; form B. The published gradient is -w (eps(t') -
    eps(t)); the noise is held fixed for the run: pass the same `Recorded` noise, or the same seed, to every call.
    """

    def lower(point: Point) -> Tensor:
        return torch.full_like(point.t, target[0] - (target[0] - target[1]) * point.progress**0.5)

    guided = Mix.guided(scale, "B")
    times = Descending(min(target[0] + gap, 0.999), target[1] + gap, 0.5)
    return ScoreDistillation(guided, Stepped(guided, lower), weights.uniform, times)


def ism(scale: float = 7.5, *, interval: float = 0.05, stride: float = 0.2, start: float = 0.001) -> ScoreDistillation:
    """Interval score matching: invert, then compare with the last stretch's own eps (Liang et al. 2024, arXiv 2311.11284)."""
    path = Inversion(start=start, stride=stride, last=interval)
    return ScoreDistillation(Mix.guided(scale), Interval, weights.level, Window(0.02 + interval, (0.98, 0.5, 0.3)), path)


def tsm(
    scale: float = 7.5, *, gamma: float = 0.3, interval: float = 0.05, stride: float = 0.2, nodes: int = 1000
) -> ScoreDistillation:
    """Trajectory score matching: `ism` with eps_b at mu between s and t (Miao et al. 2024, Dreamer XL, arXiv 2405.11252)."""
    path = Inversion(start=0.001, stride=stride, last=interval)
    times = Window(0.02 + interval, (0.98, 0.5, 0.3))
    return ScoreDistillation(Mix.guided(scale), StepBack(gamma, nodes=nodes), weights.level, times, path)


def sdi(scale: float = 7.5, *, inversion_scale: float = -7.5, count: int = 10, eta: float = 0.3) -> ScoreDistillation:
    """The clean view after an inversion with negative guidance (Lukoianov et al. 2024, arXiv 2405.15891), w = 1 - ac on eps."""
    path = Inversion(count=count, term=Mix.guided(inversion_scale), eta=eta)
    return ScoreDistillation(Mix.guided(scale), implied_noise, times=Window(0.02, (0.98, 0.25, 1.0)), path=path)


def csd(
    cond: Share = 1.0, null: Share = -1.0, negative: Share = 0.0, *, noise: float = 0.0, weighted: bool = False
) -> ScoreDistillation:
    """cond ey + negative en + null e0 + noise n (Yu et al. 2024, classifier score distillation, arXiv 2310.19415).

    (s, 1 - s, 0, -1) is SDS; (1, -1, 0, 0) the classifier score alone. `weighted`: w = 1 - ac, else 1.
    """
    mix = Mix({"cond": cond, "negative": negative, "null": null})
    weight = weights.variance if weighted else weights.uniform
    return ScoreDistillation(mix, lambda point: -noise * point.noise, weight, Window(0.02, (0.98, 0.5, 0.5)))


def nfsd(scale: float = 7.5, *, turn: float = 0.2) -> ScoreDistillation:
    """Noise-free distillation: d + s (ey - e0), d = e0 below t = `turn`, e0 - en above (Katzir et al. 2024, arXiv 2310.17590)."""

    def negative(point: Point) -> Tensor:
        return -(point.t > turn).double()

    mix = Mix({"cond": scale, "null": 1 - scale, "negative": negative})
    return ScoreDistillation(mix, Nothing)


def dds(scale: float = 7.5) -> ScoreDistillation:
    """Editing: the model at the view and the prompt minus the model at the reference view and its prompt, same n and t.

    `prompts["reference"]` is the reference view, "source" its prompt (Hertz et al. 2023, arXiv 2304.07090).
    """
    source = Mix({"source": scale, "null": 1 - scale})
    return ScoreDistillation(Mix.guided(scale), Reference(source), weights.uniform)


def c_sds(category: str = "category") -> ScoreDistillation:
    """eps under the full condition minus eps under the category alone (Zou et al. 2024, Sparse3D, arXiv 2308.14078)."""
    return ScoreDistillation(Mix({"cond": 1.0}), Mix({category: 1.0}))


def perpendicular(weights_: Mapping[str, Share], scale: float = 7.5) -> ScoreDistillation:
    """SDS with perpendicular negative prompts against the many-faces problem (Armandpour et al. 2023, arXiv 2304.04968)."""
    return ScoreDistillation(PerpendicularNegative(weights_, scale))


def reddiff(weight: Callable[..., Tensor] = weights.quarter_level) -> ScoreDistillation:
    """w (eps - n) under the condition alone, the regulariser of RED-diff (Mardani et al. 2024, arXiv 2305.04391)."""
    return ScoreDistillation(Mix({"cond": 1.0}), Drawn, weight)


def x0(scale: float = 7.5, *, high: float = 0.98, low: float = 0.08) -> ScoreDistillation:
    """grad = z - x0: a regression to the model's clean view, t annealed (Guo et al. 2023, StableDreamer, arXiv 2312.02189)."""
    times = Window((high, low, 1.0), (high, min(low + 0.02, high), 1.0))
    return ScoreDistillation(Mix.guided(scale), Drawn, weights.clean_view(weights.uniform), times)


def x0_rescaled(scale: float = 50.0, share: float = 0.5) -> ScoreDistillation:
    """`x0` with the contrast of the clean view pulled back (Shi et al. 2023, MVDream, arXiv 2308.16512)."""
    times = Window((0.98, 0.02, 0.8), (0.98, 0.5, 0.8))
    return ScoreDistillation(Rescaled(Mix.guided(scale), share), Drawn, weights.clean_view(weights.uniform), times)
