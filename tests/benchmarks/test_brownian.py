"""What a draw from a Brownian path costs, in thread CPU time."""

from __future__ import annotations

import itertools
import time

import pytest
import torch

from polyscore.noise import Brownian

LIMIT = 300e-6  # seconds a draw of shape (64, 2)


@pytest.mark.benchmark
def test_a_draw_is_cheap() -> None:
    """Along a run of 50 steps, as a sampler asks; each draw evaluates the path at one new time."""
    like, times = torch.empty(64, 2), torch.linspace(1, 0, 51, dtype=torch.float64).tolist()
    best = float("inf")
    for _ in range(15):
        noise = Brownian(0)
        begin = time.thread_time()
        for t, u in itertools.pairwise(times):
            noise(like, t, u)
        best = min(best, (time.thread_time() - begin) / 50)
    print(f"Brownian draw of shape (64, 2): {best * 1e6:.0f} us")
    assert best < LIMIT
