"""The randomness of training, named by purpose, step and sample.

A resumed run draws what the first would have drawn, and a batch that is spread over several processes draws what one process
would have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["SampleNoise", "generator_of", "seed_of"]


def seed_of(*key: object) -> int:
    """A seed in [0, 2^63) named by `key`: (seed, "noise", epoch, batch), say; different keys give unrelated seeds."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "little") >> 1


def generator_of(*key: object, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator named by `key`."""
    return torch.Generator(device).manual_seed(seed_of(*key))


class SampleNoise:
    """White noise of one step: the draws of sample i depend on `key` and its place in the whole batch, `places[i]`, alone.

    A `polyscore.noise.Noise`. `Seeded` does the same for sampling, where it draws many steps ahead; here every step is a new
    object.
    """

    def __init__(self, key: Sequence[object], places: Sequence[int]) -> None:
        self.key, self.places = tuple(key), places
        self.draws = 0

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        self.draws += 1
        source = torch.Generator(like.device)
        first = seed_of(*self.key, self.draws)
        out = torch.empty(like.shape, dtype=like.dtype, device=like.device)
        for row, place in zip(out, self.places, strict=True):
            row.normal_(generator=source.manual_seed(seed_of(first, place)))
        return out
