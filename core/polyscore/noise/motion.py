"""How noise follows a flow: each mode turns optical flow into one `Transport` a frame.

A flow F (2, H, W) holds (dx, dy) in pixels, x along columns and y along rows, of frame t to frame t + 1 on the pixels of
frame t. With p a pixel of frame t and q one of frame t + 1, content moves from p to dst(p) = round(p + F(p)); pixels q
that nothing reaches copy src(q) = round(q - F(q)), or round(q + B(q)) where a backward flow B (2, H, W) on the pixels of
frame t + 1 is given. k pieces of one source are independent (`polyscore.noise.transport`); pieces that meet are merged
with weights a = w / sqrt(k), where the density w of a cell is divided among its copies and summed over what lands in it.

`Nearest` drops a motion of less than half a pixel a frame. `Residual` remembers what rounding left out (error at most
half a pixel at any time); `Dither` adds a low-discrepancy offset shared by the frame (rigid blocks stay rigid);
`Bilinear` divides by overlap and is exact in the mean, at the price of a spread that grows with time.

Sources: Burgert et al. 2025, arXiv 2501.08331 (Go-with-the-Flow); Chang et al. 2024, "How I Warped Your Noise"; Deng et
al. 2024, arXiv 2411.01212 (particle method).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise.transport import Transport

__all__ = ["Bilinear", "Dither", "Motion", "Nearest", "Residual"]

GOLDEN = (math.sqrt(5) - 1) / 2


class Motion(ABC):
    """From flow to the transport of every frame to the next; transports depend on the flow alone, so they serve any noise."""

    @abstractmethod
    def transports(self, forward: Tensor, backward: Tensor | None = None) -> Iterator[Transport]:
        """`forward` (T, 2, H, W) and, if there is one, `backward` of the same shape: T transports to H W cells.

        A transport of H W + 1 sources wants one more source of fresh noise after those of the frame.

        Raises:
            InputError: flows of another shape, or not finite.
        """


@dataclass(frozen=True)
class Nearest(Motion):
    """Go-with-the-Flow as published, grouped by pixel instead of by value (see the module; Burgert et al. 2025).

    Kept from the original: content that leaves the frame leaves fresh noise in its own cell, and all fresh noise of a frame
    shares one cell's density. Not kept: grouping by the float value of a channel, which merges unrelated pixels.
    """

    def transports(self, forward: Tensor, backward: Tensor | None = None) -> Iterator[Transport]:
        forward, backward = _checked(forward, backward)
        height, width = forward.shape[2:]
        cells, grid = height * width, _grid(forward)
        own = torch.arange(cells, device=forward.device)
        density = torch.ones(cells + 1, device=forward.device)  # the last source is fresh noise
        for t, flow in enumerate(forward):
            landing, inside = _cell((grid + flow).round(), height, width)
            landing = torch.where(inside, landing, own)
            taken = torch.zeros(cells, dtype=torch.bool, device=forward.device).index_fill_(0, landing, True)
            origin, found = _cell((grid - flow if backward is None else grid + backward[t]).round(), height, width)
            source = torch.cat([torch.where(inside, own, cells), torch.where(found & ~taken, origin, cells)])
            target = torch.cat([landing, torch.where(taken, cells, own)])
            density, _, plan = _merge(density, source, target, cells, fresh=0.0)
            density = torch.cat([density, density.new_ones(1)])
            yield plan


@dataclass(frozen=True)
class Residual(Motion):
    """`Nearest` that carries the rounding error along, so that slow motion is not lost: the default.

    Every cell remembers the offset r of its content, |r| <= 1/2 in each axis: dst(p) = round(p + r + F), and r becomes what
    rounding left, averaged by density where contents meet. Fresh noise has density 1, and content flows in at the border.
    """

    def transports(self, forward: Tensor, backward: Tensor | None = None) -> Iterator[Transport]:
        forward, backward = _checked(forward, backward)
        offset = torch.zeros_like(forward[0])
        density = torch.ones(offset[0].numel(), device=forward.device)
        for t, flow in enumerate(forward):
            back = -flow if backward is None else backward[t]
            density, offset, plan = _follow(density, offset, flow + offset, back - offset)
            yield plan


@dataclass(frozen=True)
class Dither(Motion):
    """`Nearest` with u_t = (frac(t phi) - 1/2, frac(t phi + 1/2) - 1/2), phi = 0.618..., added to the flow of frame t.

    Rounding is then right on average; the same u_t for the whole frame keeps rigid motion rigid. The golden-ratio sequence keeps
    the sum of the rounding errors bounded (1.5 pixels for all speeds up to 3 pixels and 48 frames).
    """

    def transports(self, forward: Tensor, backward: Tensor | None = None) -> Iterator[Transport]:
        forward, backward = _checked(forward, backward)
        density = torch.ones(forward[0, 0].numel(), device=forward.device)
        for t, flow in enumerate(forward):
            u = forward.new_tensor([math.fmod(t * GOLDEN, 1.0) - 0.5, math.fmod(t * GOLDEN + 0.5, 1.0) - 0.5])[:, None, None]
            back = -flow if backward is None else backward[t]
            density, _, plan = _follow(density, torch.zeros_like(flow), flow + u, back - u)
            yield plan


@dataclass(frozen=True)
class Bilinear(Motion):
    """Every pixel q is the bilinear mixture of the four pixels around q - F(q), each divided among those that ask for it.

    With e_pq the overlap of the unit square at q - F(q) with pixel p: m = e_pq / sum over q' of e_pq', a = 1 (Deng et al. 2024).
    What lies outside the frame is fresh noise. Mean displacements are exact at any speed; content spreads over time.
    """

    def transports(self, forward: Tensor, backward: Tensor | None = None) -> Iterator[Transport]:
        forward, backward = _checked(forward, backward)
        height, width = forward.shape[2:]
        grid, cells = _grid(forward), height * width
        own = torch.arange(cells, device=forward.device)
        for t, flow in enumerate(forward):
            position = grid - flow if backward is None else grid + backward[t]
            corner = position.floor()
            part = (position - corner).flatten(1)
            pieces = []
            for dx in (0, 1):
                for dy in (0, 1):
                    cell, inside = _cell(corner + corner.new_tensor([dx, dy])[:, None, None], height, width)
                    overlap = (part[0] if dx else 1 - part[0]) * (part[1] if dy else 1 - part[1])
                    pieces.append((torch.where(inside, cell, cells), own, overlap))
            source, target, overlap = (torch.cat(column) for column in zip(*pieces, strict=True))
            source, target, overlap = (column[overlap > 1e-6] for column in (source, target, overlap))
            asked = overlap.new_zeros(cells + 1).index_add_(0, source, overlap)
            copies = torch.bincount(source, minlength=cells + 1)
            outside = source == cells  # one fresh source, divided evenly; a makes its part in a pixel its overlap
            share = torch.where(outside, 1 / copies[source], overlap / asked[source])
            weight = torch.where(outside, (overlap * copies[source]).sqrt(), 1.0)
            yield Transport(source, target, share, weight, sources=cells + 1, targets=cells)


def _checked(forward: Tensor, backward: Tensor | None) -> tuple[Tensor, Tensor | None]:
    for name, flow in (("forward", forward), ("backward", backward)):
        if flow is None:
            continue
        if flow.ndim != 4 or flow.shape[1] != 2 or flow.shape != forward.shape:
            raise InputError(f"{name} flow has shape {tuple(flow.shape)}; expected (frames, 2, height, width), alike for both")
        if not bool(torch.isfinite(flow).all()):
            raise InputError(f"{name} flow holds numbers that are not finite; mask or inpaint them first")
    return forward, backward


def _grid(forward: Tensor) -> Tensor:
    """(x, y) of every pixel, (2, H, W)."""
    y, x = (torch.arange(n, dtype=forward.dtype, device=forward.device) for n in forward.shape[2:])
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def _cell(pixel: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Flat index of `pixel` (2, H, W), whole numbers (x, y), clipped to the frame, and whether it lies in the frame."""
    x, y = pixel.flatten(1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return y.clamp(0, height - 1).long() * width + x.clamp(0, width - 1).long(), inside


def _follow(density: Tensor, offset: Tensor, forward: Tensor, backward: Tensor) -> tuple[Tensor, Tensor, Transport]:
    """One frame: content at p moves to round(p + forward), free cells copy round(q + backward). Density, offset, transport."""
    height, width = forward.shape[1:]
    cells, grid = height * width, _grid(forward[None])
    place = (grid + forward + 0.5).floor()  # not round: half to even would tear a block that moves by half pixels
    landing, inside = _cell(place, height, width)
    leaving = inside.nonzero()[:, 0]
    landing = landing[leaving]
    free = torch.ones(cells, dtype=torch.bool, device=forward.device).index_fill_(0, landing, False)
    parent = (grid + backward - 0.5).ceil()
    origin, found = _cell(parent, height, width)
    filled = (free & found).nonzero()[:, 0]
    new, each, plan = _merge(
        density, torch.cat([leaving, origin[filled]]), torch.cat([landing, filled]), cells, fresh=1.0
    )
    mass = torch.zeros(cells, device=forward.device).index_add_(0, landing, each[leaving])
    moved = (grid + forward - place).flatten(1)[:, leaving] * each[leaving]
    left = torch.zeros(2, cells, device=forward.device).index_add_(1, landing, moved) / mass.clamp_min(1e-30)
    return new, torch.where(free, (parent - grid - backward).flatten(1), left).view_as(offset), plan


def _merge(density: Tensor, source: Tensor, target: Tensor, cells: int, *, fresh: float) -> tuple[Tensor, Tensor, Transport]:
    """Divide the density w of each source among its k pieces and sum it in each target.

    Returns the new density, w / k of every source, and the transport with a = w / sqrt(k).
    """
    copies = density.new_zeros(len(density)).index_add_(0, source, density.new_ones(1).expand(len(source)))
    each = density / copies.clamp_min(1)
    plan = Transport(source, target, None, (each * density).sqrt()[source], sources=len(density), targets=cells)
    landed = density.new_zeros(cells + 1).index_add_(0, target, each[source])[:-1]
    if fresh:
        landed = torch.where(landed > 0, landed, fresh)
    # the original's guard against densities that run away where content keeps meeting
    return (landed / landed.mean() + 1e-5) ** 0.9999, each, plan
