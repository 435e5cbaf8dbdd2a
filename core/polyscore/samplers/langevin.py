r"""Predictor-corrector sampling (Song et al. 2021, arXiv 2011.13456; SGMSE: Richter et al. 2023; GDSS: Jo et al. 2022).

At each t the corrector moves the state inside the marginal p_t by Langevin steps, with g = score(x, t),

    x <- x + e g + c sqrt(2 e) z,

then the predictor moves it from t to the next time. A corrector is its rule for the step size e. Draws come in this order: the
prior; then per step one per corrector step and one for the predictor (the last one too), leaf after leaf for mapping states,
whose leaves are all evaluated at the same joint state and have norms and step sizes of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from polyscore.denoisers.base import Prediction, begin
from polyscore.errors import InputError
from polyscore.noise import Noise, NoiseLaw, leaf_noise
from polyscore.processes import GaussianProcess
from polyscore.processes.probability_flow import Affine, Factor, affine
from polyscore.samplers.ancestral import DDIM
from polyscore.samplers.leafwise import Leafwise
from polyscore.samplers.plan import Coef, Plan
from polyscore.samplers.reverse import ReverseDiffusion, score_sde_tables
from polyscore.samplers.stepper import Ancestral, Run, StepState
from polyscore.state import Given, leaf_given

__all__ = ["AnnealedLangevin", "Corrector", "Langevin", "PredictorCorrector", "score_sde_alphas", "unit_alphas"]

Alphas: TypeAlias = Callable[[GaussianProcess, Sequence[float]], Sequence[float]]


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

    def root(self, z: Tensor, g: Tensor, s: Factor, alpha: float) -> Factor:
        """sqrt(e) from the noise z, the score g (B, ...), the level s and the factor alpha."""
        ...


@dataclass(frozen=True)
class Langevin:
    """e = 2 alpha (snr |z| / |g|)^2, x <- x + e g + scale sqrt(2 e) z.

    Made for states of many entries: with few, |g| of a sample can be near 0 and its step far too long (1 / |g|^2 has no mean for
    one or two entries), and the law suffers. Then take `reduce="batch"` or `AnnealedLangevin`.

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

    def root(self, z: Tensor, g: Tensor, s: Factor, alpha: float) -> Tensor:
        axes = tuple(range(1, z.ndim))
        signal: Tensor = torch.linalg.vector_norm(g, dim=axes, keepdim=True)
        noise: Tensor = torch.linalg.vector_norm(z, dim=axes, keepdim=True)
        if self.reduce == "batch":
            signal, noise = signal.mean(), noise.mean()
        # An empty sample (every entry masked) has |z| = |g| = 0 and must stay where it is.
        return noise / signal.clamp(min=torch.finfo(signal.dtype).tiny) * (self.snr * math.sqrt(2 * alpha))


@dataclass(frozen=True)
class AnnealedLangevin:
    """e = 2 alpha (snr s_t)^2, s_t the process's noise level: SGMSE's default corrector (`ald`)."""

    snr: float = 0.5
    steps: int = 1
    scale: float = 1.0
    alphas: Alphas = unit_alphas

    def root(self, z: Tensor, g: Tensor, s: Factor, alpha: float) -> Factor:
        return s * (self.snr * math.sqrt(2 * alpha))


class _Row(NamedTuple):
    """One step of one leaf: a, b, s at its start; coefficients of (x, x0, y) in the score and in the predictor's mean."""

    level: Affine
    alpha: float
    score: Affine
    mean: Affine
    noise: Factor
    span: tuple[float, float]

    @property
    def still(self) -> bool:
        """s = 0, nothing to correct."""
        return isinstance(self.level[2], float) and self.level[2] == 0.0


class _Leaf(NamedTuple):
    rows: tuple[_Row, ...]
    corrector: Any
    law: NoiseLaw
    given: Given
    noise: Noise


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

    predictor: Any = field(default_factory=ReverseDiffusion)
    corrector: Any = field(default_factory=Langevin)
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
            seen = dict(x) if joint else x[""]
            prediction = run.denoiser(seen, run.when(seen, run.times[i]), run.given)
            for name, leaf in leaves.items():
                x0 = prediction.x0[name] if joint else prediction.x0
                if stage < corrections:
                    x[name] = _correct(leaf, leaf.rows[i], x[name], x0)
                    continue
                eps = prediction.eps[name] if joint and prediction.eps is not None else prediction.eps
                mean, moved = _predict(leaf, leaf.rows[i], x[name], x0, eps)
                x[name] = mean if self.last == "mean" and i == len(run.times) - 2 else moved
        return StepState(x if joint else x[""], run.times[i + 1], prediction, leaves)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= len(run.times) - 1


