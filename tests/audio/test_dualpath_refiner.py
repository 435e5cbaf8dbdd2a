"""The refiner: what it returns untrained, how it takes over a predictor, and what its output is made of."""

import math

import pytest
import torch
from torch import Tensor, nn

from polyscore.audio.networks.dualpath import DualPathNet
from polyscore.audio.networks.dualpath_refiner import DualPathRefiner
from polyscore.errors import InputError

SMALL = (6, 8, 10)


def spectrograms(count: int, frames: int = 9) -> Tensor:
    return 0.1 * torch.randn(2, count, 32, frames, generator=torch.Generator().manual_seed(count), dtype=torch.complex64)


def small(inputs: int = 3, seed: int = 0) -> DualPathRefiner:
    """One whose zeros are replaced by random numbers."""
    network = DualPathRefiner(32, inputs, SMALL, hidden=5, depth=1, width=8)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return network.eval()


def test_untrained_it_returns_the_last_input() -> None:
    network = DualPathRefiner(32, 3, SMALL, hidden=5, depth=1)
    s = spectrograms(3)
    assert torch.equal(network(s, torch.tensor([0.2, 1.0])), s[:, 2:])


def test_the_remainder_and_the_masks_are_where_the_formula_says() -> None:
    network, s = DualPathRefiner(32, 3, SMALL, hidden=5, depth=1), spectrograms(3)
    _, bias = network.up[-1].parameters()
    factors = torch.tensor([0.4, -0.2, 0.7, 0.1, 0.3, -0.5])  # re of m_1, m_2, r, then im
    with torch.no_grad():
        bias.copy_(factors.repeat_interleave(4))
    m1, m2, r = (torch.complex(factors[i], factors[i + 3]) for i in range(3))
    expected = s[:, 2] + m1 * (s[:, 0] - s[:, 2]) + m2 * (s[:, 1] - s[:, 2]) + 0.3 * r
    assert torch.allclose(network(s, torch.ones(2))[:, 0], expected, atol=1e-6)


def test_inner_features_of_a_predictor_are_taken_over() -> None:
    """With the predictor's last layer copied by hand into the remainder, the whole predictor is in there."""
    predictor = DualPathNet(32, SMALL, 5, depth=1)
    generator = torch.Generator().manual_seed(5)
    for parameter in predictor.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    network, s = DualPathRefiner(32, 3, SMALL, hidden=5, depth=1, width=8), spectrograms(3)
    network.start_from(predictor, 1)
    with torch.no_grad():
        for ours, theirs in zip(network.up[-1].parameters(), predictor.up[-1].parameters(), strict=True):  # weight, then bias
            for to, source in ((2, 2), (5, 3)):  # r: real part, imaginary part
                ours[4 * to : 4 * to + 4] = theirs[4 * source : 4 * source + 4]
            theirs[:8] = 0
        theirs[:4] = -0.5  # of the bias: the predictor's mask m + 1/2 is 0
    remainder = network(s, torch.tensor([0.3, 0.9]))[:, 0] - s[:, 2]
    assert torch.allclose(remainder, predictor(s[:, 1]), atol=1e-6)


def test_every_input_and_the_time_count() -> None:
    network, s, t = small(), spectrograms(3), torch.tensor([0.3, 0.9])
    out = network(s, t)
    for i in range(3):
        changed = s.clone()
        changed[:, i] *= 1.5
        assert (network(changed, t) - out).abs().max() > 1e-3
    assert (network(s, t + 0.1) - out).abs().flatten(1).amax(1).min() > 1e-3


def test_samples_of_a_batch_do_not_meet() -> None:
    network, s, t = small(), spectrograms(3), torch.tensor([0.3, 0.9])
    alone = torch.cat([network(s[i : i + 1], t[i : i + 1]) for i in range(2)])
    assert torch.allclose(network(s, t), alone, atol=1e-6)


def test_number_of_parameters_and_refused_sizes() -> None:
    assert sum(p.numel() for p in DualPathRefiner().parameters()) == 430_808
    with pytest.raises(InputError, match="bins is 100"):
        DualPathRefiner(100)
    with pytest.raises(InputError, match="inputs 0"):
        DualPathRefiner(32, 0)
    with pytest.raises(InputError, match=r"expected \(B, 3, 32, T\)"):
        small()(spectrograms(2), torch.ones(2))
    with pytest.raises(InputError, match="expected the predictor's"):
        small().start_from(DualPathNet(32, SMALL, 6, depth=1), 0)


def test_harmonics_of_the_time_tell_times_apart() -> None:
    times = torch.linspace(0, 1, 201)
    network = small()
    k = torch.arange(1, 9)
    phase = math.pi * times[:, None] * k
    embedded = network.embed(torch.cat([phase.cos(), phase.sin()], dim=1))
    gaps = (embedded[1:] - embedded[:-1]).norm(dim=1)
    assert gaps.min() > 0.01
