"""Small composers and pieces for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polyscore.denoisers.tokens import TokenDenoiser
from polyscore.music.data.chorales import Chorale
from polyscore.music.midi import write_midi
from polyscore.music.networks import GridTransformer
from polyscore.music.pipeline import Composer
from polyscore.music.score import Score, Track
from polyscore.processes.discrete import Absorbing
from polyscore.state import NONE, Given

__all__ = ["Taught", "chorales", "midi_folder", "small_composer", "song", "taught_composer"]

CONDITIONS = {"position": 33, "bar": 33, "fermata": 3, "key": 13, "mode": 3}


def small_composer(*, window: int = 16) -> Composer:
    """Random weights, four voices, pitches 40 to 80."""
    torch.manual_seed(0)
    network = GridTransformer(4, 43, CONDITIONS, width=24, layers=1, heads=2, dropout=0.0)
    return Composer(TokenDenoiser(network, Absorbing(43)), ["s", "a", "t", "b"], [52] * 4, low=40, high=80, window=window).eval()


class Taught(nn.Module):
    """Says the same logits (V, L, N) of a window whatever it sees, and counts how often it is asked."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.conditions, self.calls = dict(CONDITIONS), 0
        self.logits = nn.Parameter(logits)

    def forward(self, x: Tensor, time: Any = None, given: Given = NONE) -> Tensor:
        self.calls += 1
        return self.logits[:, : x.shape[-1]].expand(len(x), -1, -1, -1)


def taught_composer(logits: Tensor, *, low: int = 60) -> Composer:
    """A composer of a fixed law of each cell; `logits` (V, window, N)."""
    voices, window, classes = logits.shape
    denoiser = TokenDenoiser(Taught(logits), Absorbing(classes))
    names = [f"voice {v}" for v in range(voices)]
    return Composer(denoiser, names, [0] * voices, low=low, high=low + classes - 3, window=window).eval()


def chorales(count: int, *, bars: int = 5, seed: int = 0) -> list[Chorale]:
    """Pieces of quarter notes in four voices with a pick-up of one beat, in various keys; no two are alike."""
    rng = np.random.default_rng(seed)
    out = []
    for number in range(count):
        rows = []
        for voice, centre in enumerate((72, 66, 60, 50)):
            pitch = centre + rng.integers(-4, 5, 4 * bars + 1)
            rows += [(voice, 480 * i, 480, int(p)) for i, p in enumerate(pitch)]
        starts = [0, *(480 + 1920 * b for b in range(bars))]
        table = np.array([(start, 1920, 1440 if i == 0 else 0) for i, start in enumerate(starts)])
        fermatas = np.array([[480 * 4 * bars, 480 * (4 * bars + 1)]])
        out.append(Chorale(f"piece{number}", np.array(rows), table, fermatas, int(rng.integers(-3, 4)), bool(number % 2)))
    return out


def song(number: int) -> Score:
    """A song of 24 quarters with POP909's three tracks."""
    rng = np.random.default_rng(number)
    tracks = [("MELODY", 72), ("BRIDGE", 64), ("PIANO", 55)]
    notes = {name: [(480 * i, 480, int(c + rng.integers(-5, 6)), 80) for i in range(24)] for name, c in tracks}
    return Score(tuple(Track.of(notes[name], name=name, channel=i) for i, (name, _) in enumerate(tracks)))


def midi_folder(root: Path, count: int) -> Path:
    """A folder like POP909's of so many songs, with a version of one and a file that is none."""
    for number in range(count):
        place = root / f"{number:03d}"
        place.mkdir(parents=True)
        write_midi(song(number), place / f"{number:03d}.mid")
    (root / "000" / "versions").mkdir()
    write_midi(song(0), root / "000" / "versions" / "000-v1.mid")
    (root / "broken.mid").write_bytes(b"MThd no")
    return root
