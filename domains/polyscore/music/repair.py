r"""Voice leading set right: find what counterpoint forbids, hide it, draw it anew, and keep what is better.

A model of finite size writes parallel fifths and octaves and crosses voices more often than the music it learnt from: each voice
is plausible given the others, and a rare fault is a small loss. Here the faults of every region are counted; where a redraw of
the cells around a fault has fewer of them, the redraw stays, else what was there. That is sampling from the model conditioned on
few faults, by rejection in pieces. Cells that were given are never touched.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

__all__ = ["around", "better", "faults"]


def faults(pitch: Tensor, *, crossings: bool = True) -> Tensor:
    """In how many faults a voice takes part at each position, (B, V, L): consecutive fifths and octaves, and crossings.

    Args:
        pitch: (B, V, L), what sounds, from the highest voice to the lowest, -1 for silence.
        crossings: count voices below their lower neighbour.
    """
    out = torch.zeros_like(pitch)
    before, now = pitch[..., :-1], pitch[..., 1:]
    for a, b in combinations(range(pitch.shape[1]), 2):
        sound = (before[:, a] >= 0) & (now[:, a] >= 0) & (before[:, b] >= 0) & (now[:, b] >= 0)
        moved = (before[:, a] != now[:, a]) & (before[:, b] != now[:, b])
        first, then = (before[:, a] - before[:, b]) % 12, (now[:, a] - now[:, b]) % 12
        bad = (sound & moved & (first == then) & ((then == 7) | (then == 0))).to(out)
        out[:, a, 1:] += bad
        out[:, b, 1:] += bad
        if crossings and b == a + 1:
            below = (pitch[:, a] >= 0) & (pitch[:, b] >= 0) & (pitch[:, a] < pitch[:, b])
            out[:, a] += below
            out[:, b] += below
    return out


def around(found: Tensor, reach: int) -> Tensor:
    """(B, V, L) bool: the cells of the voices at fault within `reach` positions."""
    wide = torch.nn.functional.max_pool1d((found > 0).float(), 2 * reach + 1, stride=1, padding=reach)
    return wide > 0


def better(old: Tensor, new: Tensor, changed: Tensor, old_faults: Tensor, new_faults: Tensor) -> Tensor:
    """For every run of positions at which something was redrawn, the new cells where they have fewer faults, else the old ones.

    Args:
        old, new: states (B, V, L).
        changed: (B, V, L) bool: what was redrawn.
        old_faults, new_faults: (B, V, L) of `faults`.
    """
    touched = changed.any(1)
    touched = touched | torch.nn.functional.pad(touched[:, :-1], (1, 0))  # a fault is counted where it arrives
    begins = touched & ~torch.nn.functional.pad(touched[:, :-1], (1, 0))
    run = begins.cumsum(1) * touched  # 0 outside, 1, 2, ... by region
    change = (new_faults - old_faults).sum(1)
    gain = torch.zeros(len(old), int(run.max()) + 1, dtype=change.dtype, device=old.device).scatter_add_(1, run, change)
    take = (gain.gather(1, run) < 0) & touched
    return torch.where(take.unsqueeze(1), new, old)
