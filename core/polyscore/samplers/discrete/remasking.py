r"""Masked diffusion that takes back what it revealed: ReMDM (Wang et al. 2025, arXiv 2503.00307).

The reverse kernel of the absorbing process with remasking probability sigma, in A = alpha,

    q(x_u | x_t, x0) = (1 - sigma) delta(x0) + sigma delta(MASK)                                      x_t = x0
                     = (A_u - (1 - sigma) A_t) / (1 - A_t) delta(x0)
                       + (1 - A_u - sigma A_t) / (1 - A_t) delta(MASK)                                x_t = MASK

has the marginals of the process for every sigma up to sigma_max = min(1, (1 - A_u) / A_t); sigma = 0 is the ancestral step. A
mistake made early can then be corrected late, so more steps go on improving a sample that has all its cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from polyscore.denoisers.base import Prediction
from polyscore.errors import InputError
from polyscore.processes.discrete.rows import draw_rows, uniforms
from polyscore.samplers.asked import Asked
from polyscore.samplers.discrete.unmasking import absorbing_only
from polyscore.samplers.stepper import Run, StepState

__all__ = ["Remasking"]


@dataclass(frozen=True)
class Remasking:
    """Ancestral steps with sigma = scale min(cap, sigma_max) while the time is within `between`, and 0 elsewhere.

    Args:
        scale: the paper's "rescale", in [0, 1].
        cap: the paper's "cap", in [0, 1].
        between: the times (late, early) within which cells are masked again; (0, 1) is always.

    Raises:
        InputError: numbers out of range; later a process that is not absorbing, or a mapping as state.
    """

    scale: float = 1.0
    cap: float = 1.0
    between: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        low, high = self.between
        if not (0 <= self.scale <= 1 and 0 <= self.cap <= 1 and 0 <= low <= high <= 1):
            raise InputError(f"Remasking: {self}; expected scale and cap in [0, 1], and 0 <= late <= early <= 1")

    def sigma(self, run: Run, t: float, u: float) -> float:
        """The probability that a revealed cell is masked again between t and u."""
        if not self.between[0] <= t <= self.between[1]:
            return 0.0
        now, earlier = (float(run.process.coefs_of(time).keep) for time in (t, u))
        return self.scale * min(self.cap, 1.0, (1 - earlier) / max(now, 1e-300))

    def init(self, run: Run, x: Any) -> StepState:
        absorbing_only("Remasking", run, x)
        return StepState(x, run.times[0], Prediction(None))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        process, (t, u) = run.process, run.times[i : i + 2]
        now, earlier = (float(process.coefs_of(time).keep) for time in (t, u))
        sigma = self.sigma(run, t, u)
        stay = (1 - earlier - sigma * now) / max(1 - now, 1e-300)
        gate, value = (uniforms(process.law, run.noise, state.x, run.given) for _ in range(2))
        free, hidden = process.free(state.x, run.given), state.x == process.mask_token
        cells = (free & hidden & (gate >= stay)).flatten().nonzero().squeeze(1)
        out = state.x.masked_fill(free & ~hidden & (gate < sigma), process.mask_token).flatten()
        asked = Asked(run, state.x, t, i)
        if len(cells):
            out[cells] = draw_rows(asked.x0, cells, value.flatten()[cells], process.classes)
        return StepState(out.view_as(state.x), u, asked.made or state.prediction)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= len(run.times) - 1
