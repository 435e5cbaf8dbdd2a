"""Ten calls against the published sixty where the posterior is known, and the parts that make it so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.benchmarks.speech_solvers import PROCESSES, Bins, error

from polyscore.audio.few_steps import ExtrapolatedEnd, PowerGrid
from polyscore.audio.methods import choose
from polyscore.denoisers import Prediction
from polyscore.processes import OUVE, VEBridge, grids
from polyscore.processes.clocks import LOG_SNR
from polyscore.samplers import DDIM, ExponentialAdams, sample
from polyscore.state import Given


def speech_like(count: int = 48) -> Bins:
    """Variances over 50 dB, as the bins of a compressed spectrogram of speech have them, in noise of one level."""
    generator = torch.Generator().manual_seed(0)
    v = 0.03 * 10 ** (-5 * torch.rand(1, count, generator=generator, dtype=torch.float64))
    w = torch.full_like(v, 3e-3)
    return Bins(v, w, (v + w).sqrt() * torch.randn(v.shape, generator=generator, dtype=torch.complex128))


@pytest.mark.parametrize("name", ["ouve", "ouve-48k", "ouvp-storm"])
def test_ten_calls_are_closer_to_the_posterior_than_the_originals_sixty(name: str) -> None:
    process, known = PROCESSES[name], speech_like()
    fast, balanced, paper = (choose(process, preset=preset) for preset in ("fast", "balanced", "paper"))
    assert (fast.nfe, balanced.nfe, paper.nfe) == (5, 10, 60)
    errors = [error(process, method, known) for method in (fast, balanced, paper)]
    assert errors[1] < errors[2]
    assert errors[1] < errors[0] < 0.6


def test_a_bridge_gains_by_both_parts() -> None:
    process, known = PROCESSES["bridge"], speech_like()
    even = choose(process, sampler="ode", steps=8, t_eps=0.5)
    dense, extrapolated = (choose(process, sampler=name, steps=8) for name in ("ode", "multistep"))
    assert extrapolated.nfe == dense.nfe == even.nfe == 8
    assert error(process, extrapolated, known) < error(process, dense, known) < error(process, even, known)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_grid(n: int) -> None:
    process = OUVE()
    assert torch.allclose(PowerGrid(0.03, 1.0)(process, n), grids.SGMSE(0.03)(process, n))
    roots = PowerGrid(0.04)(process, n)[:-1].sqrt()
    assert torch.allclose(roots.diff(), torch.full((n - 1,), -0.8 / max(1, n - 1), dtype=torch.float64))
    assert PowerGrid(0.04)(process, n)[-1] == 0


@pytest.mark.parametrize("process", [OUVE(), VEBridge()])
@pytest.mark.parametrize("solver", [ExponentialAdams(2, clock=LOG_SNR), DDIM(0.0), DDIM(1.0)])
def test_the_end_is_exact_for_predictions_linear_in_the_variance(process: Any, solver: Any) -> None:
    def denoiser(x: torch.Tensor, t: float, given: Given) -> Prediction:
        level = process.sigma(t).clamp(max=10.0)
        return Prediction(torch.full_like(x, 0.7) + 0.2 * level**2)

    y = torch.zeros(2, 1, 4, 3, dtype=torch.float64)
    settings: dict[str, Any] = {"steps": 4, "grid": PowerGrid(), "given": Given(y=y), "noise": 0}
    assert torch.allclose(sample(ExtrapolatedEnd(solver), denoiser, process, y, **settings), torch.full_like(y, 0.7))
    plain = sample(solver, denoiser, process, y, **settings)
    assert torch.allclose(plain, 0.7 + 0.2 * process.sigma(0.03) ** 2)


def test_one_step_has_nothing_to_extrapolate() -> None:
    times = PowerGrid()(OUVE(), 1).tolist()
    assert ExtrapolatedEnd(DDIM(0.0)).plan(OUVE(), times) == DDIM(0.0).plan(OUVE(), times)
