"""Small modules that follow, or break, the saving convention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.errors import InputError

__all__ = ["Inner", "Outer", "Stack", "Forgetful", "Picky", "Zoo", "Tied"]


class Inner(nn.Module):
    def __init__(self, width: int = 7) -> None:
        super().__init__()
        self.width = width


class Outer(nn.Module):
    def __init__(self, inner: nn.Module, sizes: Sequence[object], table: Mapping[str, Any], name: str) -> None:
        super().__init__()
        self.inner, self.sizes, self.table, self.name = inner, sizes, table, name


class Stack(nn.Module):
    def __init__(self, depth: int, *blocks: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.depth, self.blocks, self.scale = depth, nn.ModuleList(blocks), scale


class Forgetful(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.size = width


class Picky(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 1:
            raise InputError(f"width {width}; expected 1 or more")
        self.width = width


class Zoo(nn.Module):
    """One buffer of every dtype, random bits (so NaNs of every payload, too); made in another dtype than it is saved in."""

    def __init__(self, dtypes: Sequence[str], seed: int = 0) -> None:
        super().__init__()
        self.dtypes, self.seed = dtypes, seed
        for name in dtypes:
            self.register_buffer(f"a_{name}", torch.zeros(3, 5))
        self.linear = nn.Linear(5, 3)

    def fill(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        for name in self.dtypes:
            dtype = getattr(torch, name)
            if dtype is torch.bool:
                value = torch.rand(3, 5, generator=generator) > 0.5
            else:
                size = torch.empty(0, dtype=dtype).element_size()
                value = torch.randint(0, 256, (3, 5 * size), dtype=torch.uint8, generator=generator).view(dtype)
            setattr(self, f"a_{name}", value)


class Tied(nn.Module):
    """A decoder that shares the encoder's weight, and a buffer that is a view of another."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.width = width
        self.encoder = nn.Linear(width, width, bias=False)
        self.decoder = nn.Linear(width, width, bias=False)
        self.decoder.weight = self.encoder.weight
        self.register_buffer("whole", torch.arange(10.0))
        self.register_buffer("part", self.whole[2:5])

    whole: Tensor
    part: Tensor
