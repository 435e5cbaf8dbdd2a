"""Any part given any other: a leaf held at t = 0, and RePaint, against the closed-form conditional of a joint Gaussian."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.core.linear import Basis, JointGaussian, law

from polyscore.errors import InputError
from polyscore.noise import Recorded
from polyscore.processes import VE, VP, Flow, Product, ResShift
from polyscore.samplers import (
    DDIM,
    RK45,
    Ancestral,
    AnnealedLangevin,
    DPMSolverPP,
    Leafwise,
    PredictorCorrector,
    RePaint,
    resampling_schedule,
    sample,
    trajectory,
)
from polyscore.state import Given
from polyscore.testing import GaussianDenoiser

F64 = torch.float64
MEAN = torch.tensor([0.4, -0.8, 0.3], dtype=F64)
COV = torch.tensor([[1.0, 0.5, 0.6], [0.5, 0.8, 0.1], [0.6, 0.1, 0.7]], dtype=F64)
KNOWN = torch.tensor([1.1], dtype=F64)


def held(sampler: Any, process: Product, rows: int, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Law of leaf "x" (2 entries) given leaf "c" (1 entry)."""
    target, source = JointGaussian(process, MEAN, COV), Basis()
    like = {"x": torch.zeros(rows, 2, dtype=F64), "c": torch.zeros(rows, 1, dtype=F64)}
    hold = {"c": KNOWN.expand(rows, 1)}
    out = sample(sampler, target, process, like, steps=steps, noise=source, hold=hold)
    assert torch.equal(out["c"], hold["c"])
    return law(out["x"], min(source.row, rows))


@pytest.mark.parametrize(
    ("sampler", "steps", "rows", "tolerance"),
    [
        (RK45(1e-9, 1e-9, end=1e-6), 1, 4, 1e-5),
        (DPMSolverPP(), 400, 4, 2e-3),
        (DDIM(0.0), 800, 4, 1e-2),
        (Ancestral(0.0), 800, 4, 1e-2),
        (DDIM(1.0), 300, 610, 2e-2),
        (Ancestral(1.0), 300, 610, 2e-2),
        (PredictorCorrector(DDIM(1.0), AnnealedLangevin(0.1)), 200, 810, 2e-2),
    ],
    ids=["rk45", "dpm++", "ddim", "ancestral(0)", "ddpm", "ancestral(1)", "pc"],
)
def test_a_held_leaf_gives_the_exact_conditional(sampler: Any, steps: int, rows: int, tolerance: float) -> None:
    """Flow has a(1) = 0, so the prior is exact and only the discretisation is left."""
    process = Product(x=Flow(), c=Flow())
    mean, cov = held(sampler, process, rows, steps)
    exact = JointGaussian(process, MEAN, COV).conditional(slice(2, 3), KNOWN)
    torch.testing.assert_close(mean, exact[0], rtol=0, atol=tolerance)
    torch.testing.assert_close(cov, exact[1], rtol=0, atol=tolerance)


def test_the_held_leaf_may_have_any_process_of_its_own() -> None:
    laws = [held(DPMSolverPP(), Product(x=Flow(), c=other), 4, 50) for other in (Flow(), VP(), VE())]
    for mean, cov in laws[1:]:
        torch.testing.assert_close(mean, laws[0][0], rtol=0, atol=1e-12)
        torch.testing.assert_close(cov, laws[0][1], rtol=0, atol=1e-12)


def test_all_leaves_free_gives_the_joint_law_with_a_solver_for_each_leaf() -> None:
    process, source = Product(x=Flow(), c=Flow()), Basis()
    like = {"x": torch.zeros(4, 2, dtype=F64), "c": torch.zeros(4, 1, dtype=F64)}
    out = sample(
        Leafwise(x=DPMSolverPP(), c=DDIM(0.0)), JointGaussian(process, MEAN, COV), process, like, steps=800, noise=source
    )
    mean, cov = law(torch.cat([out["x"], out["c"]], 1), source.row)
    torch.testing.assert_close(mean, MEAN, rtol=0, atol=1e-2)
    torch.testing.assert_close(cov, COV, rtol=0, atol=1e-2)


# --- RePaint ---


