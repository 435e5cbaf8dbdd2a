r"""Samplers of masked diffusion that choose cells first and their values afterwards.

In the absorbing process every masked cell has a first-hitting time of its own, at which the reverse process reveals it, and all
are independent: C(tau) is uniform in (0, C(t)). So the times are drawn before the run, the cell with the largest is revealed
next, its value from p(x0 | x_tau), and the sampler is exact with as many calls as there are masked cells. Its order is uniformly
random. To reveal k cells a call, D calls become D / k, and all that is lost is the dependence within a group; groups of equal
size lose less than the random ones of the ancestral sampler.

    FirstHitting     one cell of every sample a call, at its own time       exact
    Unmasking        a share of the cells a step, in a random or given order
    ByConfidence     the same, those first whose drawn value the model is surest of

A run has at most as many steps as its grid (`FirstHitting`: as the sample with most masked cells has), whatever is masked; a step
that reveals nothing makes no call.

Sources: Zheng et al. 2025 (first hitting), arXiv 2409.02908; Chang et al. 2022 (MaskGIT), arXiv 2202.04200.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polyscore.denoisers.base import Prediction
from polyscore.errors import InputError
from polyscore.noise import Normal
from polyscore.processes.discrete.categorical import CategoricalProcess
from polyscore.processes.discrete.rows import draw, draw_rows, log_rows, uniforms
from polyscore.samplers.asked import Asked
from polyscore.samplers.stepper import Run, StepState

__all__ = ["ByConfidence", "FirstHitting", "Unmasking", "absorbing_only", "first_cells"]


def absorbing_only(name: str, run: Run, x: Any) -> CategoricalProcess:
    """The process of the run, if the sampler can reveal its cells.

    Raises:
        InputError: a mapping as state, or a process that is not absorbing.
    """
    process = run.process
    if not isinstance(x, Tensor) or not isinstance(process, CategoricalProcess) or not process.masks or process.replaces:
        raise InputError(
            f"{name}: {type(process).__name__} with a {type(x).__name__} as state; expected an absorbing process and a tensor. "
            "`Ancestral` runs with every process"
        )
    if not isinstance(process.law, Normal):
        raise InputError(f"{name}: the law {process.law}; expected cells that are noised one by one. `Ancestral` takes any law")
    return process


class _Plan(NamedTuple):
    """Per sample: the keys by which its cells (D,) come, smallest first, and how many were masked at the start."""

    keys: Tensor
    masked: Tensor


def _hidden(process: CategoricalProcess, run: Run, x: Tensor) -> Tensor:
    return ((x == process.mask_token) & process.free(x, run.given)).flatten(1)


def first_cells(keys: Tensor, hidden: Tensor, count: Tensor) -> Tensor:
    """The `count` (B,) hidden cells (B, D) with the smallest keys, bool (B, D)."""
    order = torch.where(hidden, keys, torch.inf).argsort(dim=1, stable=True)
    place = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1], device=keys.device).expand_as(order))
    return hidden & (place < count.unsqueeze(1))


def _revealed(process: CategoricalProcess, x: Tensor, chosen: Tensor, asked: Asked, u: Tensor) -> Tensor:
    """x with draws from the rows of the chosen cells (B, D); without any the model is not asked."""
    cells = chosen.flatten().nonzero().squeeze(1)
    if len(cells) == 0:
        return x
    out = x.flatten().clone()
    out[cells] = draw_rows(asked.x0, cells, u.flatten()[cells], process.classes)
    return out.view_as(x)


@dataclass(frozen=True)
class FirstHitting:
    """The exact sampler of the absorbing process: one cell of every sample a call, in the order of their first-hitting times.

    Of the grid only the first time is read. The denoiser is asked at one time per sample, (B,). A frame's t is the largest of
    them.

    Raises:
        InputError: a process that is not absorbing, or a mapping as state.
    """

    def init(self, run: Run, x: Any) -> StepState:
        process = absorbing_only("FirstHitting", run, x)
        top = float(process.coefs_of(run.times[0]).mask)
        level = top * uniforms(process.law, run.noise, x, run.given).flatten(1)
        return StepState(x, run.times[0], Prediction(None), _Plan(-level, _hidden(process, run, x).sum(1)))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        process, x, keys = run.process, state.x, state.memory.keys
        hidden = _hidden(process, run, x)
        chosen = first_cells(keys, hidden, torch.ones_like(state.memory.masked))
        level = torch.where(chosen, -keys, 0.0).sum(1)  # 0, data, for samples that are complete
        t = torch.where(hidden.any(1), process.time_at_mask(level), 0.0)
        asked = Asked(run, x, t, i)
        x = _revealed(process, x, chosen, asked, uniforms(process.law, run.noise, x, run.given))
        last = bool((hidden.sum(1) <= 1).all())
        return StepState(x, 0.0 if last else float(t.max()), asked.made or state.prediction, state.memory)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= max(1, int(state.memory.masked.max()))


@dataclass(frozen=True, eq=False)
class Unmasking:
    """Parallel first hitting: of D masked cells, floor(D C(u) / C(t_0)) are left at the grid's time u; which, the order says.

    On the linear schedule with a uniform grid the groups are of equal size.

    Args:
        order: keys of the cells, broadcast to the state: the smallest is revealed first (a lattice, time before pitch, ...).
            None: a random order, that of the first-hitting times. Equal keys come at random.

    Raises:
        InputError: a process that is not absorbing, a mapping as state, or an order that does not fit the state.
    """

    order: Tensor | None = None

    def init(self, run: Run, x: Any) -> StepState:
        process = absorbing_only("Unmasking", run, x)
        keys = uniforms(process.law, run.noise, x, run.given)
        if self.order is not None:
            try:
                place = self.order.to(x.device, torch.float64).expand(x.shape).flatten(1)
            except RuntimeError as error:
                shapes = f"order {tuple(self.order.shape)} for a state {tuple(x.shape)}"
                raise InputError(f"Unmasking: {shapes}; expected a shape that broadcasts to the state") from error
            ranks = torch.unique(place, return_inverse=True)[1]  # equal keys by chance: ranks are whole, chance is below 1
            keys = ranks.view_as(place) + keys.flatten(1) / 2
        return StepState(x, run.times[0], Prediction(None), _Plan(keys.flatten(1), _hidden(process, run, x).sum(1)))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        hidden = _hidden(run.process, run, state.x)
        count = hidden.sum(1) - _left(run, state.memory.masked, i)
        u = uniforms(run.process.law, run.noise, state.x, run.given)
        asked = Asked(run, state.x, run.times[i], i)
        x = _revealed(run.process, state.x, first_cells(state.memory.keys, hidden, count), asked, u)
        return StepState(x, run.times[i + 1], asked.made or state.prediction, state.memory)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= len(run.times) - 1


@dataclass(frozen=True)
class ByConfidence:
    """MaskGIT: every masked cell draws a value; those are kept whose log p(value) + scale (1 - i/n) g is largest, g ~ Gumbel.

    As many are left masked as in `Unmasking`; a cosine grid of times gives MaskGIT's schedule. Not a sampler of the model's law:
    it prefers the likely, and cells whose likeliest value is a rest or a hold come first.

    Args:
        scale: of the noise, which falls to 0 along the run; 0 is the plain order.

    Raises:
        InputError: a negative scale; later a process that is not absorbing, or a mapping as state.
    """

    scale: float = 0.0

    def __post_init__(self) -> None:
        if self.scale < 0:
            raise InputError(f"ByConfidence: scale {self.scale}, expected at least 0")

    def init(self, run: Run, x: Any) -> StepState:
        process = absorbing_only("ByConfidence", run, x)
        masked = _hidden(process, run, x).sum(1)
        return StepState(x, run.times[0], Prediction(None), _Plan(torch.empty(0), masked))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        process, x = run.process, state.x
        hidden = _hidden(process, run, x)
        count = hidden.sum(1) - _left(run, state.memory.masked, i)
        value, chance = (uniforms(process.law, run.noise, x, run.given) for _ in range(2))
        if not bool((count > 0).any()):
            return state._replace(t=run.times[i + 1])
        asked = Asked(run, x, run.times[i], i)
        cells = hidden.flatten().nonzero().squeeze(1)
        rows = log_rows(asked.x0, cells)
        drawn = draw(rows, value.flatten()[cells])
        gumbel = -(-chance.flatten()[cells].clamp(1e-300, 1 - 2**-53).log()).log()
        sure = rows.gather(1, drawn.unsqueeze(1)).squeeze(1) + self.scale * (1 - (i + 1) / (len(run.times) - 1)) * gumbel
        keys, out = torch.zeros_like(value).flatten(), x.flatten().clone()
        keys[cells], out[cells] = -sure, drawn
        chosen = first_cells(keys.view_as(hidden), hidden, count).view_as(x)
        return StepState(torch.where(chosen, out.view_as(x), x), run.times[i + 1], asked.made or state.prediction, state.memory)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= len(run.times) - 1


def _left(run: Run, masked: Tensor, i: int) -> Tensor:
    """How many cells of each sample (B,) are still masked after step i."""
    top, now = (float(run.process.coefs_of(t).mask) for t in (run.times[0], run.times[i + 1]))
    return torch.floor(masked * (now / top) + 1e-9).long()
