"""Few steps on a mixture: distance to the exact end of the probability flow, as tests/benchmarks/gmm_accuracy.py measures it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.benchmarks.gmm_accuracy import exact_end, mixture, rms_error, starts

from polyscore.processes import VP, Flow, GaussianProcess
from polyscore.samplers import DDIM, DPMSolverPP, UniPC, execute, times_of
from polyscore.state import NONE
from polyscore.testing import GMMDenoiser, Mixture


@pytest.mark.parametrize("process", [VP(), Flow()], ids=lambda p: type(p).__name__)
def test_twenty_calls_on_the_default_grid(process: GaussianProcess) -> None:
    data, times = mixture(), times_of(process, 20)
    exact = exact_end(data, process, *starts(process, 64))
    multistep, unipc, first = (rms_error(s, data, process, times, exact) for s in (DPMSolverPP(), UniPC(), DDIM()))
    assert multistep <= 0.05
    assert unipc <= 0.01
    assert multistep < first / 3


def test_twenty_calls_on_the_reference_problem(reference: Path) -> None:
    """The mixture and the starts of the reference trajectories; measured .0098 and .0063."""
    with np.load(reference / "core" / "gmm.npz", allow_pickle=False) as file:
        data = Mixture(*(torch.tensor(file[key]) for key in ("weights", "means", "covs")))
        x = torch.tensor(file["Z"])
    process = VP()
    exact = exact_end(data, process, x, NONE)
    for solver, bound in ((DPMSolverPP(), 0.05), (UniPC(), 0.01)):
        found = execute(solver.plan(process, times_of(process, 20)), GMMDenoiser(data, process), process, x)
        assert float((found - exact).square().mean().sqrt()) <= bound
