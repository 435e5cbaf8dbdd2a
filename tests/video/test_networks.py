"""Networks of clips: what they do not depend on, what they begin as, and that their memory tricks are the operations they say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.hub import load, save
from polyscore.state import Given
from polyscore.video.networks import BoxUNet, FlowUNet, VideoDiT, VideoUNet
from polyscore.video.networks.blocks import FrameNorm, SpaceConv, TimeAttention, TimeConv, from_patches, to_patches
from polyscore.video.networks.guided import BoxAttention, MotionAttention
from polyscore.video.networks.splat import splat

TINY: dict[str, dict[str, Any]] = {
    "unet": {"width": 8, "heads": 2, "cues": ("strength", "level")},
    "dit": {"width": 16, "depth": 4, "heads": 2, "cues": ("strength", "level")},
}


def lively(network: nn.Module) -> nn.Module:
    """The network with every parameter random: what begins at 0 would hide what is wrong."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.normal_(0, 0.2, generator=generator)
    return network.eval()


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    kinds: dict[str, Any] = {"unet": VideoUNet, "dit": VideoDiT}
    network: nn.Module = kinds[name](**TINY[name])
    return network


def clip(batch: int = 2, frames: int = 4, size: int = 8) -> Tensor:
    return torch.randn(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(2))


def told(batch: int = 2, size: int = 8) -> dict[str, Tensor]:
    picture = torch.randn(batch, 4, size, size, generator=torch.Generator().manual_seed(3))
    return {"picture": picture, "strength": torch.rand(batch)}


def test_patches_are_a_rearrangement() -> None:
    x = clip()
    tokens = to_patches(x, 2)
    assert tokens.shape == (2, 4, 4, 4, 12)
    assert torch.equal(tokens[1, 2, 3, 0], x[1, :, 2, 6:8, 0:2].flatten())
    assert torch.equal(from_patches(tokens, 2), x)


def test_convolutions_are_those_of_three_dimensions() -> None:
    x = torch.randn(2, 4, 6, 5, 8)
    channels_first = x.permute(0, 4, 1, 2, 3)
    space, time = SpaceConv(8, 7), TimeConv(8)
    in_space = F.conv3d(channels_first, space.weight[:, :, None], space.bias, padding=(0, 1, 1))
    in_time = F.conv3d(channels_first, time.weight[..., None], time.bias, padding=(1, 0, 0))
    assert torch.allclose(space(x).permute(0, 4, 1, 2, 3), in_space, atol=1e-5)
    assert torch.allclose(time(x).permute(0, 4, 1, 2, 3), in_time, atol=1e-5)


def test_a_frame_is_normalised_as_a_whole() -> None:
    out = FrameNorm(8)(3 + 5 * torch.randn(2, 3, 6, 6, 8))
    assert torch.allclose(out.mean((2, 3, 4)), torch.zeros(2, 3), atol=1e-5)
    assert torch.allclose(out.var((2, 3, 4), unbiased=False), torch.ones(2, 3), atol=1e-4)


