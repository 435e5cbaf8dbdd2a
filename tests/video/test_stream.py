"""A stream of frames at different levels gives what one frame after the other would give."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from polyscore.denoisers import Precondition
from polyscore.errors import InputError
from polyscore.noise import Seeded
from polyscore.processes import Flow
from polyscore.samplers import DDIM, sample
from polyscore.state import Given
from polyscore.video.networks import VideoUNet
from polyscore.video.stream_batch import StreamBatch

TIMES = (1.0, 0.75, 0.5, 0.25, 0.0)


def model() -> Precondition:
    torch.manual_seed(0)
    network = VideoUNet(channels=1, picture=2, width=8, heads=2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.15)
    return Precondition(network.eval(), Flow(), predicts="flow")


def told(number: int) -> Given:
    generator = torch.Generator().manual_seed(number)
    return Given(cond={"picture": torch.randn(1, 2, 8, 8, generator=generator), "strength": torch.rand(1, generator=generator)})


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_equal_to_one_frame_after_the_other(eta: float) -> None:
    denoiser = model()
    starts = [Seeded(k)(torch.empty(1, 1, 1, 8, 8)) for k in range(7)]
    calls: list[int] = []
    denoiser.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    stream = StreamBatch(denoiser, Flow(), TIMES, eta=eta)
    out: list[Tensor | None] = [stream.push(x, told(k), noise=Seeded(100 + k)) for k, x in enumerate(starts)]
    assert out[:3] == [None, None, None]  # n steps late
    frames = [x for x in out if x is not None] + list(stream.drain())
    assert len(frames) == 7 and calls == [1, 2, 3, 4, 4, 4, 4, 3, 2, 1]
    for k, x in enumerate(starts):
        with torch.no_grad():
            alone = sample(
                DDIM(eta=eta), denoiser, Flow(), x, steps=4, grid=TIMES, given=told(k), noise=Seeded(100 + k), init=x
            )
        assert torch.allclose(frames[k], alone, atol=1e-5)


def test_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="falling"):
        StreamBatch(model(), Flow(), (0.0, 1.0))
    with pytest.raises(InputError, match=r"\(2, 1, 1, 8, 8\)"):
        StreamBatch(model(), Flow(), TIMES).push(torch.zeros(2, 1, 1, 8, 8))
