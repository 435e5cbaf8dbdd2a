"""``polyscore enhance --restore clip``: what stands in for a model where peaks are rebuilt instead of noise removed."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyscore.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Restored", "Restorer"]

_STEPS = {"fast": 40, "balanced": 100, "paper": 200}


class Restored:
    """A recording whose peaks are rebuilt when it is asked for the result."""

    def __init__(self, wave: Tensor, sample_rate: int, mix: float, steps: int) -> None:
        self.wave, self.sample_rate, self.mix, self.steps = wave, sample_rate, mix, steps
        self.notes: dict[str, Any] = {}

    def spans(self) -> list[Any]:
        """No windows for a network."""
        return []

    def result(self) -> Tensor:
        """The wave (C, L), turned down where its peaks would be above full scale; `notes` say what was done."""
        from polyscore.audio.declipping import clipped, declip

        share = float(clipped(self.wave).ne(0).double().mean())
        out = (1 - self.mix) * self.wave + self.mix * declip(self.wave, self.sample_rate, steps=self.steps)
        peak = float(out.abs().max())
        gain = 1 / peak if share and peak > 1 else 1.0
        self.notes = {"restored": "clip", "restored_share": share, "gain_db": 20 * math.log10(gain)}
        return out * gain


@dataclass(frozen=True)
class Restorer:
    """Takes the place of a model and of its method.

    Raises:
        InputError: flags that ask something of a model.
    """

    steps: int
    name: str = "declipping"
    sampler: None = None
    nfe: int = 0

    @classmethod
    def of(cls, args: argparse.Namespace) -> Restorer:
        """From the flags."""
        asked = {"--sampler": args.sampler, "--samples": args.samples > 1, "--seams": args.seams != "context"}
        for flag, given in asked.items():
            if given:
                raise InputError(f"{flag}: --restore {args.restore} asks no model and draws nothing; leave it out")
        return cls(args.steps or _STEPS[args.preset])

    def __str__(self) -> str:
        return f"peaks rebuilt by sparsity, {self.steps} steps, no network"

    def window(self, chunk: float | str) -> float:
        """Seconds of a window."""
        return 10.0

    def batch(self, chunk: float | str) -> int:
        """One recording at a time."""
        return 1

    def prepare(self, wave: Tensor, sample_rate: int, *, mix: float, channels: Any, **ignored: Any) -> Restored:
        """A recording to be restored; `ignored` are settings of a model's windows."""
        from polyscore.audio.recording import chosen_channels

        return Restored(chosen_channels(wave, channels), sample_rate, mix, self.steps)

    def run(self, recordings: Sequence[Restored], method: Any, **ignored: Any) -> None:
        """Nothing: a result is made when it is asked for."""
