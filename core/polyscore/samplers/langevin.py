r"""Predictor-corrector sampling (Song et al. 2021, arXiv 2011.13456; SGMSE: Richter et al. 2023; GDSS: Jo et al. 2022).

At each t: the corrector moves the state inside the marginal p_t by Langevin steps  x <- x + e g + c sqrt(2 e) z,  g = score(x, t),
then the predictor moves it from t to the next time. A corrector is its rule for the step size e. Draws come in this order: prior;
then per step one per corrector step and one for the predictor (the last one too), leaf after leaf for mapping states, whose leaves
are all evaluated at the same joint state and have norms and step sizes of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from polyscore.denoisers.base import Prediction, begin
from polyscore.errors import InputError
from polyscore.noise import NoiseLaw
from polyscore.processes import GaussianProcess
from polyscore.samplers.ancestral import DDIM
from polyscore.samplers.leafwise import Leafwise
from polyscore.samplers.plan import Plan
from polyscore.samplers.reverse import ReverseDiffusion, score_sde_tables
from polyscore.samplers.stepper import Ancestral, Run, StepState
from polyscore.state import Given, leaf_given

__all__ = ["AnnealedLangevin", "Corrector", "Langevin", "PredictorCorrector", "score_sde_alphas", "unit_alphas"]

Alphas: TypeAlias = Callable[[GaussianProcess, Sequence[float]], Sequence[float]]
Size: TypeAlias = "float | Tensor"


def unit_alphas(process: GaussianProcess, times: Sequence[float]) -> list[float]:
    """1 at every step (SGMSE, and score_sde's VE)."""
    return [1.0] * (len(times) - 1)


def score_sde_alphas(process: GaussianProcess, times: Sequence[float]) -> list[float]:
    """score_sde's and GDSS's factor: 1 - beta_i of the VP table, 1 for VE."""
    return [float((1 + inc.drift) ** 2) for inc in score_sde_tables(process, times)]


class Corrector(Protocol):
    """A rule for the Langevin step size; `snr`, `steps`, `scale`, `alphas` as in the two classes below."""

    @property
    def steps(self) -> int: ...
    @property
    def scale(self) -> float: ...
    @property
    def alphas(self) -> Alphas: ...

    def size(self, z: Tensor, g: Tensor, s: Size, alpha: float) -> Size:
        """e from the noise z, the score g (B, ...), the level s and the factor alpha."""
        ...


@dataclass(frozen=True)
class Langevin:
    """e = 2 alpha (snr |z| / |g|)^2, x <- x + e g + scale sqrt(2 e) z.

    Args:
        snr: signal-to-noise ratio of a corrector step.
        steps: corrector steps per time.
        reduce: norms per "sample", or their means over the "batch" as score_sde, SGMSE and GDSS take them (then a sample depends
            on its batch).
        scale: factor of the noise (GDSS's scale_eps).
        alphas: factor alpha of each step.
    """

    snr: float = 0.16
    steps: int = 1
    reduce: Literal["sample", "batch"] = "sample"
    scale: float = 1.0
    alphas: Alphas = unit_alphas

    def size(self, z: Tensor, g: Tensor, s: Size, alpha: float) -> Tensor:
        axes = tuple(range(1, z.ndim))
        signal, noise = (torch.linalg.vector_norm(v, dim=axes, keepdim=True) for v in (g, z))
        if self.reduce == "batch":
            signal, noise = signal.mean(), noise.mean()
        # An empty sample (every entry masked) has |z| = |g| = 0 and must stay where it is.
        ratio = noise / signal.clamp(min=torch.finfo(signal.dtype).tiny)
        return ratio.square() * (2 * alpha * self.snr**2)


@dataclass(frozen=True)
class AnnealedLangevin:
    """e = 2 alpha (snr s_t)^2, s_t the process's noise level: SGMSE's default corrector (`ald`)."""

    snr: float = 0.5
    steps: int = 1
    scale: float = 1.0
    alphas: Alphas = unit_alphas

    def size(self, z: Tensor, g: Tensor, s: Size, alpha: float) -> Size:
        return s**2 * (2 * alpha * self.snr**2)


class _Row(NamedTuple):
    """One step of one leaf: a, b, s at its start; coefficients of (x, x0, y) in the score and in the predictor's mean; s = 0."""

    level: tuple[Size, Size, Size]
    alpha: float
    score: tuple[Size, Size, Size]
    mean: tuple[Size, Size, Size]
    noise: Size
    span: tuple[float, float]
    still: bool


class _Leaf(NamedTuple):
    rows: tuple[_Row, ...]
    corrector: Any
    law: NoiseLaw
    given: Given


@dataclass(frozen=True)
class PredictorCorrector:
    """Corrector, then predictor, at each time of the grid; NFE = N (corrector steps + 1).

    Args:
        predictor: a solver of one call a step (`ReverseDiffusion()`, `DDIM(eta)`, ...), `Ancestral(eta)`, or `Leafwise` of them.
        corrector: `Langevin`, `AnnealedLangevin`, `Leafwise` of them with equal `steps`, or None.
        last: what the last step returns: the predictor's "mean", as the originals do, or the "sample".

    Where s_t = 0 (the start of a bridge) there is nothing to correct, and the corrector is passed over. A prediction's own eps
    (CFG++) is put back by the predictor; correctors follow the score of its x0.

    Raises:
        InputError: a predictor that is not one call and one write a step, or correctors with unequal numbers of steps.
    """

    predictor: Any = ReverseDiffusion()
    corrector: Any = Langevin()
    last: Literal["mean", "sample"] = "mean"

    def init(self, run: Run, x: Any) -> StepState:
        joint = isinstance(x, Mapping)
        leaves = {
            n: _leaf(self, n, run.process[n] if joint else run.process, run, v, leaf_given(run.given, n) if joint else run.given)
            for n, v in (x.items() if joint else [("", x)])
            if n not in run.held
        }
        if len({_steps(leaf.corrector) for leaf in leaves.values()}) > 1:
            raise InputError("PredictorCorrector: the leaves' correctors have different numbers of steps; expected one number")
        return StepState(x, run.times[0], Prediction(None), leaves)

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        leaves: Mapping[str, _Leaf] = state.memory
        joint = isinstance(state.x, Mapping)
        x: dict[str, Tensor] = dict(state.x) if joint else {"": state.x}
        corrections = 0 if all(leaf.rows[i].still for leaf in leaves.values()) else _steps(next(iter(leaves.values())).corrector)
        prediction = state.prediction
        for stage in range(corrections + 1):
            begin(run.denoiser, i, stage)
            seen = x if joint else x[""]
            prediction = run.denoiser(seen, run.when(seen, run.times[i]), run.given)
            for name, leaf in leaves.items():
                x0 = prediction.x0[name] if joint else prediction.x0
                if stage < corrections:
                    x[name] = _correct(leaf, leaf.rows[i], x[name], x0, run)
                    continue
                eps = prediction.eps[name] if joint and prediction.eps is not None else prediction.eps
                mean, moved = _predict(leaf, leaf.rows[i], x[name], x0, eps, run)
                x[name] = mean if self.last == "mean" and i == len(run.times) - 2 else moved
        return StepState(x if joint else x[""], run.times[i + 1], prediction, leaves)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= len(run.times) - 1


def _steps(corrector: Corrector | None) -> int:
    return 0 if corrector is None else corrector.steps


def _affine(coefs: tuple[Size, Size, Size], x: Tensor, x0: Tensor, y: Any) -> Tensor:
    cx, cd, cy = coefs
    out = torch.add(cx * x, x0, alpha=cd) if isinstance(cd, float) else cx * x + cd * x0
    return out if y is None else out + cy * y


def _correct(leaf: _Leaf, row: _Row, x: Tensor, x0: Tensor, run: Run) -> Tensor:
    if row.still:
        return x
    g = _affine(row.score, x, x0, leaf.given.y)
    z = leaf.law(run.noise, x, given=leaf.given)
    e = leaf.corrector.size(z, g, row.level[2], row.alpha)
    if isinstance(e, float):
        return torch.add(torch.add(x, g, alpha=e), z, alpha=leaf.corrector.scale * math.sqrt(2 * e))
    spread = torch.sqrt(e * (2 * leaf.corrector.scale**2))
    return torch.addcmul(torch.addcmul(x, g, e.to(g.dtype)), z, spread.to(z.dtype))


def _predict(leaf: _Leaf, row: _Row, x: Tensor, x0: Tensor, eps: Tensor | None, run: Run) -> tuple[Tensor, Tensor]:
    """The predictor's mean, and a draw around it."""
    if eps is not None:
        a, b, s = row.level
        x = _affine((s, a, b), eps, x0, leaf.given.y)
    mean = _affine(row.mean, x, x0, leaf.given.y)
    if isinstance(row.noise, float) and row.noise == 0.0:
        return mean, mean
    z = leaf.law(run.noise, x, t=row.span[0], u=row.span[1], given=leaf.given)
    return mean, torch.add(mean, z, alpha=row.noise) if isinstance(row.noise, float) else mean + row.noise * z


def _chosen(part: Any, name: str) -> Any:
    return part[name] if isinstance(part, Leafwise) else part


def _leaf(sampler: PredictorCorrector, name: str, process: GaussianProcess, run: Run, x: Tensor, given: Given) -> _Leaf:
    predictor, corrector = _chosen(sampler.predictor, name), _chosen(sampler.corrector, name)
    solver = DDIM(predictor.eta) if isinstance(predictor, Ancestral) else predictor
    plan: Plan = solver.plan(process, run.times)
    if any(st.at is None or st.ends is None or st.read + st.write or any(age for age, _ in st.preds) for st in plan.stages):
        raise InputError(
            f"PredictorCorrector: {predictor} needs more than its last prediction; expected a predictor of one call and one write "
            "a step, such as ReverseDiffusion(), DDIM(eta) or Ancestral(eta)"
        )

    def coef(value: Any) -> Size:
        array = np.asarray(value, dtype=np.float64)
        return float(array) if array.ndim == 0 else torch.tensor(array, dtype=x.real.dtype, device=x.device)

    alphas = [1.0] * len(plan.stages) if corrector is None else corrector.alphas(process, run.times)
    rows = []
    for stage, alpha in zip(plan.stages, alphas, strict=True):
        a, b, s = (np.asarray(c, dtype=np.float64) for c in stage.level)
        pull = np.divide(1.0, s**2, out=np.zeros_like(s), where=s > 0)
        mean = (dict(stage.states).get(0, 0.0), dict(stage.preds).get(0, 0.0), stage.y)
        rows.append(
            _Row(
                level=(coef(a), coef(b), coef(s)),
                alpha=alpha,
                score=(coef(-pull), coef(a * pull), coef(b * pull)),
                mean=(coef(mean[0]), coef(mean[1]), coef(mean[2])),
                noise=coef(stage.noise),
                span=stage.span,
                still=not s.any(),
            )
        )
    return _Leaf(tuple(rows), corrector, process.law, given)
