"""The evaluation package on melodies, by their steps: leaps in place of steps are another law."""

from __future__ import annotations

import torch
from tests.evaluation_cells import Record, evaluate
from torch import Tensor


def melodies(count: int, seed: int, *, leap: int = 2, length: int = 64) -> Tensor:
    """Walks on the white keys by at most `leap` of them, as MIDI pitches (count, length)."""
    g = torch.Generator().manual_seed(seed)
    keys = torch.tensor([12 * octave + note for octave in range(11) for note in (0, 2, 4, 5, 7, 9, 11)])
    calm = torch.rand(count, 1, generator=g)
    moves = torch.randint(-leap, leap + 1, (count, length), generator=g) * (torch.rand(count, length, generator=g) > calm)
    places = (35 + moves.cumsum(1)).clamp(14, 60)
    return keys[places]


def statistics(pitches: Tensor) -> Tensor:
    """Share of repeated notes, mean size of the steps, range, share of the tonic."""
    steps = pitches.diff(dim=1).abs().double()
    tonic = torch.eq(pitches % 12, 0).double().mean(1)
    return torch.stack([torch.eq(steps, 0).double().mean(1), steps.mean(1), pitches.double().std(1), tonic], 1)


def test_leaps_are_told_from_steps(record_property: Record) -> None:
    names = ["repeated", "step", "range", "tonic"]
    evaluate(statistics(melodies(500, 0)), statistics(melodies(250, 1, leap=7)), names, record_property, expected="range")
