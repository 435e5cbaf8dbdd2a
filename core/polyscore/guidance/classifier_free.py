r"""Classifier-free guidance: combine a model's predictions with and without its condition.

All of it is linear in x0, eps or score alike (for given x these differ by an affine map whose weights sum to 1), so it is written
once, for x0. Both predictions come from one pass over a doubled batch where the conditionings can be stacked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from polyscore.denoisers.base import Prediction
from polyscore.errors import InputError
from polyscore.guidance.stacking import both, repeated, size
from polyscore.guidance.wrapper import Wrapper, between, each_leaf
from polyscore.state import Given, State, Time

__all__ = ["CFG", "CFGPlusPlus", "CFGPlusPlusInversion", "Null"]

Null: TypeAlias = "Given | Callable[[Given], Given]"


@dataclass(frozen=True)
class CFG(Wrapper):
    """x0 = x0(null) + scale (x0(cond) - x0(null)) (Ho and Salimans 2022, arXiv 2207.12598).

    In scores: (1 - scale) score(x) + scale score(x | c), the score of p(x) p(c | x)^scale. scale = 1 is the conditional model
    itself (one call, bit for bit), 0 the unconditional one. Papers that write (1 + w) cond - w null have w = scale - 1.

    Args:
        denoiser: the conditional model, trained with the null condition now and then.
        null: what is given without the condition: a function of `given`, or a `Given` whose `cond` replaces that of `given`
            (its `y` and `mask` too, where they are not None).
        scale: strength.
        passes: 1 evaluates both on one stacked batch where possible, 2 always calls twice and needs half the memory.

    `extra` of the prediction holds the two x0 as "cond" and "null".

    Raises:
        InputError: passes other than 1 or 2.
    """

    null: Null
    scale: float = 1.5
    passes: int = 1

    def __post_init__(self) -> None:
        if self.passes not in {1, 2}:
            raise InputError(f"{type(self).__name__}: passes is {self.passes}, expected 1 (stacked) or 2 (one after the other)")

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        if self.scale == 1.0:
            return self.denoiser(x, t, given)
        if self.scale == 0.0:
            return self.denoiser(x, t, repeated(given, without(given, self.null), size(x)))
        cond, null = both(self.denoiser, x, t, (given, without(given, self.null)), self.passes)
        eps = None if cond.eps is None or null.eps is None else between(null.eps, cond.eps, self.scale)
        x0 = between(null.x0, cond.x0, self.scale)
        return Prediction(x0, eps, {**null.extra, **cond.extra, "cond": cond.x0, "null": null.x0})


@dataclass(frozen=True)
class CFGPlusPlus(Wrapper):
    """CFG++: guided x0 with scale in [0, 1], re-noised with the unconditional eps (Chung et al. 2024, arXiv 2406.08070).

    x0 = x0(null) + scale (x0(cond) - x0(null)),   eps = (x - a x0(null) - b y) / s,
    so a DDIM step is x_u = a_u x0 + b_u y + s_u eps(null): guidance stays on the data's manifold. scale = 0 is the unconditional
    model, bit for bit. Any other table makes its own unconditional step and this one jump of the state, by a scale (x0(cond) -
    x0(null)); so the strength of a run grows with the number of its steps, and samplers that choose their steps do not know it.

    Args:
        denoiser, null, passes: as for `CFG`.
        process: the process of the run, for eps.
        scale: strength, between 0 and 1.
    """

    null: Null
    process: Any
    scale: float = 0.6
    passes: int = 1

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        nothing = without(given, self.null)
        if self.scale == 0.0:
            return self.denoiser(x, t, repeated(given, nothing, size(x)))
        cond, null = both(self.denoiser, x, t, (given, nothing), self.passes)
        eps = each_leaf(lambda p, x, t, given, x0: p.eps(x, x0, t, given=given), self.process, x, t, given, null.x0)
        x0 = between(null.x0, cond.x0, self.scale)
        return Prediction(x0, eps, {**null.extra, **cond.extra, "cond": cond.x0, "null": null.x0})


@dataclass(frozen=True)
class CFGPlusPlusInversion(CFGPlusPlus):
    """The way back of CFG++ with DDIM, for falling times turned round (Chung et al. 2024, algorithm 3): x0(null), guided eps.

    From x_u to the noisier t: x_t = a_t x0(null) + b_t y + s_t (eps(null) + scale (eps(cond) - eps(null))), which undoes a step
    of `CFGPlusPlus` whose predictions are the same at both ends.
    """

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        nothing = without(given, self.null)
        if self.scale == 0.0:
            return self.denoiser(x, t, repeated(given, nothing, size(x)))
        cond, null = both(self.denoiser, x, t, (given, nothing), self.passes)
        x0 = between(null.x0, cond.x0, self.scale)
        eps = each_leaf(lambda p, x, t, given, x0: p.eps(x, x0, t, given=given), self.process, x, t, given, x0)
        return Prediction(null.x0, eps, {**null.extra, **cond.extra, "cond": cond.x0, "null": null.x0})


def without(given: Given, null: Null) -> Given:
    """What is given in the unconditional call."""
    if not isinstance(null, Given):
        return null(given)
    return Given(given.y if null.y is None else null.y, null.cond, given.mask if null.mask is None else null.mask)
