"""A joint law of four cells that can be enumerated, its exact denoiser, and exact propagation of a chain of factorised steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.processes.discrete import Absorbing, CategoricalProcess, Cosine, LogLinear, MaskAndReplace, Polynomial, Replacing
from polyscore.samplers import Run
from polyscore.state import NONE, Given

__all__ = ["CELLS", "JOINT", "SEQUENCES", "VALUES", "Exact", "Steered", "outcomes", "processes", "propagated", "variation"]

F64 = torch.float64
CELLS, VALUES = 4, 3
SEQUENCES = torch.tensor(list(itertools.product(range(VALUES), repeat=CELLS)))
JOINT = torch.softmax(1.6 * torch.randn(len(SEQUENCES), generator=torch.Generator().manual_seed(5), dtype=F64), 0)


def processes(classes: int = VALUES) -> list[CategoricalProcess]:
    """One of each kind, with different schedules."""
    weights = tuple(float(k + 1) for k in range(classes))
    return [
        Absorbing(classes),
        Absorbing(classes, Cosine()),
        Absorbing(classes, LogLinear(0.02)),
        Replacing(classes),
        Replacing(classes, Polynomial(1.5), weights),
        MaskAndReplace(classes, Polynomial(0.8), Polynomial(1.2)),
    ]


class Exact:
    """p(x0 of a cell | x_t of all cells) of the joint law, as logits; counts its calls."""

    def __init__(self, process: CategoricalProcess) -> None:
        self.process, self.calls = process, 0

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        self.calls += 1
        times, which = torch.unique(torch.as_tensor(t, dtype=F64).expand(len(x)), return_inverse=True)
        tables = torch.stack([self.process.matrix(time) for time in times.tolist()])
        rows = tables[which[:, None, None], SEQUENCES, x[:, None]]  # (B, sequences, cells): q(x_t of a cell | x0)
        seen = rows.prod(-1) * JOINT
        share = torch.stack([seen @ torch.eq(SEQUENCES, value).to(F64) for value in range(VALUES)], -1)  # (B, cells, values)
        return Prediction((share / share.sum(-1, keepdim=True)).log())


def variation(found: Tensor) -> float:
    """Total variation between a law of the sequences and the joint law."""
    return float((found - JOINT).abs().sum() / 2)


def propagated(
    process: CategoricalProcess, times: list[float], step: Callable[[Tensor, Tensor, float, float], Tensor]
) -> Tensor:
    """The law of the sequences at the end of a chain in which, given the state, cells move independently.

    `step(x, logits, t, u)` gives p(x_u of a cell) for every state x (S, cells): (S, cells, tokens).
    """
    k = process.tokens
    states = torch.tensor(list(itertools.product(range(k), repeat=CELLS)))
    start = process.coefs_of(times[0])
    noise = torch.cat([process.stationary() * start.replace, start.mask.reshape(1)])[:k] / (start.replace + start.mask)
    law = noise[states].prod(-1)
    model = Exact(process)
    for t, u in itertools.pairwise(times):
        alive = law > 0
        x = states[alive]
        cells = step(x, model(x, t, NONE).x0, t, u)
        joint = torch.ones(len(x), 1, dtype=F64)
        for cell in range(CELLS):
            joint = (joint.unsqueeze(-1) * cells[:, cell].unsqueeze(1)).flatten(1)
        law = law[alive] @ joint
    place = (SEQUENCES * torch.tensor([k ** (CELLS - 1 - c) for c in range(CELLS)])).sum(-1)
    return law[place]


class Steered:
    """White noise whose uniform is set before each draw."""

    def __init__(self) -> None:
        self.queue: list[Tensor] = []

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        white: Tensor = torch.special.ndtri(self.queue.pop(0))
        return white


def outcomes(stepper: Any, process: CategoricalProcess, times: list[float], *, largest_first: bool) -> Tensor:
    """The law of the sequences that a sampler draws which fixes the order of the cells at its start, by keys that are uniform.

    Every order and every sequence is one row of a batch. The uniforms of a row are put into the middle of the interval that
    belongs to the wanted value, so the row must end as that sequence; the lengths of the intervals multiply to its probability.
    All orders are equally likely, because the keys of the cells are independent and alike.
    """
    orders = torch.tensor(list(itertools.permutations(range(CELLS))))
    want = SEQUENCES.repeat(len(orders), 1)
    place = orders.argsort(1).repeat_interleave(len(SEQUENCES), 0)
    noise, model = Steered(), Exact(process)
    x = torch.full_like(want, process.mask_token)
    run = Run(model, process, tuple(times), NONE, noise)
    place = CELLS - 1 - place if largest_first else place
    noise.queue.append((place + 0.5).to(F64) / CELLS)
    state = stepper.init(run, x)
    chance = torch.full((len(want),), 1 / len(orders), dtype=F64)
    i = 0
    while not stepper.done(run, state, i):
        p = model(state.x, 0.5, NONE).x0.exp()  # the time does not matter, but at t = 1 nothing can be known
        here = p.gather(-1, want.unsqueeze(-1)).squeeze(-1)
        below = p.cumsum(-1).gather(-1, want.unsqueeze(-1)).squeeze(-1) - here
        noise.queue.append((below + here / 2).clamp(1e-15, 1 - 1e-15))
        after = stepper.step(run, state, i)
        chance = chance * torch.where(after.x != state.x, here, 1.0).prod(-1)
        state, i = after, i + 1
    reached = chance > 1e-14
    assert torch.equal(state.x[reached], want[reached])
    return chance.view(len(orders), -1).sum(0)
