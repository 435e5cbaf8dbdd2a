"""Does a clip move as it was asked to? Requested motion beside that which is estimated from the produced frames.

With F the requested flow and U the flow estimated between neighbouring frames, both in pixels a frame, the end-point error is the
mean of |U - F| over the pixels p of all frames but the last that are

* there to be followed: not hidden in the next frame, and still inside it;
* there to be seen: the grey values around p (a square of 7) have a standard deviation of at least `texture`. Over plain ground no
  estimator can say what moves.

`moving` is the same over the pixels that were asked to move (|F| >= .25), and `nothing` is the mean |F| there: what a clip scores
that stands still. Clips whose shorter side is under 128 pixels are enlarged to it for the estimator; errors are in pixels of the
clip itself. The estimator itself is wrong by .1 to .15 pixels on textured clips (docs/domains/video.md), the floor of it
all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.noise import Flow, resize_flow
from polyscore.video.metrics.consistency import mean_where
from polyscore.video.motion import estimate
from polyscore.video.motion.frames import stays
from polyscore.video.tracks import centroids, velocity

__all__ = ["Followed", "followed", "path_error"]

MOVES = 0.25
SIDE = 128


class Followed(NamedTuple):
    """End-point errors in pixels a frame of the clip's own size; nan where no pixel counts.

    Attributes:
        error: over all pixels that can be judged.
        moving: over those that were asked to move.
        nothing: what a clip that stands still would score there.
        correlation: of requested and produced displacements, both components together, over all that can be judged.
        speed: mean produced speed over all that can be judged.
        judged: share of the pixels that could be judged.
    """

    error: float
    moving: float
    nothing: float
    correlation: float
    speed: float
    judged: float


def followed(film: Tensor, asked: Flow, *, method: str = "auto", texture: float = 0.02) -> Followed:
    """How `film` (T, 3, H, W) in [0, 1] follows `asked`, the motion of as many frames, at any size.

    Raises:
        InputError: another number of frames, frames under 16 pixels, an unknown estimator.
        MissingExtraError: the estimator is not installed.
    """
    if len(film) != len(asked) + 1:
        raise InputError(f"the clip has {len(film)} frames and the motion is for {len(asked) + 1}; expected the same")
    unit = max(1, -(-SIDE // min(film.shape[2:])))
    size = (film.shape[2] * unit, film.shape[3] * unit)
    asked = resize_flow(asked, size)
    film = F.interpolate(film, size, mode="bicubic", align_corners=False).clamp(0, 1) if unit > 1 else film
    wanted, found = asked.forward / unit, estimate(film, method).forward / unit
    counts = _textured(film[:-1], texture) & stays(asked.forward)
    if asked.hidden is not None:
        counts &= ~asked.hidden
    speed, miss = wanted.norm(dim=1), (found - wanted).norm(dim=1)
    moves = counts & (speed >= MOVES)
    pairs = torch.stack([wanted.movedim(1, -1)[counts].flatten(), found.movedim(1, -1)[counts].flatten()])
    known = pairs.shape[1] > 2 and bool((pairs.std(1) > 1e-9).all())
    return Followed(
        error=mean_where(miss, counts),
        moving=mean_where(miss, moves),
        nothing=mean_where(speed, moves),
        correlation=float(torch.corrcoef(pairs)[0, 1]) if known else float("nan"),
        speed=mean_where(found.norm(dim=1), counts),
        judged=float(counts.float().mean()),
    )


def path_error(film: Tensor, path: Tensor) -> tuple[float, float]:
    """(velocity error in pixels a frame, position error in pixels) of the one thing that stands out in `film` (T, 3, H, W).

    `path` (T, 2) is where its centre (x, y) was asked to be; velocities are least-squares slopes, positions the mean distance.
    nan where a frame shows nothing.
    """
    track = centroids(film[None])[0]
    path = path.to(track)
    return float((velocity(track) - velocity(path)).norm()), float((track - path).norm(dim=-1).mean())


def _textured(film: Tensor, least: float) -> Tensor:
    grey = F.pad(film.mean(1, keepdim=True).double(), (3, 3, 3, 3), mode="replicate")
    mean, square = F.avg_pool2d(grey, 7, 1), F.avg_pool2d(grey.square(), 7, 1)
    textured: Tensor = (square - mean.square())[:, 0] >= least**2
    return textured
