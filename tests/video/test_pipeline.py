"""The pipeline: what goes in reaches the model as it should, what comes out is a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Precondition, Prediction
from polyscore.errors import CheckpointError, InputError, PolyscoreError
from polyscore.hub import save
from polyscore.noise import Recorded, Warped
from polyscore.processes import Flow, GMaxBridge
from polyscore.samplers import DDIM, Euler
from polyscore.state import NONE, Given
from polyscore.video import Animator
from polyscore.video.motion import field
from polyscore.video.networks import VideoUNet


def tiny(**changes: Any) -> Animator:
    torch.manual_seed(0)
    network = VideoUNet(width=8, heads=2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    return Animator(Precondition(network, Flow(), predicts="flow"), (3, 4, 16, 16), **changes).eval()


class Blur(nn.Module):
    """Says that the clean clip is half the noisy one, and keeps what it was given."""

    def __init__(self, process: Any = None) -> None:
        super().__init__()
        self.process = process or Flow()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[Given] = []

    def forward(self, x: Tensor, t: Any, given: Given = NONE) -> Prediction:
        self.seen.append(given)
        return Prediction(0.5 * x)


def test_the_noise_of_a_clip_is_that_of_its_flow() -> None:
    """One Euler step from t = 1 gives the prediction there, half the noise: the warped noise itself."""
    flow = field("translate", (16, 16), 4, x=1.0)
    clip = Animator(Blur(), (3, 4, 16, 16)).generate(flow, sampler=Euler(), steps=1, seed=5)
    wanted = Warped(flow, 5)(torch.empty(1, 3, 4, 16, 16))[0].transpose(0, 1)
    assert clip.shape == (4, 3, 16, 16)
    assert torch.allclose(clip, (wanted / 4 + 0.5).clamp(0, 1), atol=1e-6)
    assert torch.allclose(clip[1, :, :, 1:], clip[0, :, :, :-1], atol=1e-6)  # it moves a pixel to the right


def test_flow_and_first_frame_are_brought_to_size() -> None:
    model = Animator(Blur(), (3, 4, 16, 16), fine=2)
    large = field("translate", (64, 64), 4, x=4.0)
    clip = model.generate(large, first=torch.rand(3, 40, 40), sampler=Euler(), steps=1, strength=1.5)
    assert clip.shape == (4, 3, 16, 16)
    moved = (clip[1, :, :, 2:-1] - clip[0, :, :, 1:-2]).abs().mean()
    assert float(moved) < 0.5 * float((clip[1] - clip[0]).abs().mean())
    denoiser: Any = model.denoiser
    given = denoiser.seen[0].cond
    assert given["picture"].shape == (1, 4, 16, 16) and float(given["picture"][:, -1].min()) == 1
    assert given["strength"].tolist() == [1.5]
    assert model.generate(large, size=(32, 24), sampler=Euler(), steps=1).shape == (4, 3, 32, 24)


def test_a_bridge_starts_at_the_first_frame() -> None:
    model = Animator(Blur(GMaxBridge()), (3, 4, 16, 16))
    first = torch.rand(3, 16, 16)
    with pytest.raises(InputError, match="give the first frame"):
        model.generate(field("zoom", (16, 16), 4))
    model.generate(field("zoom", (16, 16), 4), first=first, steps=2)
    denoiser: Any = model.denoiser
    y = denoiser.seen[0].y
    assert y.shape == (1, 3, 4, 16, 16)
    assert all(torch.allclose(y[0, :, t], 2 * first - 1) for t in range(4))


def test_the_same_seed_is_the_same_clip_and_saving_keeps_it(tmp_path: Path) -> None:
    model, flow = tiny(), field("rotate", (16, 16), 4, degrees=5.0)
    clip = model.generate(flow, steps=2, seed=3)
    assert float(clip.min()) >= 0 and float(clip.max()) <= 1
    again = Animator.from_pretrained(save(tmp_path / "model", model))
    assert torch.equal(again.generate(flow, steps=2, seed=3), clip)
    assert not torch.equal(model.generate(flow, steps=2, seed=4), clip)
    assert not torch.allclose(model.generate(flow, steps=2, seed=3, degrade=0.5), clip)
    assert not torch.allclose(model.generate(flow, steps=2, seed=3, sampler=DDIM(eta=1.0)), clip)


def test_batches_and_single_clips_agree() -> None:
    model = tiny()
    noise = torch.randn(2, 3, 4, 16, 16)
    pictures = torch.rand(2, 3, 16, 16)
    both = model.sample(Recorded([noise]), (2, 4, 16, 16), picture=pictures, steps=2)
    one = model.sample(Recorded([noise[1:]]), (1, 4, 16, 16), picture=pictures[1:], steps=2)
    assert torch.allclose(both[1:], one, atol=1e-5)


def test_what_does_not_fit(tmp_path: Path) -> None:
    model, flow = tiny(), field("zoom", (16, 16), 4)
    with pytest.raises(InputError, match=r"first frame: shape \(1, 16, 16\)"):
        model.generate(flow, first=torch.rand(1, 16, 16))
    with pytest.raises(InputError, match="strength: -1"):
        model.generate(flow, strength=-1.0)
    with pytest.raises(InputError, match=r"first frames: shape \(1, 3, 16, 16\)"):
        model.sample(0, (2, 4, 16, 16), picture=torch.rand(1, 3, 16, 16))
    with pytest.raises(InputError, match="four|C, T, H, W"):
        Animator(Blur(), (3, 16, 16))
    with pytest.raises(CheckpointError):
        Animator.from_pretrained(tmp_path / "nothing")
    denoiser: Any = model.denoiser
    denoiser.network.last.weight.data.fill_(torch.nan)
    with pytest.raises(PolyscoreError, match="not numbers"):
        model.generate(flow, steps=1)
