"""Does a clip hold together in time? Nothing here needs to know what was asked.

With x_t the frames, F_t their flow to the next and B_t to the one before:

* warp error: mean over visible p of |x_t(p) - x_{t+1}(p + F_t(p))|, Lai et al. 2018 (arXiv 1808.00449), who square it;
* flicker: mean over p that both neighbours show of |x_{t-1}(p + B_t(p)) + x_{t+1}(p + F_t(p)) - 2 x_t(p)| / 4: what changes
  back and forth along the motion. Frames that are brighter and darker by a in turns have flicker a; a steady fade has none.

Values are in units of the full range, 0 to 1, and means over the colour channels.
"""

from __future__ import annotations

from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise import Flow
from polyscore.video.motion import estimate
from polyscore.video.motion.frames import along, stays

__all__ = ["flicker", "mean_where", "warp_error"]


def warp_error(film: Tensor, flow: Flow | None = None) -> float:
    """Of a clip (T, 3, H, W) in [0, 1] along `flow`, by default the clip's own, estimated; nan if nothing is visible twice.

    Raises:
        InputError: a flow of another size, or a clip that no flow can be estimated of.
    """
    flow = _own(film, flow)
    miss = (along(film[1:], flow.forward) - film[:-1]).abs().mean(1)
    return mean_where(miss, _visible(flow.forward, flow.hidden))


def flicker(film: Tensor, flow: Flow | None = None) -> float:
    """Of a clip (T, 3, H, W) in [0, 1], three frames or more, along `flow`, by default the clip's own, estimated.

    Raises:
        InputError: fewer than three frames, a flow of another size, or a clip that no flow can be estimated of.
    """
    if len(film) < 3:
        raise InputError(f"flicker: {len(film)} frames; expected 3 or more")
    flow = _own(film, flow)
    back = -flow.forward if flow.backward is None else flow.backward
    after, before = along(film[2:], flow.forward[1:]), along(film[:-2], back[:-1])
    visible = _visible(flow.forward[1:], None if flow.hidden is None else flow.hidden[1:])
    visible &= _visible(back[:-1], None if flow.revealed is None else flow.revealed[:-1])
    return mean_where((after + before - 2 * film[1:-1]).abs().mean(1) / 4, visible)


def _own(film: Tensor, flow: Flow | None) -> Flow:
    flow = estimate(film) if flow is None else flow
    if (len(flow) + 1, *flow.size) != (len(film), film.shape[2], film.shape[3]):
        found = f"flow of {len(flow) + 1} frames of {flow.size}, clip {tuple(film.shape)}"
        raise InputError(f"{found}; expected the same frames and size (polyscore.noise.resize_flow changes the size)")
    return flow


def _visible(flow: Tensor, lost: Tensor | None) -> Tensor:
    return stays(flow) if lost is None else stays(flow) & ~lost


def mean_where(values: Tensor, where: Tensor) -> float:
    """The mean of `values` over a mask; nan over nothing."""
    return float(values[where].mean()) if bool(where.any()) else float("nan")
