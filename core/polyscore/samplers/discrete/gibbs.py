r"""Block Gibbs sampling with the model of an absorbing process: hide some cells, draw them anew, again and again.

A step at time t hides n = C(t) D of the D cells of a sample that may change, chosen at random, and draws each from p(x0 | the
rest). With n = 1 this leaves the model's law as it is. With n > 1 the cells of a block do not see each other, which costs as it
does in parallel unmasking; a grid of times that falls ends with small blocks. It starts from a complete state (`init`), so it
comes after another sampler, and what that one drew blindly is looked at once more.

    first = sample(Unmasking(order), model, process, like, steps=32)
    better = sample(Gibbs(), model, process, like, steps=32, grid=[.6, ..., .05, 0], init=first)

Sources: Yao, Ozair, Cho, Bengio 2014 (annealed masking), arXiv 1409.0585; Huang et al. 2017 (Coconet), arXiv 1903.07227.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from polyscore.denoisers.base import Prediction
from polyscore.processes.discrete.rows import draw_rows, uniforms
from polyscore.samplers.asked import Asked
from polyscore.samplers.discrete.unmasking import absorbing_only, first_cells
from polyscore.samplers.stepper import Run, StepState

__all__ = ["Gibbs"]


@dataclass(frozen=True)
class Gibbs:
    """One block a step, at least one cell of every sample that has any; cells that are hidden already are always in it.

    The grid's last time is not read. One call a step, none where nothing may change.

    Raises:
        InputError: a process that is not absorbing, or a mapping as state.
    """

    def init(self, run: Run, x: Any) -> StepState:
        absorbing_only("Gibbs", run, x)
        return StepState(x, run.times[0], Prediction(None))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        process, x, t = run.process, state.x, run.times[i]
        keys, value = (uniforms(process.law, run.noise, x, run.given).flatten(1) for _ in range(2))
        free = process.free(x, run.given).flatten(1)
        gone = free & (x == process.mask_token).flatten(1)
        count = (float(process.coefs_of(t).mask) * free.sum(1)).round().clamp(min=1).long()
        block = first_cells(keys.masked_fill(gone, -1.0), free, count.maximum(gone.sum(1)))
        cells = block.flatten().nonzero().squeeze(1)
        if len(cells) == 0:
            return state._replace(t=run.times[i + 1])
        hidden = x.masked_fill(block.view_as(x), process.mask_token)
        asked = Asked(run, hidden, t, i)
        out = hidden.flatten()
        out[cells] = draw_rows(asked.x0, cells, value.flatten()[cells], process.classes)
        return StepState(out.view_as(x), run.times[i + 1], asked.made or state.prediction)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= len(run.times) - 1
