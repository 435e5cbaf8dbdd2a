"""Parts of networks that several domains are built of."""

from __future__ import annotations

import torch

from polyscore.networks import waves


def test_waves_are_unit_circles_at_geometric_frequencies() -> None:
    value = torch.tensor([0.0, 0.3, 1000.0, 99_999.0], dtype=torch.float64)
    found = torch.complex(*waves(value, 6, scale=10.0).chunk(2, 1))
    torch.testing.assert_close(found.abs(), torch.ones(4, 6, dtype=torch.float64))
    speeds = 10.0 * 10.0 ** (-4 * torch.arange(6, dtype=torch.float64) / 5)
    torch.testing.assert_close(found, torch.exp(1j * value[:, None] * speeds), rtol=0, atol=1e-9)
    # the fastest waves of times 0 .. 1000 keep what float32 would lose
    step = torch.tensor([999.0, 999.0001])
    assert float((waves(step, 2)[0] - waves(step, 2)[1]).abs().max()) > 5e-5
