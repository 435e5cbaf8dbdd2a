"""Training of GETMusic models on a folder of songs: any parts from any parts.

A window's parts that sound are dealt into targets, which are noised, and sources, which are told. With n parts, k ~ U{1..n} of
them are targets; in a small share of the windows one part stands alone, and is the target. The chords are told, absent or
written. The process is GETMusic's mixed one (cells become MASK, and one in a million is replaced), the loss its chain's bound
with an auxiliary cross-entropy, of the targets alone: sources are copied, which is nothing to learn.

The rows of logits, twelve thousand numbers a cell, are made for cells that the noise has changed, a few at a time, and again for
the gradient. The others, which ask the network to copy what it sees, are left out: the samplers keep what is written.

Source: Lv et al. 2023 (GETMusic), arXiv 2305.10841.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from polyscore.denoisers import Denoiser
from polyscore.denoisers.tokens import TokenDenoiser
from polyscore.errors import InputError
from polyscore.music.data.songs import Songs
from polyscore.music.getscore import ROWS
from polyscore.music.networks.roformer import GetRoformer
from polyscore.music.song_model import SongModel
from polyscore.noise import NoiseLike
from polyscore.processes.discrete import CategoricalProcess, MaskAndReplace
from polyscore.processes.discrete.rows import Rows
from polyscore.processes.gaussian import expand
from polyscore.state import NONE, Given
from polyscore.training import AdamW, Batch, ScoreTraining, Stratified, TimeDensity, Uniform, as_batch
from polyscore.training.discrete import CategoricalObjective, DiffusionELBO
from polyscore.training.draws import generator_of

__all__ = ["Changed", "Dealing", "SongTraining"]

_STEPS = 100  # of GETMusic's chain


@dataclass(frozen=True)
class Changed(CategoricalObjective):
    """`objective` of the cells that the noise has changed, and 0 elsewhere, of predictions that make rows on request.

    Args:
        objective: the loss of a cell.
        at_once: rows that are made at a time.
    """

    objective: CategoricalObjective = DiffusionELBO(_STEPS, auxiliary=0.001)
    at_once: int = 512

    def noised(self, process: CategoricalProcess, x0: Tensor, t: Tensor, given: Given, noise: NoiseLike) -> tuple[Tensor, Tensor]:
        return self.objective.noised(process, x0, t, given, noise)

    def entries(self, process: CategoricalProcess, x0: Tensor, x: Tensor, logits: Any, t: Tensor) -> Tensor:
        cells = (x != x0).flatten().nonzero()[:, 0]
        data, state, time = x0.flatten(), x.flatten(), expand(t, t, x).expand(x.shape).flatten()

        def of(some: Tensor) -> Tensor:
            rows = logits.rows(some) if isinstance(logits, Rows) else logits.flatten(0, -2)[some]
            return self.objective.entries(process, data[some], state[some], rows.float(), time[some])

        parts = [checkpoint(of, some, use_reentrant=False) for some in torch.split(cells, self.at_once)] if len(cells) else []
        out = torch.zeros(x.numel(), device=x.device)
        return out.index_copy(0, cells, torch.cat(parts)).view_as(x) if parts else out.view_as(x)

    def __call__(
        self, denoiser: Denoiser, process: Any, x0: Tensor, *, t: Any, given: Given = NONE, noise: NoiseLike = 0
    ) -> Tensor:
        x, time = self.noised(process, x0, torch.as_tensor(t, dtype=torch.float64).expand(len(x0)), given, noise)
        return self.entries(process, x0, x, denoiser(x, time, given).x0, time)


@dataclass(frozen=True)
class Dealing:
    """Which parts of a window are written and which are told.

    Args:
        alone: share of the windows with one part only.
        no_chords: share without chords.
        write_chords: share whose chords are a target.

    Raises:
        InputError: shares outside [0, 1], or of chords more than 1 together.
    """

    alone: float = 0.1
    no_chords: float = 0.65
    write_chords: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.alone <= 1 or min(self.no_chords, self.write_chords) < 0 or self.no_chords + self.write_chords > 1:
            raise InputError(f"{self}: expected shares in [0, 1]")

    def __call__(self, x0: Tensor, empty: int, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Targets and cells that become EMPTY, both (B, 14, L) bool, of grids x0; draws (B, 9) uniform in [0, 1)."""
        there = (x0 != empty)[:, ::2].any(-1)  # (B, 7)
        parts, chords = there[:, :-1], there[:, -1]
        rank = torch.where(parts, draws[:, :6], 2.0).argsort(1).argsort(1)
        count = parts.sum(1)
        alone = (draws[:, 6] < self.alone) | (count == 1)
        targets = torch.where(alone, 1, 1 + (draws[:, 7] * count).long())
        target = parts & (rank < targets[:, None])
        gone = parts & alone[:, None] & ~target
        silent = draws[:, 8] < self.no_chords
        written = ~silent & (draws[:, 8] < self.no_chords + self.write_chords) & chords
        target = torch.cat([target, written[:, None]], 1).repeat_interleave(2, 1)[..., None]
        gone = torch.cat([gone, (silent & chords)[:, None]], 1).repeat_interleave(2, 1)[..., None]
        return target & (x0 != empty), gone.expand(x0.shape)


