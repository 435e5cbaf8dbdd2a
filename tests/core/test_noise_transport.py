"""Carried noise is exactly white, replays the published algorithm and goes where it is sent."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.noise import (
    Bilinear,
    Dither,
    Flow,
    Motion,
    Nearest,
    Recorded,
    Residual,
    Seeded,
    Silent,
    Transport,
    Warped,
    average,
    blend,
    carry,
    regaussianise,
    resize,
    resize_flow,
)
from polyscore.processes import VP
from polyscore.samplers import DDIM, sample
from polyscore.state import Given

MODES: list[Motion] = [Nearest(), Residual(), Dither(), Bilinear()]
REFERENCE = Path(os.environ.get("POLYSCORE_REFERENCE", "")) / "video" / "golden"
needs_reference = pytest.mark.skipif(not REFERENCE.is_absolute() or not REFERENCE.is_dir(), reason="no reference folder")


def grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    return x - (width - 1) / 2, y - (height - 1) / 2


def flows(height: int, width: int) -> dict[str, Tensor]:
    x, y = grid(height, width)
    c, s = math.cos(0.05) - 1, math.sin(0.05)
    block = torch.zeros(2, height, width)
    block[:, 1:4, 2:5] = 2.0
    still = torch.zeros_like(x)
    return {
        "zero": torch.zeros(2, height, width),
        "whole": torch.stack([still + 3, still - 2]),
        "fraction": torch.stack([still + 0.3, still - 1.7]),
        "in": 0.2 * torch.stack([x, y]),
        "out": -0.2 * torch.stack([x, y]),
        "rotation": torch.stack([c * x - s * y, s * x + c * y]),
        "shear": torch.stack([0.5 * y, still]),
        "wave": torch.stack([2 * torch.sin(y), 2 * torch.cos(x)]),
        "turbulence": torch.randn(2, height, width, generator=torch.Generator().manual_seed(4)) * 2,
        "block": block,
        "away": torch.stack([still + 100, still]),
    }


def covariance(plan: Transport) -> Tensor:
    """Of the targets: the plan is linear, out = A n + B z, so A A' + B B' says everything."""
    asked: list[int] = []

    def count(like: Tensor, t: object = None, u: object = None) -> Tensor:
        asked.append(like.shape[1])
        return torch.zeros_like(like)

    a = plan(torch.eye(plan.sources, dtype=torch.float64)[None], count)[0]
    rows = sum(asked)
    b = plan(a.new_zeros(1, plan.sources, rows), lambda like, t=None, u=None: torch.eye(rows, dtype=torch.float64)[None])[0]
    return a @ a.T + b @ b.T


@pytest.mark.parametrize("motion", MODES, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("name", list(flows(6, 7)))
@pytest.mark.parametrize("backward", [False, True])
def test_every_frame_is_exactly_white_noise(motion: Motion, name: str, backward: bool) -> None:
    forward = flows(6, 7)[name].expand(3, 2, 6, 7)
    other = flows(6, 7)["turbulence"].expand(3, 2, 6, 7) if backward else None
    masks = torch.rand(2, 3, 6, 7, generator=torch.Generator().manual_seed(0)) < 0.2
    for plan in motion.transports(Flow(forward, other, *(masks if backward else (None, None)))):
        assert (covariance(plan) - torch.eye(42)).abs().max() < 1e-6


def test_any_plan_gives_white_noise_and_keeps_sums() -> None:
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randint(0, n, (60,), generator=generator) for n in (9, 13))
    share = torch.rand(60, generator=generator, dtype=torch.float64)
    share = share / torch.zeros(9, dtype=torch.float64).index_add_(0, source, share)[source]
    plan = Transport(source, target, share, torch.rand(60, generator=generator) + 0.1, sources=9, targets=12)
    assert (covariance(plan) - torch.eye(12)).abs().max() < 1e-12
    # divided in three and put together again, with a = 1: the noise itself
    apart = Transport(torch.zeros(3).long(), torch.arange(3), torch.tensor([0.2, 0.3, 0.5]), sources=1, targets=3)
    value = torch.randn(1, 1, 5, generator=generator)
    parts = apart(value, Seeded(1))
    assert torch.allclose((parts * torch.tensor([0.2, 0.3, 0.5]).sqrt()[:, None]).sum(1), value[:, 0], atol=1e-6)


@needs_reference
@pytest.mark.parametrize("case", ["zero", "trans", "zoomin", "rot"])
def test_nearest_replays_the_published_warp(case: str) -> None:
    data = np.load(REFERENCE / "noise_warp_upstream.npz", allow_pickle=False)
    flow, state, drawn = (torch.from_numpy(data[f"{case}/{name}"]) for name in ("flow", "state", "foreign_noise"))
    for t, plan in enumerate(Nearest().transports(Flow(flow))):
        noise = torch.cat([state[t, 3:].reshape(4, -1), torch.zeros(4, 1)], 1).T  # the original's "no source" has the value 0
        moved, copied = (drawn[t, ..., part].reshape(4, -1).T for part in (slice(40), slice(40, None)))
        free = torch.zeros(960, dtype=torch.bool).index_fill_(0, plan.target[960:-1], True)
        taken = copied[~free].sum(0) / len(copied[~free]) ** 0.5  # one piece stands for all that is not copied anywhere
        recorded = torch.cat([moved, copied[free], taken[None]])
        several = torch.bincount(plan.source)[plan.source] > 1
        out = plan(noise[None], Recorded([recorded[several][None]]))
        assert (out[0].T.reshape(4, 24, 40) - state[t + 1, 3:]).abs().max() <= 1e-6


@needs_reference
def test_mixing_replays_the_published_operations() -> None:
    data = {k: torch.from_numpy(v) for k, v in np.load(REFERENCE / "noise_ops_upstream.npz", allow_pickle=False).items()}
    group = torch.unique(data["regauss/in"][0], return_inverse=True)[1]
    out = regaussianise(data["regauss/in"], group, Recorded([data["regauss/foreign"].flatten(1).T[None]]))
    assert (out - data["regauss/out"]).abs().max() <= 1e-6
    for size in ((6, 9), (11, 20)):
        assert (resize(data["resize_noise/in"], size) - data[f"resize_noise/out_{size[0]}x{size[1]}"]).abs().max() <= 1e-6
    for alpha in (0.0, 0.25, 0.5, 0.75, 1.0):
        assert (blend(data["blend/bg"], data["blend/fg"], alpha) - data[f"blend/{alpha}"]).abs().max() <= 1e-6


def clip(motion: Motion, flow: Tensor, channels: int, seed: int = 0) -> list[Tensor]:
    start = torch.randn(1, channels, *flow.shape[2:], generator=torch.Generator().manual_seed(seed))
    return list(carry(start, motion.transports(Flow(flow)), Seeded(seed)))


def displacement_error(motion: Motion, speed: float, frames: int = 48, size: int = 64) -> float:
    """Largest distance, over the frames, of the peak of the correlation with the first frame from where it was asked."""
    flow = torch.zeros(frames, 2, size, size)
    flow[:, 0], flow[:, 1] = speed, -0.37 * speed
    shown = clip(motion, flow, 4)
    first, worst = torch.fft.fft2(shown[0]).conj(), 0.0
    for t in range(1, frames + 1):
        if speed * t > size / 2 - 4:
            break
        peak = int(torch.fft.ifft2(torch.fft.fft2(shown[t]) * first).real.mean((0, 1)).argmax())
        row, column = ((k + size // 2) % size - size // 2 for k in divmod(peak, size))
        worst = max(worst, abs(column - speed * t), abs(row + 0.37 * speed * t))
    return worst


@pytest.mark.parametrize("speed", [0.1, 0.45, 0.5, 1.3, 2.5])
def test_slow_and_fractional_motion_is_kept(speed: float) -> None:
    assert displacement_error(Residual(), speed) <= 0.75
    assert displacement_error(Dither(), speed) <= 1.6


def test_the_original_loses_slow_motion() -> None:
    """Defect D2: less than half a pixel a frame is no motion at all."""
    assert displacement_error(Nearest(), 0.45) > 20


def test_content_flows_in_at_the_border() -> None:
    """Defect D6: a source that leaves the frame must not leave noise of its own in a cell that others reach."""
    flow = torch.zeros(1, 2, 8, 12)
    flow[:, 0] = 3.0
    first, second = clip(Residual(), flow, 3)
    assert torch.equal(second[..., 3:], first[..., :-3])
    first, second = clip(Nearest(), flow, 3)
    assert not torch.equal(second[..., 9:], first[..., 6:9])


def test_hidden_content_ends_and_revealed_content_is_new() -> None:
    """A block slides over a still ground: what it covers is gone, what it leaves behind is fresh."""
    forward = torch.zeros(1, 2, 6, 9)
    forward[:, 0, 2:4, 1:3] = 3.0
    hidden, revealed = torch.zeros(2, 1, 6, 9, dtype=torch.bool)
    hidden[:, 2:4, 4:6], revealed[:, 2:4, 1:3] = True, True
    for motion in (Residual(), Dither(), Nearest()):
        start = torch.randn(1, 3, 6, 9, generator=torch.Generator().manual_seed(0))
        _, second = carry(start, motion.transports(Flow(forward, None, hidden, revealed)), Seeded(0))
        if not isinstance(motion, Nearest):
            assert torch.equal(second[..., 2:4, 4:6], start[..., 2:4, 1:3])
        assert not torch.isclose(second[..., 2:4, 1:3], start[..., 2:4, 1:3]).any()
        assert torch.equal(second[..., :2, :], start[..., :2, :])


def test_new_content_counts_as_much_as_old_when_contents_meet() -> None:
    """Defect D5: a fresh cell has the density of a carried one, so a merge takes half of each."""
    flow = torch.zeros(2, 2, 1, 4)
    flow[0, 0] = 1.0  # cell 0 is fresh after the first step
    flow[1, 0, 0, 0] = 1.0  # cells 0 and 1 meet in cell 1 in the second
    for motion, low, high in ((Residual(), 0.7, 0.72), (Nearest(), 0.0, 0.5)):
        plans = list(motion.transports(Flow(flow)))
        plan = plans[1]
        values = torch.zeros(1, plan.sources, 1)
        values[:, 0] = 1.0
        assert low <= float(plan(values, Silent())[0, 1]) <= high


def test_channels_of_equal_value_stay_independent() -> None:
    """Defect D1: grouping by value merged cells whose first channel happened to be equal."""
    flow = torch.zeros(1, 2, 4, 4)
    for motion in MODES:
        (plan,) = motion.transports(Flow(flow))
        values = torch.zeros(1, plan.sources, 2)
        values[0, :16, 1] = torch.arange(16.0)  # the first channel collides everywhere
        assert torch.allclose(plan(values, Seeded(0))[0, :, 1], torch.arange(16.0), atol=1e-6)


def test_flow_is_scaled_once_and_by_axis() -> None:
    """Defects D3 and D4: 3 columns and 2 rows on 48 x 64 are 3 columns and 4 rows on 96 x 64."""
    flow = Flow(torch.tensor([3.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 48, 64))
    assert torch.allclose(resize_flow(flow, (96, 64)).forward[0, :, 5, 5], torch.tensor([3.0, 4.0]))
    assert torch.allclose(resize_flow(flow, (24, 128)).forward[0, :, 5, 5], torch.tensor([6.0, 1.0]))


def coherence(motion: Motion, flow: Tensor, frames: int = 8, width: int = 64) -> float:
    """Mean correlation of a cell with the cell its content came from, a frame."""
    values = torch.randn(1, flow[0].numel(), width, generator=torch.Generator().manual_seed(0))
    total, cells, noise = 0.0, flow[0].numel(), Seeded(1)
    for plan in motion.transports(Flow(flow.expand(frames, *flow.shape))):
        spare = noise(values.new_empty(1, plan.sources - cells, width)) if plan.sources > cells else values[:, :0]
        out = plan(torch.cat([values, spare], 1), noise)
        arrived = torch.full((plan.sources,), cells)
        arrived[plan.source.flip(0)] = plan.target.flip(0)  # the first piece of every source is the moved one
        kept = (arrived[:cells] < cells).nonzero()[:, 0]
        total += float((out[0, arrived[kept]] * values[0, kept]).mean())
        values = out
    return total / frames


@pytest.mark.parametrize(
    ("name", "published", "dither"), [("in", 0.975, 0.968), ("out", 0.91, 0.935), ("rotation", 0.995, 0.995)]
)
def test_noise_follows_the_flow_closely(name: str, published: float, dither: float) -> None:
    x, y = grid(64, 64)
    angle = math.radians(3)
    c, s = math.cos(angle) - 1, math.sin(angle)
    turn = torch.stack([c * x - s * y, s * x + c * y])
    flow = {"in": 0.05 * torch.stack([x, y]), "out": -0.05 * torch.stack([x, y]), "rotation": turn}[name]
    assert coherence(Nearest(), flow) >= published
    assert coherence(Dither(), flow) >= dither
    assert coherence(Residual(), flow) >= 0.8  # it moves by what was asked, so more contents meet


def test_bilinear_moves_the_mean_exactly() -> None:
    flow = torch.zeros(4, 2, 8, 24)
    flow[:, 0] = 0.3
    influence = torch.zeros(1, 8 * 24 + 1, 1)
    influence[0, 3 * 24 + 8] = 1.0
    for plan in Bilinear().transports(Flow(flow)):
        influence = torch.cat([plan(influence, Silent()), torch.zeros(1, 1, 1)], 1)
    row = influence[0, :-1, 0].view(8, 24)[3].square()  # shares of variance
    weights = influence[0, :-1, 0].view(8, 24)[3]
    mean = float((weights * torch.arange(24)).sum() / weights.sum())
    assert abs(mean - (8 + 1.2)) < 0.05 and float(row.sum()) < 1


def shift_denoiser(x: Tensor, t: object, given: Given) -> Prediction:
    """Pointwise, so that it commutes with every motion."""
    return Prediction(x0=torch.tanh(x) + 0.1 * x)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_samplers_draw_from_warped_noise(eta: float) -> None:
    flow = torch.zeros(3, 2, 6, 10)
    flow[:, 0] = 1.0
    noise = Warped(Flow(flow), (5, 9))
    like = torch.empty(2, 4, 4, 6, 10)
    out = sample(DDIM(eta=eta), shift_denoiser, VP(), like, steps=6, noise=noise)
    for t in range(3):
        assert torch.allclose(out[:, :, t + 1, :, 1:], out[:, :, t, :, :-1], atol=1e-5)
    again = sample(DDIM(eta=eta), shift_denoiser, VP(), like[:1], steps=6, noise=Warped(Flow(flow), (9,)))
    assert torch.allclose(again[0], out[1], atol=1e-6)  # a sample depends on its own seed
    independent = Warped(Flow(flow), 5, degrade=1.0)(like)
    assert abs(float((independent[:, :, 1, :, 1:] * independent[:, :, 0, :, :-1]).mean())) < 0.1


def test_warped_latents_average_and_skip_frames() -> None:
    flow = torch.zeros(8, 2, 32, 32)
    flow[:, 0] = 4.0
    noise = Warped(Flow(flow), 3, reduce=4, frames=(0, 4, 8), axis=1)
    clip = noise(torch.empty(1, 3, 16, 8, 8))
    assert clip.shape == (1, 3, 16, 8, 8)
    assert torch.allclose(clip[:, 1, :, :, 4:], clip[:, 0, :, :, :-4], atol=1e-5)
    assert 0.8 < float(clip.var()) < 1.2
    assert torch.equal(average(torch.ones(1, 1, 4, 4), 2), torch.full((1, 1, 2, 2), 2.0))


STILL = Flow(torch.zeros(1, 2, 4, 4))
CASES: list[tuple[str, Callable[[], object]]] = [
    ("not finite", lambda: Flow(torch.full((1, 2, 4, 4), torch.nan))),
    ("expected \\(frames - 1, 2", lambda: Flow(torch.zeros(1, 3, 4, 4))),
    ("expected the same", lambda: Flow(torch.zeros(1, 2, 4, 4), torch.zeros(2, 2, 4, 4))),
    ("hidden has shape", lambda: Flow(torch.zeros(1, 2, 4, 4), hidden=torch.zeros(1, 4, 5))),
    ("degrade is 2", lambda: Warped(STILL, degrade=2.0)),
    ("does not divide", lambda: Warped(STILL, reduce=3)),
    ("frames \\[0, 7\\]", lambda: Warped(STILL, frames=(0, 7))),
    ("2 frames on axis 2", lambda: Warped(STILL)(torch.zeros(1, 2, 3, 4, 4))),
    ("smaller size", lambda: resize(torch.zeros(1, 4, 4), (8, 8))),
    ("sum to 1", lambda: Transport(torch.zeros(2).long(), torch.arange(2), torch.ones(2), sources=1, targets=2)),
    ("target cells run", lambda: Transport(torch.zeros(2).long(), torch.tensor([0, 5]), sources=1, targets=2)),
]


@pytest.mark.parametrize(("message", "call"), CASES, ids=[message for message, _ in CASES])
def test_bad_input_is_named(message: str, call: Callable[[], object]) -> None:
    with pytest.raises(InputError, match=message):
        call()
