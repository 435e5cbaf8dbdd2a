r"""Demonstrations: observations, actions and rewards of whole episodes, in memory.

Frames of all episodes follow each other; episode e has the frames offsets[e] .. offsets[e + 1] - 1. The action of a frame is the
one given when its observation was seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["Demonstrations", "Episode"]


@dataclass(frozen=True)
class Episode:
    """One episode.

    Attributes:
        observations: (T, O).
        actions: (T, A).
        extra: further arrays of T rows, by name.
    """

    observations: Tensor
    actions: Tensor
    extra: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Demonstrations:
    """Episodes end to end.

    Attributes:
        observations: (N, O) float32.
        actions: (N, A) float32.
        offsets: (E + 1,) first frame of each episode, and N.
        about: what is known of their origin (environment, expert, task names), as JSON values.

    Raises:
        InputError: arrays that do not fit each other, an empty episode, or numbers that are not finite.
    """

    observations: Tensor
    actions: Tensor
    offsets: Tensor
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.observations)
        ends = self.offsets.tolist()
        if self.observations.ndim != 2 or self.actions.ndim != 2 or len(self.actions) != n:
            raise InputError(
                f"demonstrations: observations {tuple(self.observations.shape)}, actions {tuple(self.actions.shape)}; expected "
                "(N, O) and (N, A)"
            )
        if len(ends) < 2 or ends[0] != 0 or ends[-1] != n or any(b <= a for a, b in pairwise(ends)):
            raise InputError(f"demonstrations: {len(ends) - 1} episodes that do not divide {n} frames; every one needs a frame")
        for name, values in (("observations", self.observations), ("actions", self.actions)):
            wrong = (~torch.isfinite(values)).any(1).nonzero()
            if len(wrong):
                raise InputError(f"demonstrations: {name} hold NaN or infinity, first in frame {int(wrong[0])} of {n}")

    @classmethod
    def of(cls, episodes: Sequence[Episode], about: dict[str, Any] | None = None) -> Demonstrations:
        """Put episodes end to end.

        Raises:
            InputError: none, or such as do not fit each other.
        """
        if not episodes:
            raise InputError("demonstrations: no episodes")
        widths = {(e.observations.shape[-1], e.actions.shape[-1]) for e in episodes}
        if len(widths) > 1:
            raise InputError(f"demonstrations: episodes of different widths {sorted(widths)}")
        lengths = [len(e.observations) for e in episodes]
        return cls(
            torch.cat([e.observations for e in episodes]).float(),
            torch.cat([e.actions for e in episodes]).float(),
            torch.tensor([0, *np.cumsum(lengths).tolist()]),
            about or {},
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Episode:
        start, end = int(self.offsets[index]), int(self.offsets[index + 1])
        return Episode(self.observations[start:end], self.actions[start:end])

    def __iter__(self) -> Iterator[Episode]:
        return (self[i] for i in range(len(self)))

    @property
    def lengths(self) -> Tensor:
        """Frames of each episode, (E,)."""
        return self.offsets.diff()

    def select(self, episodes: Sequence[int]) -> Demonstrations:
        """Some of the episodes."""
        return Demonstrations.of([self[int(i)] for i in episodes], self.about)

    def split(self, share: float = 0.95, *, seed: int = 0) -> tuple[Demonstrations, Demonstrations]:
        """A random `share` of the episodes for training, the rest for validation.

        Raises:
            InputError: a share that leaves a part empty.
        """
        count = int(share * len(self))
        if not 0 < count < len(self):
            raise InputError(f"demonstrations: a share of {share} of {len(self)} episodes leaves a part empty")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed)).tolist()
        return self.select(sorted(order[:count])), self.select(sorted(order[count:]))

    def fingerprint(self) -> str:
        """A short name of exactly these frames: 16 hexadecimal digits of a hash."""
        digest = hashlib.blake2b(digest_size=8)
        for part in (self.observations, self.actions, self.offsets):
            digest.update(np.ascontiguousarray(part.numpy()).tobytes())
        return digest.hexdigest()
