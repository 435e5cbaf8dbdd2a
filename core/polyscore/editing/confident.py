r"""CODE: damaged data are inverted, moved up in likelihood where they are noise, and brought back.

    x_t  by the probability flow from x;       N times   x_t <- x_t + e score(x_t) + sqrt(2 e) eps,   e = rate s^2;
    the flow back to x.

No kind of damage is assumed. Before every call states are clipped to what noised data in [-1, 1] can be,

    |x_t - c| <= a + k s     (c = 0),     or     |x_t - a x| <= k s     around the input,

beyond which is nothing that the model was trained on (confidence-based clipping).

Source: van Delft et al. 2024, arXiv 2408.12418.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from polyscore.denoisers.base import Denoiser, Prediction
from polyscore.editing.path import invert
from polyscore.guidance.wrapper import Wrapper, each_leaf, real
from polyscore.noise import NoiseLike, as_noise, leaf_noise
from polyscore.processes import GaussianProcess
from polyscore.processes.grids import Grid
from polyscore.samplers import DDIM, sample
from polyscore.state import NONE, Given, LeafTime, map_state

__all__ = ["Confident", "ascend", "code"]


@dataclass(frozen=True, eq=False)
class Confident(Wrapper):
    """The model asked about clipped states; every sampler then goes on from the clipped state.

    Args:
        denoiser: the model.
        process: of the run.
        width: k; infinite is the model itself, bit for bit.
        centre: None, or the data (B, ...) around which the interval lies.
    """

    process: Any
    width: float = 2.0
    centre: Any = None

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        if math.isinf(self.width):
            return self.denoiser(x, t, given)
        x = self.clipped(x, t, given)
        prediction = self.denoiser(x, t, given)
        if prediction.eps is not None:
            return prediction
        eps = each_leaf(lambda p, x, t, given, x0: p.eps(x, x0, t, given=given), self.process, x, t, given, prediction.x0)
        return replace(prediction, eps=eps)

    def clipped(self, x: Any, t: Any, given: Given) -> Any:
        """The state within the interval."""
        if math.isinf(self.width):
            return x

        def leaf(process: GaussianProcess, x: Tensor, t: LeafTime, given: Given, *centre: Tensor) -> Tensor:
            a, b, s = (real(c, t, x) for c in process.coefs_of(t))
            middle = 0.0 if given.y is None else b * given.y
            reach = self.width * s
            middle, reach = (middle + a * centre[0], reach) if centre else (middle, a + reach)
            out: Tensor = middle + (x - middle).clamp(-reach, reach)
            return out

        return each_leaf(leaf, self.process, x, t, given, *(() if self.centre is None else (self.centre,)))


def ascend(
    denoiser: Denoiser, process: Any, x: Any, t: float, *, updates: int, rate: float, given: Given = NONE, noise: NoiseLike = 0
) -> Any:
    """Langevin steps at a fixed time: x <- x + e score + sqrt(2 e) eps, e = rate s^2, one call each; they keep the law of x_t."""
    source = as_noise(noise)
    for _ in range(updates):
        if isinstance(denoiser, Confident):
            x = denoiser.clipped(x, t, given)
        x0 = denoiser(x, t, given).x0
        score = each_leaf(lambda p, x, t, given, x0: p.score(x, x0, t, given=given), process, x, t, given, x0)
        draw = _draws(process, x, t, given, source)
        size = each_leaf(lambda p, x, t, given: real(p.coefs_of(t).s, t, x).expand(x.shape), process, x, t, given)
        x = map_state(lambda x, g, z, s: x + rate * s**2 * g + math.sqrt(2 * rate) * s * z, x, score, draw, size)
    return x


def _draws(process: Any, x: Any, t: float, given: Given, source: Any) -> Any:
    if isinstance(x, Tensor):
        return process.law(source, x, t=t, u=t, given=given)
    parts = {name: leaf_noise(source, name) for name in x}
    return {n: _draws(process[n], leaf, t, Given(None, None, given.mask), parts[n]) for n, leaf in x.items()}


def code(
    denoiser: Denoiser,
    process: Any,
    x: Any,
    *,
    start: float,
    steps: int,
    updates: int = 20,
    rate: float = 0.05,
    width: float = 2.0,
    grid: Grid | Sequence[float] | None = None,
    given: Given = NONE,
    noise: NoiseLike = 0,
) -> Any:
    """Damaged `x` (B, ...) made likely.

    Args:
        denoiser: the model.
        process: of the model.
        x: data in about [-1, 1].
        start: the time at which it is moved; larger changes more.
        steps: of the whole grid; those below `start` are taken, up and down.
        updates: N; 0, with an infinite width, is DDIM inversion and back.
        rate: size of an update.
        width: k of the clipping.
        grid: default the process's own.
        given: what it should be.
        noise: of the updates.
    """
    model = Confident(denoiser, process, width)
    path = invert(model, process, x, steps=steps, grid=grid, start=start, given=given)
    moved = ascend(model, process, path.states[0], start, updates=updates, rate=rate, given=given, noise=noise)
    return sample(DDIM(), model, process, x, steps=path.steps, grid=path.times, given=given, init=moved)
