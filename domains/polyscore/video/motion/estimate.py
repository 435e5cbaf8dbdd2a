"""Motion of a reference clip: optical flow both ways, and what of it is hidden by comparing the two.

A pixel p is hidden where going forward and coming back does not lead home (Sundaram, Brox, Keutzer 2010):

    |F(p) + B(p + F(p))|^2 > .01 (|F(p)|^2 + |B(p + F(p))|^2) + .5.

`dis`: dense inverse search of OpenCV (Kroeger et al. 2016, arXiv 1603.03590), 8 ms for 256 x 256 pixels; `raft`: Teed, Deng
2020 (arXiv 2003.12039) by torchvision, whose weights are downloaded by it; `torch`: pyramidal Lucas-Kanade, for machines
without OpenCV.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import InputError, MissingExtraError
from polyscore.noise import Flow
from polyscore.video.motion.frames import along, grid, sample, stays

__all__ = ["METHODS", "estimate", "lucas_kanade", "unmatched"]

Pair = Callable[[Tensor, Tensor], Tensor]


def estimate(clip: Tensor, method: str = "auto") -> Flow:
    """The motion of a clip (T, 3, H, W) with values in [0, 1].

    Raises:
        InputError: fewer than two frames, frames under 16 pixels, an unknown method.
        MissingExtraError: the method's library is not installed.
    """
    if clip.ndim != 4 or clip.shape[1] != 3 or len(clip) < 2 or min(clip.shape[2:]) < 16:
        raise InputError(f"motion of a clip: shape {tuple(clip.shape)}; expected (2 or more, 3, 16 or more, 16 or more)")
    if method not in METHODS:
        raise InputError(f"flow method {method!r}; there are {', '.join(METHODS)}")
    pair = METHODS[method]()
    forward = torch.stack([pair(a, b) for a, b in pairwise(clip)])
    backward = torch.stack([pair(b, a) for a, b in pairwise(clip)])
    return Flow(forward, backward, unmatched(forward, backward), unmatched(backward, forward))


def unmatched(flow: Tensor, back: Tensor) -> Tensor:
    """Pixels (T, H, W) of `flow` (T, 2, H, W) that `back` does not lead home again, but for those that leave the frame."""
    returned = along(back, flow)
    misses = (flow + returned).square().sum(1) > 0.01 * (flow.square().sum(1) + returned.square().sum(1)) + 0.5
    return misses & stays(flow)


def lucas_kanade(first: Tensor, second: Tensor, *, levels: int = 4, rounds: int = 6, window: int = 9) -> Tensor:
    """Dense flow (2, H, W) from `first` to `second` (3, H, W) by least squares in windows, coarse to fine.

    In every window: argmin over d of sum (grad I . d + I_2(p + u) - I_1(p))^2 + .001 |d|^2 (Lucas, Kanade 1981; Bouguet 2001).
    """
    grey = [picture.mean(0)[None, None] for picture in (first, second)]
    pyramid = [grey]
    while len(pyramid) < levels and min(pyramid[-1][0].shape[2:]) >= 32:
        pyramid.append([F.avg_pool2d(F.pad(g, (0, g.shape[3] % 2, 0, g.shape[2] % 2), mode="replicate"), 2) for g in pyramid[-1]])
    flow = torch.zeros(1, 2, *pyramid[-1][0].shape[2:])
    for one, two in reversed(pyramid):
        size = one.shape[2:]
        if flow.shape[2:] != size:
            scale = flow.new_tensor([size[1] / flow.shape[3], size[0] / flow.shape[2]])[:, None, None]
            flow = F.interpolate(flow, size=size, mode="bilinear", align_corners=False) * scale
        here = grid((size[0], size[1]))
        for _ in range(rounds):
            warped = sample(two, here + flow)
            gx, gy = _slopes((one + warped) / 2)
            moments = _mean(torch.cat([gx * gx, gx * gy, gy * gy, gx * (warped - one), gy * (warped - one)], 1), window)
            xx, xy, yy, xt, yt = moments.unbind(1)
            xx, yy = xx + 1e-4, yy + 1e-4
            det = xx * yy - xy * xy
            change = torch.stack([xy * yt - yy * xt, xy * xt - xx * yt], 1) / det[:, None]
            flow = _mean(flow + change.clamp(-2, 2), 5)
    return flow[0]


def _slopes(picture: Tensor) -> tuple[Tensor, Tensor]:
    padded = F.pad(picture, (1, 1, 1, 1), mode="replicate")
    return (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2, (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2


def _mean(x: Tensor, window: int) -> Tensor:
    half = window // 2
    return F.avg_pool2d(F.pad(x, (half, half, half, half), mode="replicate"), window, 1)


def _dis() -> Pair:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("flow method 'dis' needs OpenCV: pip install 'polyscore[video]', or use 'torch'") from error
    search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def pair(first: Tensor, second: Tensor) -> Tensor:
        grey = [np.ascontiguousarray((p.mean(0) * 255).round().clamp(0, 255).byte().numpy()) for p in (first, second)]
        return torch.from_numpy(search.calc(grey[0], grey[1], None)).movedim(-1, 0).contiguous()

    return pair


def _raft() -> Pair:
    try:
        from torchvision.models.optical_flow import Raft_Large_Weights, raft_large
    except ImportError as error:
        raise MissingExtraError("flow method 'raft' needs torchvision: pip install torchvision") from error
    try:
        model = raft_large(weights=Raft_Large_Weights.DEFAULT, progress=False).eval()
    except (OSError, RuntimeError) as error:
        raise InputError(f"flow method 'raft': torchvision could not get its weights ({error}); use 'dis' or 'torch'") from error

    def pair(first: Tensor, second: Tensor) -> Tensor:
        height, width = first.shape[1:]
        pad = (0, -width % 8, 0, -height % 8)
        a, b = (F.pad(p[None] * 2 - 1, pad, mode="replicate") for p in (first, second))
        with torch.no_grad():
            found: Tensor = model(a, b)[-1][0, :, :height, :width]
        return found

    return pair


def _auto() -> Pair:
    try:
        return _dis()
    except MissingExtraError:
        return lucas_kanade


METHODS: dict[str, Callable[[], Pair]] = {"auto": _auto, "dis": _dis, "raft": _raft, "torch": lambda: lucas_kanade}
