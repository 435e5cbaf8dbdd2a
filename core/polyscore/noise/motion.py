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
from typing import NamedTuple

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise.transport import Transport

__all__ = ["Bilinear", "Dither", "Flow", "Motion", "Nearest", "Residual"]

GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Flow:
    """Where the pixels of T + 1 frames go, one entry for each of the T steps.

    Attributes:
        forward: (T, 2, H, W), (dx, dy) of the pixels of frame t to frame t + 1.
        backward: (T, 2, H, W), of the pixels of frame t + 1 to frame t; None: minus the forward flow at the target.
        hidden: (T, H, W), pixels of frame t that frame t + 1 does not show: their noise ends.
        revealed: (T, H, W), pixels of frame t + 1 that frame t does not show: their noise is new.

    Raises:
        InputError: shapes that do not fit, or flows that are not finite.
    """

    forward: Tensor
    backward: Tensor | None = None
    hidden: Tensor | None = None
    revealed: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.forward.shape)
        if len(shape) != 4 or shape[1] != 2:
            raise InputError(f"Flow: forward has shape {shape}; expected (frames - 1, 2, height, width)")
        for name, value in (("forward", self.forward), ("backward", self.backward)):
            if value is None:
                continue
            if tuple(value.shape) != shape:
                raise InputError(f"Flow: {name} has shape {tuple(value.shape)}, forward {shape}; expected the same")
            if not bool(torch.isfinite(value).all()):
                raise InputError(f"Flow: {name} holds numbers that are not finite; mask or inpaint them first")
        for name, mask in (("hidden", self.hidden), ("revealed", self.revealed)):
            if mask is not None and tuple(mask.shape) != (shape[0], *shape[2:]):
                raise InputError(f"Flow: {name} has shape {tuple(mask.shape)}; expected {(shape[0], *shape[2:])}")

    def __len__(self) -> int:
        return len(self.forward)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.forward.shape[2], self.forward.shape[3]


class Motion(ABC):
    """From flow to the transport of every frame to the next; transports depend on the flow alone, so they serve any noise."""

    @abstractmethod
    def transports(self, flow: Flow) -> Iterator[Transport]:
        """T transports of H W cells; one of H W + 1 sources wants a source of fresh noise after those of the frame."""


@dataclass(frozen=True)
class Nearest(Motion):
    """Go-with-the-Flow as published, grouped by pixel instead of by value (see the module; Burgert et al. 2025).

    Kept from the original: content that leaves the frame leaves fresh noise in its own cell, and all fresh noise of a frame
    shares one cell's density. Not kept: grouping by the float value of a channel, which merges unrelated pixels.
    """

    def transports(self, flow: Flow) -> Iterator[Transport]:
        height, width = flow.size
        cells, grid, device = height * width, _grid(flow.forward), flow.forward.device
        own = torch.arange(cells, device=device)
        density = torch.ones(cells + 1, device=device)  # the last source is fresh noise
        for step in _steps(flow):
            landing, inside = _cell((grid + step.forward).round(), height, width)
            inside = inside & step.seen
            landing = torch.where(inside, landing, own)
            taken = torch.zeros(cells, dtype=torch.bool, device=device).index_fill_(0, landing, True)
            origin, found = _cell((grid + step.backward).round(), height, width)
            free = (~taken).nonzero()[:, 0]
            parent = torch.where(found & step.known, origin, cells).index_select(0, free)
            # The original divides its fresh noise among the cells that are taken too; one piece that is dropped stands for them.
            source = torch.cat([torch.where(inside, own, cells), parent, own.new_full((1,), cells)])
            target = torch.cat([landing, free, own.new_full((1,), cells)])
            landed, _, plan = _merge(density, source, target, cells, last=cells - len(free))
            density = torch.cat([_settled(landed), density.new_ones(1)])
            yield plan


