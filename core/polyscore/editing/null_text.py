r"""Null-text inversion: guidance that leads back to the data, by a null condition of its own for every step.

With z* the path of `invert` (made without guidance) and n_t an offset of what the network's embedding says to the null condition,

    n_t = argmin |z*_u - step(x_t, D_null(x_t; n_t) + w (D_cond(x_t) - D_null(x_t; n_t)))|^2,

by Adam with a falling rate, from the last step's n on, x_t being where the found steps lead. Used with another condition it
edits; the network itself is not trained.

Source: Mokady et al. 2023, arXiv 2211.09794.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.denoisers.base import Denoiser, Prediction
from polyscore.editing.hooks import passed, recorded
from polyscore.editing.path import Path
from polyscore.guidance.classifier_free import Null, without
from polyscore.guidance.wrapper import Wrapper, between
from polyscore.noise import Silent
from polyscore.state import NONE, Given, map_state

__all__ = ["NullText", "null_text"]


@dataclass(frozen=True, eq=False)
class NullText(Wrapper):
    """Classifier-free guidance whose null condition is moved by an offset of each step's own.

    Args:
        denoiser: the conditional model.
        null: its null condition, as for `CFG`.
        scale: w; 1 is the conditional model, bit for bit.
        embedding: the module whose output the offsets are added to.
        path: whose times the sampler takes.
        offsets: (B, ...) shaped like the module's output, one a step; none is `CFG(passes=2)`, bit for bit.
    """

    null: Null
    scale: float
    embedding: nn.Module
    path: Path
    offsets: tuple[Tensor, ...] = ()

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        if self.scale == 1.0:
            return self.denoiser(x, t, given)
        cond = self.denoiser(x, t, given)
        offset = self.offsets[self.path.index(t)] if self.offsets else None
        with nullcontext() if offset is None else passed(self.embedding, lambda out: out + offset):
            null = self.denoiser(x, t, without(given, self.null))
        return Prediction(between(null.x0, cond.x0, self.scale), None, {"cond": cond.x0, "null": null.x0})


def null_text(
    denoiser: Denoiser,
    process: Any,
    path: Path,
    embedding: nn.Module,
    *,
    null: Null,
    scale: float = 7.5,
    iterations: int = 10,
    rate: float = 0.01,
    given: Given = NONE,
) -> NullText:
    """Find the offsets for the data of a path.

    Args:
        denoiser: the conditional model, differentiable.
        process: of the path.
        path: of `invert` with the same `given` and without guidance.
        embedding: a module that is called once with the condition, such as a table of classes.
        null: the null condition.
        scale: w of the later edit.
        iterations: of Adam for every step, two passes through the network each.
        rate: of Adam's first iteration at each step.
        given: what describes the data.
    """
    x = path.states[0]
    with torch.no_grad(), recorded([embedding]) as outputs:
        denoiser(x, path.times[0], without(given, null))

    def moved(x: Any, i: int, cond: Any, offset: Tensor) -> Any:
        t, u = path.times[i : i + 2]
        with passed(embedding, lambda out: out + offset):
            nothing = denoiser(x, t, without(given, null)).x0
        prediction = Prediction(between(nothing, cond, scale))
        return process.transition(x, prediction, t, u, eta=0.0, given=given, noise=Silent())

    found = [torch.zeros_like(outputs[0])]
    for i in range(path.steps):
        with torch.no_grad():
            cond = denoiser(x, path.times[i], given).x0
        with torch.inference_mode(False), torch.enable_grad():
            offset = found[-1].clone().requires_grad_()
            optimiser = torch.optim.Adam([offset], lr=rate)
            for k in range(iterations):
                optimiser.param_groups[0]["lr"] = rate * (1 - k / iterations)
                (offset.grad,) = torch.autograd.grad(_misfit(moved(x, i, cond, offset), path.states[i + 1]), offset)
                optimiser.step()
        found.append(offset.detach())
        with torch.no_grad():
            x = moved(x, i, cond, found[-1])
    return NullText(denoiser, null, scale, embedding, path, tuple(found[1:]))


def _misfit(state: Any, goal: Any) -> Tensor:
    squares = map_state(lambda a, b: (a - b).abs().square().flatten(1).sum(1), state, goal)
    total: Tensor = sum(squares.values()) if isinstance(squares, Mapping) else squares  # type: ignore[assignment]
    return total.sum()
