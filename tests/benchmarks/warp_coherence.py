"""How closely noise follows a flow, from one frame to the next and over eight, for every mode and for what whiteness allows.

    python tests/benchmarks/warp_coherence.py --size 96

`frame`: correlation of a cell with the cell it moves to, a frame. `limit`: the most that white noise allows there: of k cells
that meet, the correlations a_j with what they make obey sum a_j^2 <= 1, so their mean is at most 1/sqrt(k); so it is of k copies
of one cell (where fresh noise joins in, as in `Nearest`, this is no limit). `8 frames`: correlation of means over 8 x 8 pixels,
the size of a latent, with where the flow has them come from, 8 frames before. Turbulence is white noise blurred over 8 pixels,
with a mean speed of 1.5 pixels a frame, the same in every frame.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.noise import Bilinear, Dither, Flow, Motion, Nearest, Residual, Seeded, Transport, carry
from polyscore.video.motion import field
from polyscore.video.motion.frames import grid, sample

FRAMES, WIDTH = 8, 24
FLOWS = {
    "zoom in 5 %": ("zoom", {"rate": 0.05}),
    "zoom out 5 %": ("zoom", {"rate": -0.05}),
    "zoom in 1 %": ("zoom", {"rate": 0.01}),
    "rotation 3 degrees": ("rotate", {"degrees": 3.0}),
}
TURBULENCE = "turbulence"
MODES: list[Motion] = [Nearest(), Dither(), Residual(), Bilinear()]


def requested(name: str, size: int) -> Flow:
    """The same motion in each of eight steps."""
    if name == TURBULENCE:
        one = turbulence(size)
        return Flow(one.expand(FRAMES, *one.shape), -one.expand(FRAMES, *one.shape))
    kind, settings = FLOWS[name]
    return field(kind, (size, size), FRAMES + 1, **settings)


def turbulence(size: int) -> Tensor:
    """(2, size, size): a smooth random flow; its blur is a Gaussian of 8 pixels."""
    reach = torch.arange(-24.0, 25.0)
    blur = torch.exp(-0.5 * (reach / 8).square())
    blur = torch.outer(blur, blur)
    white = torch.randn(2, 1, size + 48, size + 48, generator=torch.Generator().manual_seed(0))
    flow: Tensor = F.conv2d(white, blur[None, None])[:, 0]
    return flow * (1.5 / float(flow.norm(dim=0).mean()))


def kept(plan: Transport) -> tuple[float, float]:
    """Correlation of a cell with the cell it moves to, and the limit; means over the cells that move."""
    values = torch.randn(1, plan.sources, WIDTH, generator=torch.Generator().manual_seed(0))
    out = plan(values, Seeded(1))
    moved = torch.full((plan.sources,), plan.targets)
    moved[plan.source.flip(0)] = plan.target.flip(0)  # the first piece of a source is the moved one, the others fill holes
    cells = (moved < plan.targets).nonzero()[:, 0]
    copies = torch.bincount(plan.source, minlength=plan.sources).double()
    landed = torch.bincount(plan.target, minlength=plan.targets).double()
    limit = torch.minimum(1 / copies[cells].sqrt(), 1 / landed[moved[cells]].sqrt())
    return float((out[0, moved[cells]] * values[0, cells]).mean()), float(limit.mean())


def a_frame(motion: Motion, flow: Flow) -> tuple[float, float]:
    """`kept`, the mean over the frames."""
    found, limits = zip(*(kept(plan) for plan in motion.transports(flow)), strict=True)
    return sum(found) / len(flow), sum(limits) / len(flow)


def eight_frames(motion: Motion, flow: Flow) -> float:
    """Correlation of the means with those the flow leads back to."""
    assert flow.backward is not None
    start = torch.randn(1, WIDTH, *flow.size, generator=torch.Generator().manual_seed(0))
    *_, last = carry(start, motion.transports(flow), Seeded(1))
    origin = grid(flow.size)
    for _ in range(len(flow)):
        origin = origin + sample(flow.backward[:1], origin[None])[0]

    def means(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 8, 4)

    far = torch.tensor([flow.size[1] - 5.0, flow.size[0] - 5.0])[:, None, None]
    inside = means(((origin >= 4) & (origin <= far)).all(0).float()[None, None])[0, 0] > 0.99
    one, two = (means(x)[0][:, inside] for x in (sample(start, origin[None]), last))
    return float((one * two).mean() / (one.square().mean() * two.square().mean()).sqrt())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=96)
    size = parser.parse_args().size
    torch.set_num_threads(1)
    for name in (*FLOWS, TURBULENCE):
        flow = requested(name, size)
        for motion in MODES:
            found, limit = a_frame(motion, flow)
            shown = "" if isinstance(motion, Bilinear) else f"frame {found:.3f}"
            shown += f" (limit {limit:.3f})" if isinstance(motion, Dither | Residual) else ""
            print(f"{name:18} {type(motion).__name__:8} 8 frames {eight_frames(motion, flow):.3f}  {shown}", flush=True)


if __name__ == "__main__":
    main()
