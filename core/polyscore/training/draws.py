"""The randomness of training: one generator per purpose, step and process, so a resumed run draws what the first would have drawn."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

__all__ = ["FromGenerator", "generator_of"]


def generator_of(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator named by `key`: (seed, "noise", step, rank), say. Different keys are unrelated, equal keys are equal."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


class FromGenerator:
    """White noise from one generator for the whole batch: a `polyscore.noise.Noise` for training, where nothing is replayed by sample."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype, device=like.device)
