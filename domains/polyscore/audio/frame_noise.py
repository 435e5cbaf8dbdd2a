"""White noise that belongs to the frames of a recording, not to the tensor that holds them.

The draw k of channel c at frame n is a function of (seed, c, k, n) alone: blocks of 64 frames come from generators of their
own, seeded by (seed, k, block). Windows of a long recording that overlap therefore see the same noise where they overlap, a
window sees what the whole recording would, and neither the batch nor the device changes it (generators run on the CPU).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["FrameNoise", "mix_seed"]

_BLOCK = 64  # frames


def mix_seed(*parts: int | str) -> int:
    """A 63-bit seed from numbers and texts, the same on every machine: the start of their SHA-256."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class FrameNoise:
    """Noise source for states (B, ..., T) whose sample i starts at frame ``first[i]`` of the recording ``seeds[i]``.

    Raises:
        InputError: a state with another batch size.
    """

    def __init__(self, seeds: Sequence[int], first: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self.first = tuple(first)
        self.draws = 0

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        """The next draw, shaped like the state."""
        if like.shape[0] != len(self.seeds):
            raise InputError(f"FrameNoise: a batch of {like.shape[0]}; expected {len(self.seeds)}, one sample per seed")
        shape, frames = like.shape[1:-1], like.shape[-1]
        samples = []
        for seed, first in zip(self.seeds, self.first, strict=True):
            numbers = range(first // _BLOCK, (first + frames - 1) // _BLOCK + 1)
            blocks = [self._block(seed, number, shape, like.dtype) for number in numbers]
            offset = first - numbers[0] * _BLOCK
            samples.append(torch.cat(blocks, dim=-1)[..., offset : offset + frames])
        self.draws += 1
        return torch.stack(samples).to(like.device)

    def _block(self, seed: int, number: int, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        generator = torch.Generator().manual_seed(mix_seed(seed, self.draws, number))
        return torch.randn(*shape, _BLOCK, generator=generator, dtype=dtype)
