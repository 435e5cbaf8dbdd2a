r"""SDEdit: noise to an intermediate time, then sample from there: the model corrects what is small and keeps what is large.

    x_s = a_s x + b_s y + s_s eps,     then the reverse process from s to 0.

The larger s, the more realistic and the less faithful.

Source: Meng et al. 2022, arXiv 2108.01073.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polyscore.denoisers.base import Denoiser
from polyscore.editing.path import times_from
from polyscore.noise import NoiseLike, as_noise
from polyscore.processes.grids import Grid
from polyscore.samplers import sample
from polyscore.samplers.loop import Sampler
from polyscore.state import NONE, Given

__all__ = ["sdedit"]


def sdedit(
    sampler: Sampler,
    denoiser: Denoiser,
    process: Any,
    x: Any,
    *,
    strength: float,
    steps: int,
    grid: Grid | Sequence[float] | None = None,
    given: Given = NONE,
    noise: NoiseLike = 0,
) -> Any:
    """`x` (B, ...), a tensor or mapping, drawn anew from time `strength` on.

    Args:
        sampler: any.
        denoiser: the model.
        process: of the model.
        x: what to edit.
        strength: the time s; 0 returns `x` itself.
        steps: of the whole grid; those below s are taken.
        grid: default the process's own.
        given: what is wanted.
        noise: of the state at s, then of the sampler.
    """
    if strength == 0.0:
        return x
    times, source = times_from(strength, process, steps, grid), as_noise(noise)
    begin = process.perturb(x, strength, given=given, noise=source).x
    return sample(
        sampler, denoiser, process, x, steps=len(times) - 1, grid=times, given=given, noise=source, init=begin
    )