@dataclass(frozen=True)
class Residual(Motion):
    """`Nearest` that carries the rounding error along, so that slow motion is not lost: the default.

    Every cell remembers the offset r of its content, |r| <= 1/2 in each axis: dst(p) = round(p + r + F), and r becomes what
    rounding left, averaged by density where contents meet. Fresh noise has density 1, and content flows in at the border.
    """

    def transports(self, flow: Flow) -> Iterator[Transport]:
        offset = torch.zeros_like(flow.forward[0])
        density = torch.ones(offset[0].numel(), device=offset.device)
        for step in _steps(flow):
            density, offset, plan = _follow(density, step.shifted(offset))
            yield plan


@dataclass(frozen=True)
class Dither(Motion):
    """`Nearest` with u_t = (frac(t phi) - 1/2, frac(t phi + 1/2) - 1/2), phi = 0.618..., added to the flow of frame t.

    Rounding is then right on average; the same u_t for the whole frame keeps rigid motion rigid. The golden-ratio sequence keeps
    the sum of the rounding errors bounded (1.5 pixels for all speeds up to 3 pixels and 48 frames).
    """

    def transports(self, flow: Flow) -> Iterator[Transport]:
        density = torch.ones(flow.size[0] * flow.size[1], device=flow.forward.device)
        for t, step in enumerate(_steps(flow)):
            u = [math.fmod(t * GOLDEN, 1.0) - 0.5, math.fmod(t * GOLDEN + 0.5, 1.0) - 0.5]
            density, _, plan = _follow(density, step.shifted(flow.forward.new_tensor(u)[:, None, None]))
            yield plan


@dataclass(frozen=True)
class Bilinear(Motion):
    """Every pixel q is the bilinear mixture of the four pixels around q - F(q), each divided among those that ask for it.

    With e_pq the overlap of the unit square at q - F(q) with pixel p: m = e_pq / sum over q' of e_pq', a = 1 (Deng et al. 2024).
    What lies outside the frame is fresh noise. Mean displacements are exact at any speed; content spreads over time.
    """

    def transports(self, flow: Flow) -> Iterator[Transport]:
        height, width = flow.size
        grid, cells = _grid(flow.forward), height * width
        own = torch.arange(cells, device=grid.device)
        for step in _steps(flow):
            position = grid + step.backward
            corner = position.floor()
            part = (position - corner).flatten(1)
            pieces = []
            for dx in (0, 1):
                for dy in (0, 1):
                    cell, inside = _cell(corner + corner.new_tensor([dx, dy])[:, None, None], height, width)
                    overlap = (part[0] if dx else 1 - part[0]) * (part[1] if dy else 1 - part[1])
                    pieces.append((torch.where(inside & step.known, cell, cells), own, overlap))
            source, target, overlap = (torch.cat(column) for column in zip(*pieces, strict=True))
            source, target, overlap = (column[overlap > 1e-6] for column in (source, target, overlap))
            asked = overlap.new_zeros(cells + 1).index_add_(0, source, overlap)
            copies = torch.bincount(source, minlength=cells + 1)
            outside = source == cells  # one fresh source, divided evenly; a makes its part in a pixel its overlap
            share = torch.where(outside, 1 / copies[source], overlap / asked[source])
            weight = torch.where(outside, (overlap * copies[source]).sqrt(), 1.0)
            yield Transport(source, target, share, weight, sources=cells + 1, targets=cells)


class _Step(NamedTuple):
    """One step of a flow, complete: both directions (2, H, W), and which pixels have a counterpart, (H W,)."""

    forward: Tensor
    backward: Tensor
    seen: Tensor
    known: Tensor

    def shifted(self, offset: Tensor) -> _Step:
        """All content moved by `offset` (2, ...) more."""
        return self._replace(forward=self.forward + offset, backward=self.backward - offset)


def _steps(flow: Flow) -> Iterator[_Step]:
    all_of_it = torch.ones(flow.size[0] * flow.size[1], dtype=torch.bool, device=flow.forward.device)
    for t, forward in enumerate(flow.forward):
        backward = -forward if flow.backward is None else flow.backward[t]
        seen = all_of_it if flow.hidden is None else ~flow.hidden[t].flatten()
        known = all_of_it if flow.revealed is None else ~flow.revealed[t].flatten()
        yield _Step(forward, backward, seen, known)


