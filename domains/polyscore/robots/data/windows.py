r"""Windows of play: W frames of an episode and a goal from its future.

A window holds frames start .. start + W - 1 of one episode. Its goal is `goals` successive observations of the same episode, the
first of them drawn evenly from those behind the window (hindsight; Lynch et al. 2019, arXiv:1903.01973), or, with probability
`final`, the last ones. Windows begin at every frame that leaves room for a goal.

With `pad` = (p, q) they also begin up to p frames before an episode and end up to q later than that; frames that are not there
are the first or the last one. A policy of chunks needs it: else no chunk is ever drawn from the last observations of an episode
(Chi et al. 2023, arXiv:2303.04137).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from polyscore.errors import InputError
from polyscore.robots.demonstrations import Demonstrations

__all__ = ["Order", "PlayData", "Windows"]


class Windows(Dataset[dict[str, Any]]):
    """Elements `{"x0": (W, A), "cond": {"observation": (W, O), "goal": (G, O)}}`, raw.

    An index beyond the number of windows n is window index mod n with another draw of its goal.

    Raises:
        InputError: no episode is long enough, or more padding than a window has frames to spare.
    """

    def __init__(
        self,
        data: Demonstrations,
        window: int,
        goals: int = 1,
        *,
        final: float = 0.0,
        pad: tuple[int, int] = (0, 0),
        seed: int = 0,
    ) -> None:
        before, after = pad
        if not (0 <= before < window and 0 <= after < window):
            raise InputError(f"windows: pad {tuple(pad)}, expected two numbers from 0 to {window - 1} for windows of {window}")
        starts, episodes = list[int](), list[int]()
        for episode, (begin, end) in enumerate(pairwise(data.offsets.tolist())):
            found = range(begin - before, end - window - max(goals, 1) + after + 1)
            if end - begin >= max(goals, 1):
                starts += found
                episodes += [episode] * len(found)
        if not starts:
            raise InputError(f"windows: the longest episode has {int(data.lengths.max())} frames, {window} + {goals} are needed")
        self.data, self.window, self.goals, self.final, self.seed = data, window, goals, final, seed
        self.starts, self.episodes = torch.tensor(starts), torch.tensor(episodes)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        batch = self.__getitems__([index])
        return {"x0": batch["x0"][0], "cond": {name: value[0] for name, value in batch["cond"].items()}}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A whole batch by one indexing."""
        drawn = torch.as_tensor(indices)
        rows = drawn % len(self.starts)
        begin, end = self.data.offsets[self.episodes[rows]], self.data.offsets[self.episodes[rows] + 1]
        frames = self.starts[rows, None] + torch.arange(self.window)
        frames = torch.minimum(torch.maximum(frames, begin[:, None]), end[:, None] - 1)
        cond = {"observation": self.data.observations[frames]}
        if self.goals:
            last = end - self.goals
            first = torch.minimum(frames[:, -1] + 1, last)
            where, whether = _uniforms(drawn, self.seed), _uniforms(drawn, self.seed + 1)
            start = first + ((last - first + 1) * where).long()
            start = torch.where(whether < self.final, last, start)
            cond["goal"] = self.data.observations[start[:, None] + torch.arange(self.goals)]
        return {"x0": self.data.actions[frames], "cond": cond}


def _uniforms(index: Tensor, seed: int) -> Tensor:
    """A number in [0, 1) for each index, by splitmix64's mixing of index and seed."""
    with np.errstate(over="ignore"):
        z = (index.numpy().astype(np.uint64) + np.uint64(seed) * np.uint64(0xD1342543DE82EF95)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return torch.from_numpy(((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53)


class Order(Sampler[int]):
    """`steps` batches of windows drawn without replacement as long as they last; depends on (seed, epoch) alone."""

    def __init__(self, count: int, draws: int, *, seed: int = 0) -> None:
        self.count, self.draws, self.seed, self.epoch = count, draws, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; its goals are drawn anew."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.draws

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        rounds = -(-self.draws // self.count)
        order = torch.cat([torch.randperm(self.count, generator=generator) for _ in range(rounds)])[: self.draws]
        passes = torch.arange(rounds).repeat_interleave(self.count)[: self.draws] + self.epoch * rounds
        yield from (order + passes * self.count).tolist()


class PlayData(LightningDataModule):
    """Batches of `Windows` of recorded demonstrations.

    Args:
        path: a file or folder that `polyscore.robots.data.readers.read` understands.
        window: W.
        goals: G, 0 for none.
        batch_size: windows a batch.
        steps_per_epoch: batches of an epoch.
        final: share of goals that are the last frames.
        share: of the episodes, for training; the rest validates.
        pad: frames by which windows may begin before an episode, and end later than they could without it.
        keys: names of what makes an observation, in a format that has names.
        seed: of the split, the order and the goals.

    Raises:
        InputError: sizes below 1, or shares outside [0, 1].
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        window: int = 5,
        goals: int = 1,
        *,
        batch_size: int = 64,
        steps_per_epoch: int = 500,
        final: float = 0.0,
        share: float = 0.95,
        pad: tuple[int, int] = (0, 0),
        keys: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(window, batch_size, steps_per_epoch) < 1 or goals < 0 or not 0 <= final <= 1:
            raise InputError(
                f"PlayData: window {window}, goals {goals}, batch_size {batch_size}, steps_per_epoch {steps_per_epoch}, "
                f"final {final}; expected 1 or more, 0 or more, and a share"
            )
        self.path, self.window, self.goals, self.batch_size = path, window, goals, batch_size
        self.steps_per_epoch, self.final, self.share, self.seed = steps_per_epoch, final, share, seed
        self.pad, self.keys = pad, keys
        self._parts: tuple[Demonstrations, Demonstrations] | None = None

    @property
    def parts(self) -> tuple[Demonstrations, Demonstrations]:
        """Demonstrations to train on and to validate with."""
        if self._parts is None:
            from polyscore.robots.data.readers import read

            self._parts = read(self.path, self.keys).split(self.share, seed=self.seed)
        return self._parts

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        data = Windows(self.parts[0], self.window, self.goals, final=self.final, pad=self.pad, seed=self.seed)
        order = Order(len(data), self.batch_size * self.steps_per_epoch, seed=self.seed)
        return DataLoader(data, self.batch_size, sampler=order, collate_fn=_as_it_is)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        data = Windows(self.parts[1], self.window, self.goals, final=self.final, pad=self.pad, seed=self.seed)
        order = Order(len(data), min(len(data), 4 * self.batch_size), seed=self.seed)
        return DataLoader(data, self.batch_size, sampler=order, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch
