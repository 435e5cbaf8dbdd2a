r"""A solid as a set of vectors: points of its surface to M codes of c channels, codes to a field, and the prior of codes.

    encoder:    M learned queries read the N points, then each other; |z_m| = sqrt(c) for every code
    decoder:    codes see each other; a point p of space, as waves sin, cos(2^k pi p), reads them:  f(p) in (distance, paints)
    denoiser:   a transformer on the M codes, told time and kind by scale and shift (adaLN, one table for all blocks)

The queries are learned and so have an order: code m says the same about every solid, which makes the set a sequence that is
easy to diffuse. The encoder does not see the order of the points. Keys and values of the decoder are computed once an object.

Sources: Zhang et al. 2023 (3DShape2VecSet), arXiv 2301.11445; Peebles and Xie 2023 (DiT), arXiv 2212.09748; Chen et al. 2023
(PixArt-alpha: one adaLN table), arXiv 2310.00426.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.errors import InputError
from polyscore.networks import zeroed
from polyscore.shapes.networks.attention import Attention, Memory, time_waves
from polyscore.state import NONE, Given

__all__ = ["SetDecoder", "SetDenoiser", "SetEncoder", "place_waves"]


def place_waves(points: Tensor, octaves: int) -> Tensor:
    """Points (..., 3) with sin and cos of 2^k pi times them, k < octaves: (..., 3 + 6 octaves)."""
    frequency = math.pi * 2.0 ** torch.arange(octaves, device=points.device, dtype=points.dtype)
    waves = (points[..., None] * frequency).flatten(-2)
    return torch.cat([points, waves.sin(), waves.cos()], -1)


class _Layer(nn.Module):
    """x + attention(norm x, memory), then x + feed(norm x); the memory comes normalised."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def read(self, x: Tensor, memory: Memory) -> Tensor:
        x = x + self.attention.read(self.norm1(x), memory)
        return x + self.feed(self.norm2(x))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return self.read(x, self.attention.remember(self.norm1(x)))


def _check(name: str, width: int, heads: int, *others: int) -> None:
    if min(width, heads, *others) < 1 or width % heads or width % 2:
        raise InputError(
            f"{name}: width {width}, heads {heads}, other sizes {others}; expected positive numbers, the width even and a "
            "multiple of heads"
        )


class SetEncoder(nn.Module):
    """(points (B, N, 3), unit normals (B, N, 3), paints (B, N)) to codes (B, M, c).

    Args:
        codes: M.
        channels: c.
        width: of the tokens.
        heads: of attention.
        depth: blocks in which the codes see each other.
        octaves: of the waves of places.
        paints: how many there are.

    Raises:
        InputError: sizes below 1, or a width that is odd or that the heads do not divide.
    """

    def __init__(
        self,
        codes: int = 32,
        channels: int = 8,
        width: int = 96,
        *,
        heads: int = 4,
        depth: int = 1,
        octaves: int = 5,
        paints: int = 5,
    ) -> None:
        super().__init__()
        _check("SetEncoder", width, heads, codes, channels, depth, octaves, paints)
        self.codes, self.channels, self.width, self.heads = codes, channels, width, heads
        self.depth, self.octaves, self.paints = depth, octaves, paints
        self.embed = nn.Linear(6 + 6 * octaves + paints, width)
        self.start = nn.Parameter(torch.randn(codes, width))
        self.seen = nn.LayerNorm(width)
        self.gather = _Layer(width, heads)
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(depth))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, channels)

    def forward(self, points: Tensor, normals: Tensor, paints: Tensor) -> Tensor:
        marks = functional.one_hot(paints.long(), self.paints).to(points)
        tokens = self.embed(torch.cat([place_waves(points, self.octaves), normals, marks], -1))
        z = self.start.expand(len(points), -1, -1)
        z = self.gather.read(z, self.gather.attention.remember(self.seen(tokens)))
        for layer in self.layers:
            z = layer(z)
        codes: Tensor = self.out(self.norm(z)).float()
        return functional.normalize(codes, dim=-1) * math.sqrt(self.channels)


class SetDecoder(nn.Module):
    """Codes (B, M, c) and points (B, Q, 3) to (B, Q, 1 + paints): a signed distance, negative inside, and logits of the paints.

    Args:
        codes, channels, width, heads, octaves, paints: as `SetEncoder`'s.
        depth: blocks in which the codes see each other.
        reads: how often a point reads the codes.

    Raises:
        InputError: sizes below 1, or a width that is odd or that the heads do not divide.
    """

    def __init__(
        self,
        codes: int = 32,
        channels: int = 8,
        width: int = 96,
        *,
        heads: int = 4,
        depth: int = 2,
        reads: int = 2,
        octaves: int = 5,
        paints: int = 5,
    ) -> None:
        super().__init__()
        _check("SetDecoder", width, heads, codes, channels, depth, reads, octaves, paints)
        self.codes, self.channels, self.width, self.heads = codes, channels, width, heads
        self.depth, self.reads, self.octaves, self.paints = depth, reads, octaves, paints
        self.inputs = nn.Linear(channels, width)
        self.places = nn.Parameter(torch.randn(codes, width))
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(depth))
        self.seen = nn.LayerNorm(width)
        self.embed = nn.Linear(3 + 6 * octaves, width)
        self.readers = nn.ModuleList(_Layer(width, heads) for _ in range(reads))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 1 + paints)

    def remember(self, codes: Tensor) -> list[Memory]:
        """What all points will read of codes (B, M, c), one memory a read."""
        z = self.inputs(codes) + self.places
        for layer in self.layers:
            z = layer(z)
        z = self.seen(z)
        return [reader.attention.remember(z) for reader in self.readers]  # type: ignore[union-attr, operator]

    def read(self, points: Tensor, memories: list[Memory]) -> Tensor:
        """The field at points (B, Q, 3)."""
        x = self.embed(place_waves(points, self.octaves))
        for reader, memory in zip(self.readers, memories, strict=True):
            x = reader.read(x, memory)  # type: ignore[operator]
        return self.out(self.norm(x))  # type: ignore[no-any-return]

    def forward(self, codes: Tensor, points: Tensor) -> Tensor:
        return self.read(points, self.remember(codes))


class _Block(nn.Module):
    """x + g1 attention(m(norm x, s1, b1)), then x + g2 mlp(m(norm x, s2, b2)), m(h, s, b) = (1 + s) h + b."""

    def __init__(self, width: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.table = nn.Parameter(torch.randn(6, width) / math.sqrt(width))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        s1, b1, g1, s2, b2, g2 = (told + self.table)[:, :, None].unbind(1)
        h = torch.addcmul(b1, self.norm(x), 1 + s1)
        x = torch.addcmul(x, g1, self.attention(h, h))
        return torch.addcmul(x, g2, self.mlp(torch.addcmul(b2, self.norm(x), 1 + s2)))


class SetDenoiser(nn.Module):
    """`network(x, time, given)`: codes x (B, M, c), time (B,), `given.cond` kinds (B,), -1 for "not said"; shaped like x.

    Args:
        codes, channels, heads: as `SetEncoder`'s.
        width: of the tokens.
        depth: blocks.
        expansion: hidden width of the blocks' second half, as a multiple of `width`.
        kinds: how many there are.

    Raises:
        InputError: sizes below 1, a width that does not divide, or, when called, codes or kinds of another shape.
    """

    def __init__(
        self,
        codes: int = 32,
        channels: int = 8,
        width: int = 128,
        *,
        heads: int = 4,
        depth: int = 4,
        expansion: int = 2,
        kinds: int = 12,
    ) -> None:
        super().__init__()
        _check("SetDenoiser", width, heads, codes, channels, depth, expansion, kinds)
        self.codes, self.channels, self.width, self.heads = codes, channels, width, heads
        self.depth, self.expansion, self.kinds = depth, expansion, kinds
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.names = nn.Embedding(kinds + 1, width)
        self.tell = zeroed(nn.Linear(width, 6 * width))
        self.inputs = nn.Linear(channels, width)
        self.places = nn.Parameter(torch.randn(codes, width) / math.sqrt(width))
        self.blocks = nn.ModuleList(_Block(width, heads, expansion) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.outputs = zeroed(nn.Linear(width, channels))

    def forward(self, x: Tensor, time: Tensor, given: Given = NONE) -> Tensor:
        kinds = self._kinds(x, given.cond)
        context = functional.silu(self.time(time_waves(time.to(x), self.width)) + self.names(kinds))
        told = self.tell(context).unflatten(-1, (6, -1))
        h = self.inputs(x) + self.places
        for block in self.blocks:
            h = block(h, told)
        return self.outputs(self.norm(h))  # type: ignore[no-any-return]

    def _kinds(self, x: Tensor, cond: Any) -> Tensor:
        found = f"{cond.dtype} {tuple(cond.shape)}" if isinstance(cond, Tensor) else type(cond).__name__
        if x.ndim != 3 or x.shape[1:] != (self.codes, self.channels):
            raise InputError(f"SetDenoiser: codes {tuple(x.shape)}; expected (B, {self.codes}, {self.channels})")
        if cond is None:
            return torch.full((len(x),), self.kinds, device=x.device)
        if not isinstance(cond, Tensor) or cond.shape != (len(x),) or cond.is_floating_point():
            raise InputError(f"SetDenoiser: kinds {found}; expected whole numbers ({len(x)},)")
        return torch.where(cond < 0, self.kinds, cond)
