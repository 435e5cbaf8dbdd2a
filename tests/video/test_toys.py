"""Image-to-video in small: what a bridge from the first frame changes, on clips of one digit in twelve pixels."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Precondition
from polyscore.processes import Flow, GMaxBridge
from polyscore.training import FlowMatching, ScoreTraining, Stratified, Uniform, X0Loss
from polyscore.video import Animator
from polyscore.video.data import Examples, MovingDigits, Telling
from polyscore.video.networks import VideoUNet

pytestmark = pytest.mark.slow

SIZE, FRAMES, STEPS = (12, 12), 4, 300
SOURCE = MovingDigits(frames=FRAMES, size=SIZE, height=(5.0, 7.0), digits=(1, 1), speed=(0.5, 1.5), bend=0.0)


def fitted(model: Animator, objective: Any, telling: Telling, steps: int = STEPS) -> Animator:
    """The model after `steps` batches of 16."""
    data = Examples(SOURCE, 16 * steps, noise=None, telling=telling)
    training = ScoreTraining(model, objective, Stratified(Uniform()))
    optimiser = torch.optim.Adam(model.parameters(), 4e-3, betas=(0.9, 0.99))
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: 0.5 + 0.5 * math.cos(math.pi * n / steps))
    for step in range(steps):
        losses, _ = training.losses(data.__getitems__(range(16 * step, 16 * step + 16)), training.times, "train", 0, step)
        optimiser.zero_grad()
        losses.mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        decay.step()
    return model.eval()


def network(*cues: str) -> VideoUNet:
    torch.manual_seed(0)
    return VideoUNet(width=12, heads=2, attend=2, cues=cues)


@lru_cache(maxsize=1)
def flow() -> Animator:
    model = Animator(Precondition(network(), Flow(), predicts="flow"), (3, FRAMES, *SIZE))
    return fitted(model, FlowMatching(), Telling(first=1.0, strength=0.0))


@lru_cache(maxsize=1)
def clips(model: Animator) -> tuple[Tensor, Tensor]:
    """First frames of new clips, and what the model makes of them in 8 steps."""
    first = (SOURCE(range(10_000, 10_032)).film[:, :, 0] + 1) / 2
    return first, model.sample(5, (32, FRAMES, *SIZE), picture=first, steps=8)


def first_frame_error(model: Animator) -> float:
    first, film = clips(model)
    return float((film[:, 0] - first).square().mean())


def test_a_bridge_keeps_the_first_frame() -> None:
    """FrameBridge against flow matching, both 8 steps, the same network and training."""
    model = Animator(Precondition(network(), GMaxBridge(), predicts="x0"), (3, FRAMES, *SIZE))
    bridge = fitted(model, X0Loss(), Telling(first=1.0, strength=0.0, end_point=True))
    assert first_frame_error(bridge) <= first_frame_error(flow())
