"""The light predictor: sizes, lengths, independence of the batch, gradients."""

import pytest
import torch
from torch import Tensor

from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.networks.dualpath import DualPathNet, interleave
from polyscore.errors import InputError

CODEC = SpectrogramCodec()


@pytest.fixture(scope="module")
def network() -> DualPathNet:
    """Default sizes, weights moved away from their small initial output layer."""
    generator = torch.Generator().manual_seed(0)
    net = DualPathNet().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return net


def _wave(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_size_is_the_published_one(network: DualPathNet) -> None:
    assert sum(p.numel() for p in network.parameters()) == 386_912


def test_untrained_network_halves_the_input() -> None:
    # (m + 1/2) Y + 0.3 r with a last layer near zero: the start of training is a scaled identity.
    net, spec = DualPathNet().eval(), CODEC.encode(_wave(1, 8000))
    with torch.no_grad():
        for name in ("weight", "bias"):
            getattr(net.up[-1], name).zero_()
        assert (net(spec) - 0.5 * spec).abs().max() < 1e-6


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 300, 16001])
def test_any_length_and_leading_axes(network: DualPathNet, length: int) -> None:
    spec = CODEC.encode(_wave(2, 2, length))
    found = network(spec)
    assert found.shape == spec.shape
    assert torch.isfinite(torch.view_as_real(found)).all()
    assert (found[1, 0] - network(spec[1, 0])).abs().max() < 1e-5


@torch.no_grad()
def test_a_sample_does_not_depend_on_its_neighbours(network: DualPathNet) -> None:
    spec = CODEC.encode(_wave(4, 5000))
    together = network(spec)
    alone = torch.cat([network(s[None]) for s in spec])
    assert (together - alone).abs().max() < 1e-5


def test_every_parameter_learns() -> None:
    net = DualPathNet(256, (8, 8, 8), 8, depth=1)
    torch.autograd.backward(net(CODEC.encode(_wave(1, 4000))).abs().square().sum())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_interleave_takes_turns_over_the_channels() -> None:
    x = torch.arange(2 * 6 * 3 * 4, dtype=torch.float32).view(2, 6, 3, 4)
    found = interleave(x, 3)
    assert found.shape == (2, 2, 3, 12)
    for k in range(12):
        assert torch.equal(found[:, :, :, k], x.view(2, 2, 3, 3, 4)[:, :, k % 3, :, k // 3])


def test_wrong_sizes_are_named(network: DualPathNet) -> None:
    with pytest.raises(InputError, match="bins is 257"):
        DualPathNet(257)
    with pytest.raises(InputError, match=r"channels \(8, 8\)"):
        DualPathNet(256, (8, 8))
    with pytest.raises(InputError, match="257 frequencies; expected 256"):
        network(torch.zeros(1, 257, 4, dtype=torch.complex64))