def _grid(like: Tensor) -> Tensor:
    """(x, y) of every pixel of `like` (..., H, W), (2, H, W)."""
    y, x = (torch.arange(n, dtype=like.dtype, device=like.device) for n in like.shape[-2:])
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def _cell(pixel: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Flat index of `pixel` (2, H, W), whole numbers (x, y), clipped to the frame, and whether it lies in the frame."""
    x, y = pixel.flatten(1).unbind()
    column, row = x.clamp(0, width - 1), y.clamp(0, height - 1)
    inside = (column == x).logical_and_(row == y)
    return row.long().mul_(width).add_(column.long()), inside


def _follow(density: Tensor, step: _Step) -> tuple[Tensor, Tensor, Transport]:
    """Content at p moves to round(p + forward), free cells copy round(q + backward): density, what rounding left, transport."""
    _, height, width = step.forward.shape
    cells, goal = height * width, (_grid(step.forward) + step.forward).flatten(1)
    place = (goal + 0.5).floor_()  # not round: half to even would tear a block that moves by half pixels
    landing, inside = _cell(place, height, width)
    leaving = (inside & step.seen).nonzero()[:, 0]
    landing = landing.index_select(0, leaving)
    free = torch.ones(cells, dtype=torch.bool, device=density.device).index_fill_(0, landing, False).nonzero()[:, 0]
    wish = _pixels(free, width).to(goal) + step.backward.flatten(1).index_select(1, free)
    parent = (wish - 0.5).ceil_()
    origin, found = _cell(parent, height, width)
    filled = (found & step.known.index_select(0, free)).nonzero()[:, 0]
    source = torch.cat([leaving, origin.index_select(0, filled)])
    target = torch.cat([landing, free.index_select(0, filled)])
    mass, each, plan = _merge(density, source, target, cells)
    share = each.index_select(0, leaving) / mass.index_select(0, landing)
    left = torch.stack([_gathered(axis, leaving, landing, share) for axis in goal.sub_(place)])
    left.index_copy_(1, free, parent - wish)
    return _settled(torch.where(mass > 0, mass, 1.0)), left.view_as(step.forward), plan


def _pixels(cell: Tensor, width: int) -> Tensor:
    """(x, y) of flat indices."""
    row = torch.div(cell, width, rounding_mode="floor")
    return torch.stack([cell - row * width, row])


def _gathered(values: Tensor, source: Tensor, target: Tensor, share: Tensor) -> Tensor:
    """Sum over the pieces j with target d of share_j values[source_j], (N,)."""
    return torch.zeros_like(values).index_add_(0, target, values.index_select(0, source) * share)


def _merge(
    density: Tensor, source: Tensor, target: Tensor, cells: int, *, last: int = 1
) -> tuple[Tensor, Tensor, Transport]:
    """Divide the density w of each source among its k pieces and sum it in each target; the last piece is so many in one.

    Returns the density that landed in every cell, w / k of every source, and the transport with a = w / sqrt(k).
    """
    copies = density.new_zeros(len(density)).index_add_(0, source, density.new_ones(1).expand(len(source)))
    share = None
    if last > 1:
        copies[source[-1]] += last - 1
        share = copies.reciprocal().index_select(0, source)
        share[-1] *= last
    each = density / copies.clamp_min(1)
    weight = (each * density).sqrt().index_select(0, source)
    plan = Transport(source, target, share, weight, sources=len(density), targets=cells)
    landed = density.new_zeros(cells + 1).index_add_(0, target, each.index_select(0, source))[:-1]
    return landed, each, plan


def _settled(density: Tensor) -> Tensor:
    """Of mean 1, with the original's guard against densities that run away where content keeps meeting."""
    return (density / density.mean()).add_(1e-5).pow_(0.9999)
