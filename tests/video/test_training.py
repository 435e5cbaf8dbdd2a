"""Objectives and ways of sampling that are the field's own, against exact denoisers and closed forms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore.denoisers import Precondition, Prediction
from polyscore.errors import CheckpointError, InputError
from polyscore.hub import save
from polyscore.processes import Flow, expand
from polyscore.samplers import DDIM, sample
from polyscore.state import NONE, Given
from polyscore.training import Consistency, FlowMatching, Uniform
from polyscore.video.between import Between
from polyscore.video.networks import VideoUNet
from polyscore.video.time_noise import TimeNoise, TimeNoised, noised_picture
from polyscore.video.training import VideoTraining


def test_levels_of_time_noise() -> None:
    """Medians 4.0, 4.2, 8.2 and 11.0 at t = 0, .5, .9, 1 for beta_m = 15, a = 5: the paper's schedule."""
    t = torch.tensor([0.0, 0.5, 0.9, 1.0], dtype=torch.float64)
    found = TimeNoise(most=15.0).level(t, torch.zeros(4, dtype=torch.float64))
    wanted = [15 / (1 + math.exp(1 - 2 * time**5)) for time in t.tolist()]
    assert torch.allclose(found, torch.tensor(wanted, dtype=torch.float64))
    assert torch.allclose(found, torch.tensor([4.03, 4.22, 8.18, 10.97], dtype=torch.float64), atol=6e-3)


class Listening:
    """A denoiser that keeps what it was told."""

    def __init__(self) -> None:
        self.cond: list[dict[str, Tensor]] = []

    def __call__(self, x: Any, t: Any, given: Given = NONE) -> Prediction:
        self.cond.append(given.cond)
        return Prediction(torch.zeros_like(x))


def test_time_noise_reaches_the_network_alone() -> None:
    x0 = torch.rand(400, 1, 2, 4, 4)
    picture = torch.cat([x0[:, :, 0], torch.ones(400, 1, 4, 4)], 1)
    picture[:40] = 0
    t = torch.linspace(0.01, 1, 400, dtype=torch.float64)
    listening = Listening()
    given = Given(cond={"picture": picture, "strength": torch.zeros(400)})
    loss = TimeNoise(most=3.0)(listening, Flow(), x0, t=t, given=given, noise=1)
    assert torch.equal(loss, FlowMatching()(Listening(), Flow(), x0, t=t, given=given, noise=1))  # the clip is not touched
    heard = listening.cond[0]
    assert not bool(heard["picture"][:40].any())  # no picture, no noise on it
    spread = (heard["picture"] - picture)[40:, 0].std((1, 2))
    assert torch.allclose(spread / heard["level"][40:], torch.ones(360), atol=0.8)
    assert abs(float((spread / heard["level"][40:]).mean()) - 1) < 0.05
    assert torch.equal(heard["picture"][:, 1], picture[:, 1])
    again = Listening()
    TimeNoise(most=3.0)(again, Flow(), x0, t=t, given=given, noise=2)
    assert torch.equal(again.cond[0]["picture"], heard["picture"])  # named by the times
    with pytest.raises(InputError, match="tells no picture"):
        TimeNoise()(listening, Flow(), x0, t=t)
    assert torch.equal(noised_picture(picture, torch.zeros(400), torch.randn(400, 1, 4, 4)), picture)


class Lines:
    """E[x0 | x_t, first frame] of clips x0(s) = p + v s of points, v ~ N(0, 1): an image-to-video model that is exact."""

    def __init__(self, frames: int) -> None:
        self.time = torch.arange(frames, dtype=torch.float64)

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        a, _, s = (expand(c, torch.as_tensor(t, dtype=torch.float64), x) for c in Flow().coefs_of(t))
        start = given.cond[:, :, None]
        time = self.time.view(-1, 1, 1)
        moved = x - a * start  # a v time + s eps
        v = (a * time * moved).sum(2, keepdim=True) / (a**2 * self.time.square().sum() + s**2)
        return Prediction(start + v * time)


