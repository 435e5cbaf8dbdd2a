"""Flow maps: what they are trained on is true, and a flow is made of them without tearing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.processes import Flow as FlowProcess
from polyscore.state import NONE, Given
from polyscore.video.data import FlowMapData, FlowMaps, MovingDigits, Textures
from polyscore.video.data.flow_maps import arrow_map
from polyscore.video.flow_maps import FlowPainter, flow_of_maps
from polyscore.video.motion import Arrow
from polyscore.video.motion.frames import grid

SOURCE = MovingDigits(frames=5, size=(24, 24), height=(9.0, 13.0), digits=(1, 1), reach=(2.0, 2.0))


def test_paths_follow_the_digit() -> None:
    clips = SOURCE(range(6))
    moves = clips.paths[:, -1].norm(dim=1) > 1e-3
    track = clips.tracks[:, 0] - clips.tracks[:, 0, :1]
    for b in range(6):
        found = clips.paths[b, :, :, moves[b]].mean(-1)
        assert torch.allclose(found, track[b], atol=1e-3)
    assert float(clips.paths[:, 0].abs().max()) < 1e-4
    assert torch.allclose(clips.paths[:, 1], clips.forward[:, 0], atol=1e-5)


def test_arrows_are_drawn_where_they_begin() -> None:
    feet = torch.tensor([[3.0, 1.0], [0.0, 5.0], [40.0, 2.0]])
    drawn = arrow_map(feet, torch.tensor([[4.0, -2.0], [8.0, 0.0], [1.0, 1.0]]), (6, 8), 4.0)
    assert drawn.shape == (3, 6, 8)
    assert drawn[:, 1, 3].tolist() == [1.0, -0.5, 1.0] and drawn[:, 0, 2].tolist() == [1.0, -0.5, 1.0]
    assert int(drawn[2].sum()) == 9 + 4  # one whole, one at the corner of the frame, one outside


def test_examples_say_what_their_arrows_say() -> None:
    data = FlowMaps(SOURCE, 20, arrows=3, seed=1)
    batch = data.__getitems__(range(8))
    maps, picture = batch["x0"], batch["cond"]["picture"]
    assert maps.shape == (8, 2, 5, 24, 24) and picture.shape == (8, 7, 24, 24)
    lone = 0
    for b in range(8):
        inner = torch.nn.functional.avg_pool2d(picture[b, 6:], 3, 1, 1)[0] > 0.999  # middles of whole arrows
        for y, x in inner.nonzero().tolist():
            lone += int(torch.allclose(maps[b, :, -1, y, x], picture[b, 4:6, y, x], atol=1e-5))
    assert lone > 3
    assert torch.equal(data.__getitems__([5])["x0"][0], maps[5])


@pytest.mark.parametrize("source", [SOURCE, Textures(frames=5, size=(24, 24), shapes=0)], ids=["digit", "ground"])
def test_the_flow_of_true_maps_is_the_true_flow(source: Any) -> None:
    clips = source([3, 4])
    for b in range(2):
        flow = flow_of_maps(clips.paths[b])
        steps = clips.paths[b].diff(dim=0)
        # what was in the first frame moves on as its maps say: the digit's flow at its place, the ground's elsewhere
        place = (grid((24, 24)) + clips.paths[b, :-1]).round().long()
        x, y = place[:, 0], place[:, 1]
        inside = (x > 1) & (x < 22) & (y > 1) & (y < 22)
        found = torch.stack([flow.forward[t][:, y[t].clamp(0, 23), x[t].clamp(0, 23)] for t in range(4)])
        off = (found - steps).norm(dim=1)[inside]
        assert float(off.quantile(0.75)) < 0.15
        assert bool(torch.isfinite(flow.forward).all())


class Says(nn.Module):
    """A model that says the arrow everywhere, growing in time."""

    def __init__(self) -> None:
        super().__init__()
        self.process = FlowProcess()
        self.weight = nn.Parameter(torch.zeros(()))
        self.told: list[Given] = []

    def forward(self, x: Any, t: Any, given: Given = NONE) -> Prediction:
        self.told.append(given)
        time = torch.linspace(0, 1, x.shape[2]).view(1, 1, -1, 1, 1)
        return Prediction(time * torch.tensor([1.0, -0.5]).view(1, 2, 1, 1, 1).expand_as(x))


def test_a_painter_reads_arrows_of_any_picture() -> None:
    model = FlowPainter(Says(), (5, 24, 24), scale=8.0)
    flow = model.flow(torch.rand(3, 48, 96), [Arrow(40.0, 20.0, 72.0, 12.0)], steps=3)
    assert flow.forward.shape == (4, 2, 24, 24)
    assert torch.allclose(flow.forward.mean((2, 3)), torch.tensor([2.0, -1.0]).expand(4, 2), atol=0.05)
    denoiser: Any = model.denoiser
    drawn = denoiser.told[0].cond["picture"]
    assert torch.allclose(drawn[0, 4:, 10, 10], torch.tensor([1.0, -0.5, 1.0]))  # 32 and -8 pixels there are 8 and -4 here
    with pytest.raises(InputError, match=r"\(1, 8, 8\)"):
        model.maps(torch.rand(1, 8, 8), [])
    with pytest.raises(InputError, match="scale 0"):
        FlowMapData(SOURCE, 2, 4, scale=0.0)
    loaded = next(iter(FlowMapData(SOURCE, 2, 4, validation_items=2).train_dataloader()))
    assert loaded["x0"].shape == (2, 2, 5, 24, 24)