def test_attention_in_time_by_hand() -> None:
    attention = lively(TimeAttention(4, heads=1, reach=1))
    assert isinstance(attention, TimeAttention)
    x = torch.randn(1, 3, 1, 1, 4)
    q, k, v = attention.qkv(x[0, :, 0, 0]).chunk(3, -1)
    apart = torch.tensor([[0, 1, 1], [-1, 0, 1], [-1, -1, 0]])
    weights = (q @ k.mT / 2 + attention.bias[0][apart + 1]).softmax(-1)
    assert torch.allclose(attention(x)[0, :, 0, 0], attention.out(weights @ v), atol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_it_begins_as_nothing_and_keeps_clips_apart(name: str) -> None:
    x, t, cond = clip(), torch.tensor([0.3, 0.8]), told()
    assert not bool(make(name)(x, t, Given(cond=cond)).any())
    network = lively(make(name))
    both = network(x, t, Given(cond=cond))
    one = network(x[1:], t[1:], Given(cond={key: value[1:] for key, value in cond.items()}))
    assert both.shape == x.shape
    assert torch.allclose(both[1:], one, atol=1e-4 * float(both.detach().abs().max()))
    assert sum(parameter.numel() for parameter in VideoUNet(width=24).parameters()) in range(200_000, 500_000)


@pytest.mark.parametrize("name", TINY)
def test_everything_it_is_told_counts(name: str) -> None:
    network, x, t, cond = lively(make(name)), clip(), torch.tensor([0.3, 0.8]), told()

    def out(**changes: Tensor) -> Tensor:
        return network(x, changes.pop("t", t), Given(cond={**cond, **changes}))  # type: ignore[no-any-return]

    plain = out()
    assert not torch.allclose(plain, out(t=t / 2))
    assert not torch.allclose(plain, out(strength=cond["strength"] + 0.5))
    assert not torch.allclose(plain, out(level=torch.tensor([1.0, 1.0])))
    assert not torch.allclose(plain, out(picture=-cond["picture"]))
    missing = torch.tensor([float(cond["strength"][0]), torch.nan])
    some = out(strength=missing)
    assert torch.allclose(some[0], plain[0], atol=1e-4) and not torch.allclose(some[1], plain[1])
    nothing = network(x, t, Given(cond={"strength": torch.full((2,), torch.nan)}))
    assert torch.allclose(nothing, network(x, t), atol=1e-5)  # nothing said, in either way
    repeated = cond["picture"][:, :, None].expand(-1, -1, 4, -1, -1)
    assert torch.allclose(plain, out(picture=repeated), atol=1e-5)


def test_frames_are_told_apart_by_their_distance_alone() -> None:
    """A pulse far from both ends moves with its frame; nothing marks absolute time."""
    network, t = lively(make("unet")), torch.tensor([0.5])
    for block in network.modules():
        if isinstance(block, TimeAttention):
            for parameter in block.out.parameters():
                parameter.data.zero_()
    x = torch.zeros(1, 3, 40, 8, 8)
    early, late = x.clone(), x.clone()
    early[:, :, 18], late[:, :, 21] = clip(1, 1)[:, :, 0], clip(1, 1)[:, :, 0]
    one, two = network(early, t), network(late, t)
    assert torch.allclose(one[:, :, 12:25], two[:, :, 15:28], atol=1e-4)
    assert not torch.allclose(one[:, :, 18], network(x, t)[:, :, 18])


@pytest.mark.parametrize("name", TINY)
def test_one_frame_is_a_picture(name: str) -> None:
    """Layers in time are left out, so they may be anything."""
    network, x, t = lively(make(name)), clip(2, 1), torch.tensor([0.2, 0.9])
    plain = network(x, t)
    for part in network.modules():
        if isinstance(part, TimeConv | TimeAttention):
            for parameter in part.parameters():
                parameter.data.fill_(torch.nan)
    assert torch.equal(network(x, t), plain)


@pytest.mark.parametrize("name", TINY)
def test_other_sizes_and_lengths(name: str) -> None:
    network = lively(make(name))
    assert network(clip(1, 21, 12), torch.tensor([0.5])).shape == (1, 3, 21, 12, 12)


@pytest.mark.parametrize("name", TINY)
def test_saved_and_loaded(name: str, tmp_path: Any) -> None:
    network = lively(make(name))
    again = load(save(tmp_path / "model", network))
    assert torch.equal(again(clip(), torch.tensor([0.1, 0.2])), network(clip(), torch.tensor([0.1, 0.2])))


def test_what_does_not_fit() -> None:
    network, t = make("unet"), torch.tensor([0.5, 0.5])
    with pytest.raises(InputError, match=r"divisible by 4"):
        network(clip(size=6), t)
    with pytest.raises(InputError, match=r"picture.*\(2, 3, 8, 8\).*\(2, 4, 8, 8\)"):
        network(clip(), t, Given(cond={"picture": torch.zeros(2, 3, 8, 8)}))
    with pytest.raises(InputError, match="cue 'strength'"):
        network(clip(), t, Given(cond={"strength": torch.zeros(2, 1)}))
    with pytest.raises(InputError, match="a Tensor; expected names"):
        network(clip(), t, Given(cond=torch.zeros(2)))
    with pytest.raises(InputError, match="without"):
        VideoUNet(picture=0, width=8, heads=2)(clip(), t, Given(cond={"picture": torch.zeros(2, 4, 8, 8)}))
    with pytest.raises(InputError, match="width 10"):
        VideoUNet(width=10)
    with pytest.raises(InputError, match="sides divisible by 2"):
        make("dit")(clip(size=7), t)


def test_splatting_moves_and_shares() -> None:
    picture = torch.zeros(1, 1, 4, 6)
    picture[0, 0, 1, 2] = 8.0
    flow = torch.zeros(1, 2, 4, 6)
    flow[0, 0] = 1.0
    moved, weight = splat(picture, flow)
    assert float(moved[0, 0, 1, 3]) == 8.0 and float(moved.sum()) == 8.0
    assert torch.equal(weight[0, 0, :, 0], torch.zeros(4)) and bool((weight[0, 0, :, 1:] == 1).all())
    flow[0, 0], flow[0, 1] = 0.25, -0.5
    moved, weight = splat(picture, flow)
    assert abs(float((moved * weight).sum()) - 8.0) < 1e-5  # nothing is lost inside the frame
    assert torch.allclose((moved * weight)[0, 0, :2, 2:4], torch.tensor([[3.0, 1.0], [3.0, 1.0]]))


def test_motion_attention_looks_where_the_flow_leads() -> None:
    """What frame 0 shows at one place reaches, in frame 2, the place the flow leads to, and no other one."""
    attention: Any = lively(MotionAttention(8, heads=2))
    x = torch.randn(1, 3, 5, 6, 8, generator=torch.Generator().manual_seed(0))
    flow = torch.zeros(1, 3, 2, 5, 6)
    flow[:, 1, 0], flow[:, 2, 0], flow[:, 2, 1] = 1.0, 2.0, 1.0
    other = x.clone()
    other[:, 0, 1, 2] += 1.0
    changed = (attention(x, flow) - attention(other, flow)).abs().amax(-1)[0] > 1e-5
    assert changed[2].nonzero().tolist() == [[1, 2], [1, 3], [2, 4]]  # its own place, that of frame 1, that of frame 2
    assert attention(x, flow * 0).shape == x.shape
    assert torch.equal(attention(x), TimeAttention.forward(attention, x))


def test_boxes_pull_where_the_gate_is_open() -> None:
    attention = BoxAttention(8, heads=2)
    x = torch.randn(2, 3, 4, 4, 8)
    boxes = torch.rand(2, 5, 3, 4)
    boxes[0, 3] = torch.nan
    assert torch.equal(attention(x, boxes), x)  # the gate begins shut
    lively(attention)
    out = attention(x, boxes)
    assert torch.allclose(out, attention(x, boxes[:, [4, 1, 3, 2, 0]]), atol=1e-4)  # a set of boxes
    moved = boxes.clone()
    moved[1, 0, 2] += 0.2
    changed = (attention(x, moved) - out).abs().amax((2, 3, 4)) > 1e-5
    assert changed.tolist() == [[False] * 3, [False, False, True]]


@pytest.mark.parametrize("kind", [FlowUNet, BoxUNet])
def test_guided_networks(kind: type[VideoUNet], tmp_path: Any) -> None:
    network = lively(kind(3, 4, 8, heads=2, multipliers=(1, 2)))
    x, t = clip(), torch.tensor([0.3, 0.6])
    guide = {"flow": torch.rand(2, 4, 2, 8, 8)} if kind is FlowUNet else {"boxes": 8 * torch.rand(2, 2, 4, 4)}
    out = network(x, t, Given(cond=guide))
    assert out.shape == x.shape and not torch.allclose(out, network(x, t), atol=1e-5)
    again = load(save(tmp_path / "model", network))
    assert torch.equal(again(x, t, Given(cond=guide)), out)
    with pytest.raises(InputError, match=r"expected \(2, "):
        network(x, t, Given(cond={name: value[:1] for name, value in guide.items()}))