def _steps(corrector: Corrector | None) -> int:
    return 0 if corrector is None else corrector.steps


def _correct(leaf: _Leaf, row: _Row, x: Tensor, x0: Tensor) -> Tensor:
    if row.still:
        return x
    g = affine(row.score, x, x0, leaf.given.y)
    z = leaf.law(leaf.noise, x, given=leaf.given)
    root = leaf.corrector.root(z, g, row.level[2], row.alpha)
    noise = root * (math.sqrt(2) * leaf.corrector.scale)
    if isinstance(root, float):
        return torch.add(torch.add(x, g, alpha=root**2), z, alpha=noise)
    return torch.addcmul(torch.addcmul(x, g, root.square().to(g.dtype)), z, torch.as_tensor(noise).to(z.dtype))


def _predict(leaf: _Leaf, row: _Row, x: Tensor, x0: Tensor, eps: Tensor | None) -> tuple[Tensor, Tensor]:
    """The predictor's mean, and a draw around it."""
    if eps is not None:
        a, b, s = row.level
        x = affine((s, a, b), eps, x0, leaf.given.y)
    mean = affine(row.mean, x, x0, leaf.given.y)
    if isinstance(row.noise, float) and row.noise == 0.0:
        return mean, mean
    z = leaf.law(leaf.noise, x, t=row.span[0], u=row.span[1], given=leaf.given)
    return mean, torch.add(mean, z, alpha=row.noise) if isinstance(row.noise, float) else mean + row.noise * z


def _chosen(part: Any, name: str) -> Any:
    return part[name] if isinstance(part, Leafwise) else part


def _leaf(sampler: PredictorCorrector, name: str, process: GaussianProcess, run: Run, x: Tensor, given: Given) -> _Leaf:
    predictor, corrector = _chosen(sampler.predictor, name), _chosen(sampler.corrector, name)
    solver = DDIM(predictor.eta) if isinstance(predictor, Ancestral) else predictor
    plan: Plan = solver.plan(process, run.times)
    if plan.registers > 1 or plan.history > 1 or not plan.nfe == plan.steps == len(plan.stages):
        raise InputError(
            f"PredictorCorrector: {predictor} needs more than its last prediction; expected a predictor of one call and "
            "one write a step, such as ReverseDiffusion(), DDIM(eta) or Ancestral(eta)"
        )

    def coef(value: Coef) -> Factor:
        return value if isinstance(value, float) else torch.tensor(value, dtype=x.real.dtype, device=x.device)

    alphas = [1.0] * len(plan.stages) if corrector is None else corrector.alphas(process, run.times)
    rows = []
    for stage, alpha in zip(plan.stages, alphas, strict=True):
        a, b, s = level = (coef(stage.level[0]), coef(stage.level[1]), coef(stage.level[2]))
        pull = _inverse_square(s)
        keep = coef(stage.states[0][1]) if stage.states else 0.0
        share = coef(stage.preds[0][1]) if stage.preds else 0.0
        cx, cd, cy = (coef(c) for c in stage.form)  # the prediction may be remembered as x0, eps or velocity
        mean, score = (keep + share * cx, share * cd, coef(stage.y) + share * cy), (-pull, a * pull, b * pull)
        rows.append(_Row(level, alpha, score, mean, coef(stage.noise), stage.span))
    return _Leaf(tuple(rows), corrector, process.law, given, leaf_noise(run.noise, name) if name else run.noise)


def _inverse_square(s: Factor) -> Factor:
    """1 / s^2, and 0 where s = 0: a state that is known exactly has no score to follow."""
    if isinstance(s, float):
        return 1 / s**2 if s else 0.0
    return torch.where(s > 0, s**-2, torch.zeros_like(s))
