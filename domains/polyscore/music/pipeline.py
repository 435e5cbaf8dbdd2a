"""Music from a trained model: `Composer.from_pretrained("chorale").new(8)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyscore.denoisers.tokens import TokenDenoiser
from polyscore.errors import InputError
from polyscore.guidance.tokens import Sharpened, Vocabulary
from polyscore.hub import Pretrained
from polyscore.music.grid import HIDDEN, HOLD, REST, Grid, blank
from polyscore.music.orders import Order, lattice
from polyscore.music.repair import around, better, faults
from polyscore.music.score import Track, note_array
from polyscore.music.windowed import Windowed
from polyscore.samplers import sample
from polyscore.samplers.discrete import ByConfidence, FirstHitting, Gibbs, Unmasking
from polyscore.state import Given

__all__ = ["Composer", "Writing"]

_REDRAW = 8  # calls in which the cells around faults are drawn anew


@dataclass(frozen=True)
class Writing:
    """How hidden cells are written.

    Args:
        order: "lattice" (cells far apart in time, then Gibbs sweeps), "random", "fhs" (one cell a call: exact), or "confidence"
            (the surest first; on grids with HOLD that gives held notes).
        steps: calls in which all cells are written once ("fhs" needs as many as there are cells).
        sweeps: Gibbs blocks after that; None is 32 for the lattice and none otherwise.
        blocks: share of the cells that the first and the last block hides.
        temperature: of the first writing; sweep_temperature: of the blocks.
        top_p: probability of the likeliest tokens that are left.
        scale: of the noise in the order of confidence.
        repairs: how often, at most, what counterpoint forbids is drawn anew.

    Raises:
        InputError: numbers out of range.
    """

    order: Order = "lattice"
    steps: int = 32
    sweeps: int | None = None
    blocks: tuple[float, float] = (0.6, 0.05)
    temperature: float = 1.0
    sweep_temperature: float = 0.9
    top_p: float = 1.0
    scale: float = 6.0
    repairs: int = 0

    def __post_init__(self) -> None:
        if self.order not in ("lattice", "random", "fhs", "confidence"):
            raise InputError(f"order {self.order!r}: expected lattice, random, fhs or confidence")
        low = min(self.steps - 1, self.sweeps or 0, self.repairs)
        if low < 0 or not 0 < self.blocks[1] <= self.blocks[0] <= 1 or not min(self.temperature, self.sweep_temperature) > 0:
            raise InputError(f"{self}: expected at least one step, positive temperatures, and falling blocks within (0, 1]")


class Composer(Pretrained):
    """Writes the hidden cells of a grid.

    Args:
        denoiser: a network of grids and its process, whose categories are the pitches from `low` to `high`, HOLD and REST.
        voices: the names of the voices, top down.
        programs: the General MIDI program of each voice, 128 for drums.
        low, high: the pitches that the model knows.
        per_beat: positions a beat.
        window: positions that the model was trained on at a time.
        writing: what `complete` does unless told otherwise.

    Raises:
        InputError: numbers that do not fit each other.
    """

    def __init__(
        self,
        denoiser: TokenDenoiser,
        voices: Sequence[str],
        programs: Sequence[int],
        *,
        low: int = 0,
        high: int = 127,
        per_beat: int = 4,
        window: int = 64,
        writing: Writing = Writing(),
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.voices, self.programs = tuple(voices), tuple(programs)
        self.low, self.high, self.per_beat, self.window, self.writing = low, high, per_beat, window, writing
        classes = high - low + 3
        if denoiser.process.classes != classes or not voices or len(voices) != len(programs) or min(per_beat, window) < 1:
            found = f"{len(voices)} voices, {len(programs)} programs, {low} to {high}, {denoiser.process.classes} categories"
            raise InputError(
                f"Composer: {found}, {per_beat} positions a beat, window {window}; expected a program a voice, "
                f"{classes} categories, and positive numbers"
            )

    @property
    def tracks(self) -> tuple[Track, ...]:
        """An empty track of each voice, for `polyscore.music.grid.score_of`."""
        pairs = zip(self.voices, self.programs, strict=True)
        return tuple(Track(note_array([]), name, 0 if p == 128 else p, p == 128) for name, p in pairs)

    def new(
        self,
        bars: int,
        *,
        meter: tuple[int, int] = (4, 4),
        fifths: int | None = 0,
        minor: bool | None = False,
        phrase: int = 2,
        count: int = 1,
        writing: Writing | None = None,
        allowed: NDArray[np.bool_] | None = None,
        seed: int | Sequence[int] = 0,
    ) -> list[Grid]:
        """Pieces from nothing.

        Args:
            bars: how long.
            meter: of all bars.
            fifths, minor: key signature and mode; None leaves them to the model.
            phrase: bars between fermatas, one on the last beat but one of each phrase and one at the end; 0 leaves them to the
                model.
            count: how many pieces.
            writing: how; default the model's own way.
            allowed: see `complete`.
            seed: of the first piece, the next has the next; or one a piece.

        Raises:
            InputError: no bars, a meter off the raster, or fewer seeds than pieces.
        """
        grid = blank(len(self.voices), bars, meter=meter, fifths=fifths, minor=minor, per_beat=self.per_beat)
        if phrase:
            row = np.ones(grid.length, dtype=np.int64)
            size = grid.length // bars
            for end in range(min(phrase, bars) * size, grid.length + 1, phrase * size):
                row[end - 2 * self.per_beat : end - self.per_beat] = 2
            row[grid.length - 2 * self.per_beat :] = 2
            grid = replace(grid, rows={**grid.rows, "fermata": row})
        return self.complete(grid, count=count, writing=writing, allowed=allowed, seed=seed)

    @torch.no_grad()
    def complete(
        self,
        grid: Grid,
        *,
        count: int = 1,
        writing: Writing | None = None,
        allowed: NDArray[np.bool_] | None = None,
        seed: int | Sequence[int] = 0,
        batch_size: int = 8,
    ) -> list[Grid]:
        """The grid with its hidden cells written; what is known stays as it is.

        Any voices, bars or cells may be hidden: harmonising, filling in and going on are the same thing. The number of calls is
        at most steps + sweeps + 8 repairs, with "fhs" the number of hidden cells in place of steps.

        Args:
            grid: with hidden cells.
            count: how many versions.
            writing: how; default the model's own way.
            allowed: (V, L, 130) bool, the pitches, HOLD and REST that a hidden cell may become (`polyscore.music.harmony`).
            seed: of the first version, the next has the next; or one a version.
            batch_size: versions at a time.

        Raises:
            InputError: another number of voices or positions a beat, a pitch that the model does not know, too few seeds, or a
                cell for which nothing is allowed.
        """
        if grid.voices != len(self.voices) or grid.per_beat != self.per_beat:
            raise InputError(
                f"complete: a grid of {grid.voices} voices with {grid.per_beat} positions a beat; this model has "
                f"{len(self.voices)} ({', '.join(self.voices)}) with {self.per_beat}"
            )
        if allowed is not None and allowed.shape != (*grid.tokens.shape, REST + 1):
            raise InputError(f"complete: allowed {allowed.shape}; expected {(*grid.tokens.shape, REST + 1)}")
        if count < 1 or (not isinstance(seed, int) and len(seed) < count):
            raise InputError(f"complete: {count} versions with seeds {seed}; expected at least one version, and a seed each")
        seeds = [seed + i for i in range(count)] if isinstance(seed, int) else [int(s) for s in seed[:count]]
        if not (grid.tokens == HIDDEN).any():
            return [grid] * count
        how = self.writing if writing is None else writing
        self.float()  # half precision is for files: a CPU is slower in it
        made = [self._written(grid, how, seeds[i : i + batch_size], allowed) for i in range(0, count, batch_size)]
        return [replace(grid, tokens=_plain(tokens)) for part in made for tokens in part]

    def encode(self, tokens: Tensor) -> Tensor:
        """Tokens (0..127, HOLD, REST, HIDDEN) as the model's categories.

        Raises:
            InputError: a pitch out of the model's range.
        """
        pitched = tokens < HOLD
        outside = pitched & ((tokens < self.low) | (tokens > self.high))
        if bool(outside.any()):
            raise InputError(f"pitch {int(tokens[outside][0])}: this model knows {self.low} to {self.high}; transpose first")
        return torch.where(pitched, tokens - self.low, tokens - HOLD + self.high - self.low + 1)

    def decode(self, classes: Tensor) -> Tensor:
        """The inverse of `encode`."""
        span = self.high - self.low + 1
        return torch.where(classes < span, classes + self.low, classes - span + HOLD)

    def known_rows(self, rows: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """The rows that the network has a table for; values that the table does not hold count as not known."""
        sizes: Mapping[str, int] = self.denoiser.network.conditions  # type: ignore[assignment]
        return {name: row * (row < sizes[name]) for name, row in (rows or {}).items() if name in sizes}

    def _written(
        self, grid: Grid, how: Writing, seeds: Sequence[int], allowed: NDArray[np.bool_] | None
    ) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Tokens (B, V, L) of one batch."""
        device = next(self.parameters()).device
        like = self.encode(torch.from_numpy(grid.tokens).to(device)).expand(len(seeds), -1, -1)
        rows = {name: torch.from_numpy(row).to(device).unsqueeze(0) for name, row in grid.rows.items()}
        given = Given(cond=self.known_rows(rows), mask=like == self.denoiser.process.mask_token)
        model = Vocabulary(Windowed(self.denoiser, self.window, self.window // 2), self._allowed(grid, allowed).to(device))
        x = self._first(model, like, given, how, seeds)
        sweeps = (32 if how.order == "lattice" else 0) if how.sweeps is None else how.sweeps
        if sweeps:
            times = [*torch.linspace(*how.blocks, sweeps, dtype=torch.float64).tolist(), 0.0]
            soft: Any = Sharpened(model, temperature=how.sweep_temperature, top_p=how.top_p)
            noise = _streams(seeds, 1)
            x = sample(Gibbs(), soft, self.denoiser.process, like, steps=sweeps, grid=times, given=given, noise=noise, init=x)
        x = self._repaired(model, x, given, how, seeds)
        return self.decode(x).cpu().numpy()

    def _first(self, model: Any, like: Tensor, given: Given, how: Writing, seeds: Sequence[int]) -> Tensor:
        samplers: dict[str, Any] = {
            "lattice": Unmasking(lattice(*like.shape[1:])),
            "random": Unmasking(),
            "fhs": FirstHitting(),
            "confidence": ByConfidence(how.scale),
        }
        soft: Any = Sharpened(model, temperature=how.temperature, top_p=how.top_p)
        out: Tensor = sample(
            samplers[how.order], soft, self.denoiser.process, like, steps=how.steps, given=given, noise=_streams(seeds, 0)
        )
        return out

    def _repaired(self, model: Any, x: Tensor, given: Given, how: Writing, seeds: Sequence[int]) -> Tensor:
        """x with faults drawn anew, up to `repairs` times: half a beat, a beat, ... around them."""
        process, out = self.denoiser.process, x.clone()
        soft: Any = Sharpened(model, temperature=how.sweep_temperature, top_p=how.top_p)
        for turn in range(how.repairs):
            found = faults(self._sounding(out))
            holes = around(found, self.per_beat // 2 + turn % (2 * self.per_beat)) & given.mask
            bad = holes.flatten(1).any(1).nonzero().squeeze(1)
            if len(bad) == 0:
                break
            old, hole, noise = out[bad], holes[bad], _streams([seeds[i] for i in bad.tolist()], 2 + turn)
            new = sample(Unmasking(), soft, process, old, steps=_REDRAW, given=given._replace(mask=hole), noise=noise)
            out[bad] = better(old, new, hole, found[bad], faults(self._sounding(new)))
        return out

    def _sounding(self, x: Tensor) -> Tensor:
        """The pitch that sounds in each cell (B, V, L), -1 for silence."""
        hold = self.high - self.low + 1
        at = torch.where(x == hold, 0, torch.arange(x.shape[-1], device=x.device))
        found = x.gather(-1, at.cummax(-1).values)
        return torch.where(found < hold, found + self.low, -1)

    def _allowed(self, grid: Grid, tokens: NDArray[np.bool_] | None) -> Tensor:
        """(1 or V, L, N): what the cells may be; nothing can be held at the very beginning."""
        if tokens is None:
            allowed = torch.ones(1, grid.length, self.high - self.low + 3, dtype=torch.bool)
        else:
            known = torch.from_numpy(tokens)
            allowed = torch.cat([known[..., self.low : self.high + 1], known[..., HOLD : REST + 1]], -1)
        allowed[:, 0, self.high - self.low + 1] = False
        return allowed


def _streams(seeds: Sequence[int], phase: int) -> list[int]:
    """A seed a version for each phase of its writing."""
    return [1_000_003 * seed + phase for seed in seeds]


def _plain(tokens: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A HOLD of silence is a rest."""
    at = np.where(tokens == HOLD, 0, np.arange(tokens.shape[1]))
    found = np.take_along_axis(tokens, np.maximum.accumulate(at, axis=1), axis=1)
    return np.where((tokens == HOLD) & (found >= HOLD), REST, tokens)