def test_the_resampling_schedule_is_the_papers() -> None:
    """10 levels, jumps of 3, 2 samples of each stretch: down to a multiple of 3 before the end, back up 3, down again."""
    path = resampling_schedule(10, 3, 2)
    assert path == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 7, 8, 9, 6, 7, 8, 9, 10]
    assert resampling_schedule(10, 3, 1) == list(range(11))
    assert resampling_schedule(4, 1, 3).count(3) == 3


def repaint(resamplings: int, jump: int, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    process, source = Flow(), Basis()
    path = resampling_schedule(steps, jump, resamplings)
    draws = 1 + sum(2 if u > t else 1 for t, u in zip(path[:-1], path[1:], strict=True))
    rows = 1 + 3 * draws
    known = torch.cat([torch.zeros(rows, 2, dtype=F64), KNOWN.expand(rows, 1)], 1)
    sampler = RePaint(known, torch.tensor([0.0, 0.0, 1.0]), jump=jump, resamplings=resamplings)
    frames = list(
        trajectory(sampler, JointGaussian(process, MEAN, COV), process, torch.zeros(rows, 3), steps=steps, noise=source)
    )
    assert len(frames) == len(path) - 1
    out = frames[-1].x
    assert torch.equal(out[:, 2:], KNOWN.expand(rows, 1))
    return law(out[:, :2], rows)


def test_repaint_comes_closer_to_the_conditional_the_more_it_resamples() -> None:
    exact = JointGaussian(Flow(), MEAN, COV).conditional(slice(2, 3), KNOWN)
    errors = [float((repaint(n, jump=10, steps=100)[0] - exact[0]).abs().max()) for n in (1, 3, 8)]
    assert errors[2] < 0.5 * errors[1] < 0.3 * errors[0]
    for n, worst in ((1, 0.15), (8, 0.02)):
        # Ancestral steps are of first order in the covariance: two step sizes give the limit of small steps.
        coarse, fine = (repaint(n, jump=k // 10, steps=k)[1] for k in (50, 100))
        error = float((2 * fine - coarse - exact[1]).abs().max())
        assert (error < worst) and (error > 0.1 or n > 1)


def test_repaint_holds_parts_of_mapping_states_and_follows_chains_that_depend_on_x0() -> None:
    """ResShift's forward chain has an x0 term; the marginal after a jump back is still that of the process."""
    process = Product(a=ResShift(), b=VP())
    like = {"a": torch.empty(5, 4, dtype=F64), "b": torch.empty(5, 3, dtype=F64)}
    known = {name: torch.full_like(leaf, 0.25) for name, leaf in like.items()}
    mask = {"a": torch.tensor([1.0, 1, 0, 0]), "b": torch.tensor([0.0, 1, 0])}
    y = {"a": torch.ones(5, 4, dtype=F64), "b": None}

    class Two:
        def __call__(self, x: Any, t: Any, given: Given) -> Any:
            from polyscore.denoisers import Prediction

            parts = {
                "a": GaussianDenoiser(ResShift())(x["a"], t, Given(y=y["a"])).x0,
                "b": GaussianDenoiser(VP())(x["b"], t, Given()).x0,
            }
            return Prediction(parts)

    out = sample(RePaint(known, mask, jump=2, resamplings=2), Two(), process, like, steps=9, given=Given(y=y), noise=3)
    assert torch.equal(out["a"][:, :2], known["a"][:, :2])
    assert torch.equal(out["b"][:, 1], known["b"][:, 1])
    assert torch.isfinite(out["a"]).all()
    assert torch.isfinite(out["b"]).all()


def test_repaint_without_resampling_or_known_part_is_the_ancestral_sampler() -> None:
    process, like = VP(), torch.empty(4, 3, dtype=F64)
    steps = [torch.randn(4, 3, generator=torch.Generator().manual_seed(k), dtype=F64) for k in range(8)]
    twice = [steps[0], *(draw for step in steps[1:] for draw in (step, torch.zeros_like(step)))]
    sampler = RePaint(torch.zeros(4, 3, dtype=F64), torch.zeros(3), resamplings=1)
    denoiser = GaussianDenoiser(process)
    found = sample(sampler, denoiser, process, like, steps=7, noise=Recorded(twice))
    expected = sample(Ancestral(), denoiser, process, like, steps=7, noise=Recorded(steps))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="at least 1"):
        RePaint(like, like, resamplings=0)
