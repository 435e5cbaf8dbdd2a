"""Where things are asked to go, drawn on the first frame: the arrows given, and the paths of points that ride on the flow.

A point rides by p_{t+1} = p_t + F_t(p_t), bilinear between pixels, and stops where it leaves the frame or is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import MissingExtraError
from polyscore.noise import Flow
from polyscore.pictures import Pixels, pixels
from polyscore.video.motion.frames import sample

__all__ = ["overlay", "ride"]


def ride(points: Tensor, flow: Flow) -> Tensor:
    """Paths (N, T, 2) of points (N, 2) of the first frame; nan after they were lost."""
    height, width = flow.size
    limit = torch.tensor([width - 1.0, height - 1.0])
    path, here = [points.float()], points.float()
    for t in range(len(flow)):
        place = here.nan_to_num(0.0).T[None, :, :, None]
        step = sample(flow.forward[t : t + 1].float(), place)[0, :, :, 0].T
        hidden = torch.zeros(1, height, width) if flow.hidden is None else flow.hidden[t : t + 1]
        lost = sample(hidden[:, None].float(), place)[0, 0, :, 0] > 0.5
        here = here + step
        gone = lost | ((here < 0) | (here > limit)).any(1) | here.isnan().any(1)
        here = torch.where(gone[:, None], torch.nan, here)
        path.append(here)
    return torch.stack(path, 1)


def overlay(
    flow: Flow, image: Tensor | None = None, arrows: Sequence[tuple[float, float, float, float]] = (), *, side: int = 480
) -> Pixels:
    """A picture (h, w, 3) of bytes, its shorter side at least `side`: `image` (3, H, W), paths in white, arrows in red.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise MissingExtraError("pictures need Pillow: pip install 'polyscore[video]'") from error
    height, width = flow.size
    scale = max(1.0, side / min(height, width))
    size = (round(height * scale), round(width * scale))
    ground = torch.full((3, height, width), 0.25) if image is None else image
    large = F.interpolate(ground[None], size, mode="bilinear", align_corners=False)[0].clamp(0, 1)
    canvas = Image.fromarray(pixels(0.7 * large[None])[0])
    draw, line = ImageDraw.Draw(canvas), max(1, round(min(size) / 240))

    def at(x: float, y: float) -> tuple[float, float]:
        return (x + 0.5) * scale, (y + 0.5) * scale

    for path in ride(_starts(flow.size), flow):
        places = [at(x, y) for x, y in path[~path.isnan().any(1)].tolist()]
        if len(places) > 1 and max(abs(a - places[0][k]) for place in places for k, a in enumerate(place)) > 1:
            draw.line(places, fill=(255, 255, 255), width=line)
            x, y = places[-1]
            draw.ellipse((x - 1.5 * line, y - 1.5 * line, x + 1.5 * line, y + 1.5 * line), fill=(255, 255, 255))
    for x, y, to_x, to_y in arrows:
        _arrow(draw, at(x, y), at(to_x, to_y), 3 * line)
    return torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8).view(*size, 3).numpy()


def _starts(size: tuple[int, int], across: int = 7) -> Tensor:
    """A grid of points, `across` along the longer side."""
    pitch = max(size) / across
    x, y = (torch.arange(pitch / 2, n, pitch) for n in (size[1], size[0]))
    return torch.cartesian_prod(x, y)


def _arrow(draw: object, start: tuple[float, float], end: tuple[float, float], width: int) -> None:
    """A shaft and a head of two strokes."""
    (x, y), (to_x, to_y) = start, end
    red, along = (230, 40, 40), torch.tensor([to_x - x, to_y - y])
    length = float(along.norm())
    line = draw.line  # type: ignore[attr-defined]
    line((start, end), fill=red, width=width)
    if length < 1e-6:
        return
    along = along / length * min(5.0 * width, max(length, 3.0 * width))
    for turn in (2.6, -2.6):
        c, s = float(torch.cos(torch.tensor(turn))), float(torch.sin(torch.tensor(turn)))
        dx, dy = along.tolist()
        line((end, (to_x + c * dx - s * dy, to_y + s * dx + c * dy)), fill=red, width=width)
