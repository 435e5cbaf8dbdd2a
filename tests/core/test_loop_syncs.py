"""No sampler waits for the device, but for the error that chooses an adaptive step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from polyscore.denoisers import Prediction
from polyscore.evaluation import gaussian
from polyscore.guidance import VendiGuidance
from polyscore.noise import Seeded
from polyscore.processes import VP, grids
from polyscore.samplers import DDIM, RK45, Ancestral, Langevin, PredictorCorrector, RePaint, Run, trajectory
from polyscore.state import Given
from polyscore.testing import GaussianDenoiser


class Syncs(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the float32 numbers that are read back: from a device each would wait. Coefficients are float64 and on the CPU."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        reads = func in {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default}
        self.count += reads and args[0].dtype == torch.float32
        return func(*args, **(kwargs or {}))


def half(x: Any, t: Any, given: Given) -> Prediction:
    return Prediction(0.5 * x)


@pytest.mark.parametrize(
    "sampler",
    [
        DDIM(),
        DDIM(1.0),
        Ancestral(),
        PredictorCorrector(),
        PredictorCorrector(DDIM(1.0), Langevin(reduce="batch")),
        RePaint(torch.zeros(()), torch.tensor([1.0, 0.0, 0.0]), jump=2, resamplings=2),
    ],
    ids=lambda s: type(s).__name__,
)
def test_nothing_in_the_loop_waits_for_the_device(sampler: Any) -> None:
    process = VP()
    frames = trajectory(sampler, half, process, torch.empty(2, 3), steps=6, grid=grids.SGMSE(0.1))
    next(frames)
    with Syncs() as syncs:
        rest = list(frames)
    assert len(rest) >= 5
    assert syncs.count == 0


def test_guidance_towards_variety_reads_nothing() -> None:
    process = VP()
    guided = VendiGuidance(half, process, lambda features: gaussian(features, 1.0), memory=torch.randn(3, 3))
    with Syncs() as syncs:
        moved = guided(torch.randn(4, 3), 0.5, Given())
    assert syncs.count == 0
    assert bool(moved.x0.isfinite().all())


def test_an_adaptive_sampler_reads_one_number_an_attempt() -> None:
    process, x = VP(), torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    run = Run(GaussianDenoiser(process), process, (0.99, 0.01), Given(), Seeded(0))
    sampler = RK45(1e-4, 1e-4)
    state, attempts = sampler.init(run, x), 0
    with Syncs() as syncs:
        while state.t > 0.01:
            state, attempts = sampler.step(run, state, attempts), attempts + 1
    assert syncs.count == attempts + state.memory.rejected