def test_two_key_frames_fix_the_path_between_them() -> None:
    frames, batch = 9, 64
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(batch, 2, 1, 1, generator=generator, dtype=torch.float64)
    speed = torch.randn(batch, 2, 1, 1, generator=generator, dtype=torch.float64)
    line = start[:, :, None] + speed[:, :, None] * torch.arange(frames).view(-1, 1, 1)
    last = line[:, :, -1]
    like = torch.empty_like(line)
    one_sided = sample(DDIM(), Lines(frames), Flow(), like, steps=20, given=Given(cond=start), noise=1)
    stepper = Between(start, last, Given(cond=last))
    both = sample(stepper, Lines(frames), Flow(), like, steps=20, given=Given(cond=start), noise=1)
    error = [(x[:, :, frames // 2] - line[:, :, frames // 2]).norm(dim=1).mean() for x in (one_sided, both)]
    assert float(error[1]) < 0.5 * float(error[0])  # the goal; here it is far better
    assert float(error[1]) < 0.25
    assert torch.allclose(both[:, :, 0], start, atol=0.05) and torch.allclose(both[:, :, -1], last, atol=0.05)
    with pytest.raises(InputError, match="last has shape"):
        sample(Between(start, last[:1], NONE), Lines(frames), Flow(), like, steps=2, given=Given(cond=start))


class Echo(torch.nn.Module):
    """Keeps what it is told; its process is a flow."""

    def __init__(self) -> None:
        super().__init__()
        self.process = Flow()
        self.heard: list[dict[str, Tensor]] = []

    def forward(self, x: Tensor, t: Any, given: Given = NONE) -> Prediction:
        self.heard.append(given.cond)
        return Prediction(torch.zeros_like(x))


def test_sampling_sees_pictures_as_training_did() -> None:
    inner = Echo()
    denoiser = TimeNoised(inner, most=3.0)
    assert denoiser.process == Flow()
    picture = torch.cat([torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64)], 1)
    x = torch.zeros(2, 3, 2, 64, 64)
    for t in (0.0, 0.5, 1.0):
        denoiser(x, t, Given(cond={"picture": picture}))
        heard = inner.heard[-1]
        level = 3 / (1 + math.exp(1 - 2 * t**5))  # the median of training
        assert torch.allclose(heard["level"], torch.full((2,), level))
        assert abs(float((heard["picture"] - picture)[:, :3].std()) / level - 1) < 0.03
    denoiser(x, 0.0, Given(cond={"picture": picture}))
    assert torch.equal(inner.heard[-1]["picture"], inner.heard[0]["picture"])  # the same noise in every call
    told = {"picture": picture, "level": torch.zeros(2)}
    denoiser(x, 1.0, Given(cond=told))
    assert inner.heard[-1] is told  # training tells the level itself


@pytest.mark.parametrize("layers", ["all", "space", "time"])
def test_training_by_parts(layers: Any, tmp_path: Path) -> None:
    def network(seed: int) -> VideoUNet:
        torch.manual_seed(seed)
        return VideoUNet(width=8, heads=2, picture=0, cues=())

    def model(seed: int) -> Precondition:
        return Precondition(network(seed), Flow(), predicts="flow")

    saved = model(1)
    training = VideoTraining(model(2), start=str(save(tmp_path / "model", saved)), layers=layers, objective=FlowMatching())
    assert all(torch.equal(a, b) for a, b in zip(training.model.state_dict().values(), saved.state_dict().values(), strict=True))
    loss, _ = training.losses({"x0": torch.rand(2, 3, 2, 8, 8)}, Uniform(), "train", 0)
    loss.mean().backward()  # type: ignore[no-untyped-call]
    parameters = dict(training.model.named_parameters())
    for name, parameter in parameters.items():
        in_time = ".time." in name.replace("told.time", "told") or ".attention." in name
        assert parameter.requires_grad == (layers == "all" or in_time == (layers == "time")), name
        assert (parameter.grad is not None) == parameter.requires_grad, name
    grown = Precondition(VideoUNet(width=8, heads=2, picture=0, cues=(), attend=2), Flow(), predicts="flow")
    VideoTraining(grown, start=str(tmp_path / "model"))
    x = torch.rand(1, 3, 3, 8, 8)
    assert torch.allclose(grown(x, 0.4).x0, saved(x, 0.4).x0, atol=1e-6)  # what is new begins as nothing
    other = Precondition(VideoUNet(width=16, heads=2, picture=0, cues=()), Flow(), predicts="flow")
    with pytest.raises(CheckpointError, match="has not"):
        VideoTraining(other, start=str(tmp_path / "model"))


def test_a_velocity_is_a_consistency_model() -> None:
    """Of data at one point c, F = (x - c) / t makes x0 = c along every path: the loss is 0, of a wrong point it is not."""

    class Point(torch.nn.Module):
        def __init__(self, c: float) -> None:
            super().__init__()
            self.c = c

        def forward(self, x: Tensor, time: Tensor, given: Given = NONE) -> Tensor:
            return (x - self.c) / time.view(-1, 1).clamp_min(1e-6)

    class Lazy(torch.nn.Module):
        def forward(self, x: Tensor, time: Tensor, given: Given = NONE) -> Tensor:
            return 0 * x

    x0, t = torch.full((64, 3), 0.4), torch.linspace(0.05, 1, 64, dtype=torch.float64)
    right = Precondition(Point(0.4), Flow(), predicts="flow")
    assert float(Consistency(steps=8)(right, Flow(), x0, t=t, noise=0).max()) < 1e-6
    lazy = Precondition(Lazy(), Flow(), predicts="flow")
    assert torch.equal(lazy(x0, 0.0).x0, x0)  # the identity at t = 0
    assert float(Consistency(steps=8)(lazy, Flow(), x0, t=t, noise=0).mean()) > 1e-3