class SongTraining(ScoreTraining):
    """Trains a `SongModel` on songs; the vocabulary is that of the songs and is saved with the model.

    Args:
        songs: what is learnt, read by `SongData` too.
        network: sizes of the network, arguments of `GetRoformer` besides the number of tokens.
        window: columns the model is trained on.
        objective: the loss of a cell.
        times: the density of the diffusion's time.
        dealing: which parts are written.
        optimiser: optimiser and learning rate.
        seed: of all draws.
    """

    def __init__(
        self,
        songs: Songs,
        network: Mapping[str, int] | None = None,
        window: int = 512,
        *,
        objective: CategoricalObjective = Changed(),
        times: TimeDensity = Stratified(Uniform()),  # noqa: B008
        dealing: Dealing = Dealing(),
        optimiser: AdamW = AdamW(1e-4, betas=(0.9, 0.999), weight_decay=0.01, warmup=1000),  # noqa: B008
        seed: int = 0,
    ) -> None:
        vocabulary = songs.vocabulary
        model = SongModel(GetRoformer(len(vocabulary.tokens), **(network or {})), vocabulary, window=window)
        super().__init__(model, objective, times, optimiser=optimiser, seed=seed)
        self.songs, self.dealing = songs, dealing
        self.process = MaskAndReplace(len(vocabulary.tokens) + 1)

    @property
    def denoiser(self) -> TokenDenoiser:
        """The network and GETMusic's process."""
        network: Any = self.model.network
        return TokenDenoiser(network, self.process, time="index", steps=_STEPS)

    def losses(self, batch: Any, times: TimeDensity, *key: int | str) -> tuple[Tensor, Tensor]:
        """The loss of every sample, in nats a target cell, and its time; parts are dealt by draws named by `key`."""
        x0 = as_batch(batch).x0
        if not isinstance(x0, Tensor) or x0.ndim != 3 or x0.shape[1] != ROWS:
            raise InputError(f"SongTraining: expected grids (B, {ROWS}, L)")
        world, rank = (1, 0) if self._trainer is None else (self.trainer.world_size, self.global_rank)
        draws = torch.rand(len(x0) * world, 9, generator=generator_of(self.seed, "deal", *key))[rank::world].to(x0.device)
        empty = self.songs.vocabulary.empty
        target, gone = self.dealing(x0, empty, draws)
        x0 = torch.where(gone, empty, x0)
        return super().losses(Batch(x0, Given(cond={"source": (~target).long()}, mask=target)), times, *key)
