"""Predictor-corrector and ancestral steppers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.core.linear import Basis, JointGaussian, law
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.noise import Masked, Normal, Recorded, Symmetric
from polyscore.processes import OUVE, VE, VP, Flow, GaussianProcess, Product, ShortestPath, VEBridge, grids
from polyscore.samplers import (
    DDIM,
    DDPM,
    Ancestral,
    AnnealedLangevin,
    Heun,
    Langevin,
    Leafwise,
    PredictorCorrector,
    ReverseDiffusion,
    ScoreSDEAncestral,
    per_count,
    per_interval,
    sample,
    score_sde_alphas,
    score_sde_tables,
    trajectory,
)
from polyscore.state import Given, State, Time
from polyscore.testing import GaussianDenoiser, check_sampler

F64 = torch.float64


def draws(n: int, *shape: int, dtype: torch.dtype = F64, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(n)]


class Counting:
    """Counts the calls of a denoiser and records the places it was told."""

    def __init__(self, denoiser: Any) -> None:
        self.denoiser, self.calls, self.places = denoiser, 0, list[tuple[int, int]]()

    def begin(self, step: int, stage: int) -> None:
        self.places.append((step, stage))

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        self.calls += 1
        out: Prediction = self.denoiser(x, t, given)
        return out


# --- ancestral ---


@pytest.mark.parametrize("process", [VP(), VE(), Flow(), OUVE(), VEBridge()])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_ancestral_stepper_is_the_ddim_plan(process: GaussianProcess, eta: float) -> None:
    y = draws(1, 8, 3, seed=1)[0]
    denoiser = GaussianDenoiser(process)
    noise = draws(13, 8, 3)
    runs = [
        sample(s, denoiser, process, y, steps=12, given=Given(y=y), noise=Recorded(noise if isinstance(s, Ancestral) else kept))
        for s, kept in ((Ancestral(eta), noise), (DDIM(eta), kept_by_plan(process, eta, noise)))
    ]
    torch.testing.assert_close(*runs, rtol=0, atol=1e-12)


def kept_by_plan(process: GaussianProcess, eta: float, noise: list[Tensor]) -> list[Tensor]:
    """A plan draws nothing where its coefficient is 0, a transition always draws."""
    plan = DDIM(eta).plan(process, process.default_grid(12).tolist())
    return [noise[0], *(draw for draw, stage in zip(noise[1:], plan.stages, strict=True) if stage.noise != 0.0)]


@pytest.mark.parametrize("process", [VP(), OUVE(), Flow(), VEBridge()])
def test_a_transition_with_a_time_for_each_sample_is_that_of_each_sample(process: GaussianProcess) -> None:
    t = torch.tensor([0.9, 0.5, 0.3, 1.0], dtype=F64)
    u = torch.tensor([0.8, 0.1, 0.0, 0.2], dtype=F64)
    x, x0, y, eps = draws(4, 4, 3, 2)
    whole = process.transition(x, Prediction(x0), t, u, eta=0.7, given=Given(y=y), noise=Recorded([eps]))
    for i in range(4):
        row = slice(i, i + 1)
        part = process.transition(
            x[row], Prediction(x0[row]), float(t[i]), float(u[i]), eta=0.7, given=Given(y=y[row]), noise=Recorded([eps[row]])
        )
        torch.testing.assert_close(whole[row], part, rtol=0, atol=1e-12)


# --- predictor-corrector against the originals' formulas, written out ---


def sgmse_pc(
    score: Callable[[Tensor, float], Tensor],
    y: Tensor,
    noise: list[Tensor],
    times: list[float],
    deltas: list[float],
    *,
    corrector: str,
    corrections: int,
    snr: float,
) -> Tensor:
    """SGMSE's PC sampler for OUVE (specs: audio 1.2, 1.8), with its drift, diffusion and standard deviation."""
    theta, low, high = 1.5, 0.05, 0.5
    log = math.log(high / low)

    def std(t: float) -> float:
        return math.sqrt(low**2 * math.exp(-2 * theta * t) * (math.exp(2 * (theta + log) * t) - 1) * log / (theta + log))

    z = iter(noise)
    x = mean = y + std(1.0) * next(z)
    for t, dt in zip(times, deltas, strict=True):
        for _ in range(corrections):
            g, e = score(x, t), next(z)
            if corrector == "ald":
                size = torch.tensor(2 * (snr * std(t)) ** 2, dtype=F64)
            else:
                norms = [v.reshape(len(v), -1).abs().square().sum(1).sqrt().mean() for v in (e, g)]
                size = 2 * (snr * norms[0] / norms[1]) ** 2
            x = x + size * g + torch.sqrt(2 * size) * e
        diffusion = low * (high / low) ** t * math.sqrt(2 * log) * math.sqrt(dt)
        mean = x - theta * (y - x) * dt + diffusion**2 * score(x, t)
        x = mean + diffusion * next(z)
    return mean


@pytest.mark.parametrize("convention", ["sgmse", "upstream-2023"])
@pytest.mark.parametrize(("corrector", "corrections"), [("ald", 1), ("none", 0), ("langevin", 1), ("ald", 2)])
def test_sgmse_pc_with_recorded_draws(convention: str, corrector: str, corrections: int) -> None:
    process, n, snr = OUVE(), 4, 0.5
    y = draws(1, 3, 2, 5, dtype=torch.complex128, seed=7)[0]
    noise = draws(1 + n * (corrections + 1), 3, 2, 5, dtype=torch.complex128)
    denoiser = GaussianDenoiser(process)

    def score(x: Tensor, t: float) -> Tensor:
        return process.score(x, denoiser(x, t, Given(y=y)).x0, t, given=Given(y=y))

    times = torch.linspace(1, 0.03, n, dtype=F64).tolist()
    deltas = [t - u for t, u in zip(times, [*times[1:], 0.0], strict=True)] if convention == "sgmse" else [1 / n] * n
    expected = sgmse_pc(score, y, noise, times, deltas, corrector=corrector, corrections=corrections, snr=snr)
    rule = {"ald": AnnealedLangevin(snr, corrections), "langevin": Langevin(snr, corrections, "batch"), "none": None}[corrector]
    sampler = PredictorCorrector(ReverseDiffusion(per_interval if convention == "sgmse" else per_count), rule)
    source, counting = Recorded(noise), Counting(denoiser)
    found = sample(sampler, counting, process, y, steps=n, grid=grids.SGMSE(0.03), given=Given(y=y), noise=source)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert source.used == len(noise)  # prior; then per step the corrector's draws and the predictor's, on the last step too
    assert counting.calls == n * (corrections + 1)
    assert counting.places == [(i, stage) for i in range(n) for stage in range(corrections + 1)]


def test_gdss_pc_evaluates_both_leaves_at_one_state_and_sizes_each_by_its_own_norms() -> None:
    n, snr, scale, t_end = 21, 0.2, 0.7, 1e-4
    leaves: dict[str, Any] = {"x": VP(0.1, 1.0, law=Masked()), "adj": VE(0.2, 1.0, law=Masked(Symmetric(), axes=(1, 2)))}
    process = Product(leaves)
    mask = torch.tensor([[1.0, 1, 1, 0], [1, 1, 1, 1]], dtype=F64)
    like = {"x": torch.empty(2, 4, 3, dtype=F64), "adj": torch.empty(2, 4, 4, dtype=F64)}

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        a, m = x["adj"], given.mask[:, :, None]
        return Prediction({"x": m * (0.3 * a @ x["x"] + 0.1), "adj": m * m.mT * 0.5 * torch.tanh(x["x"] @ x["x"].mT)})

    def law(name: str, z: Tensor) -> Tensor:
        z = z if name == "x" else z.triu(1) + z.triu(1).mT
        return z * mask[:, :, None] if name == "x" else z * mask[:, :, None] * mask[:, None, :]

    raw = [draw for k in range(1 + 2 * n) for draw in (*draws(1, 2, 4, 3, seed=k), *draws(1, 2, 4, 4, seed=100 + k))]
    times = torch.linspace(1, t_end, n, dtype=F64).tolist()
    betas, levels = torch.linspace(0.1 / n, 1.0 / n, n, dtype=F64), torch.logspace(math.log10(0.2), 0, n, dtype=F64)
    source = iter(raw)
    state = {name: leaves[name].coefs_of(1.0).s * law(name, next(source)) for name in like}
    mean = dict(state)
    for t in times:
        k = int(t * (n - 1))
        growth = {"x": betas[k], "adj": levels[k] ** 2 - (levels[k - 1] ** 2 if k else 0.0)}
        for predicting in (False, True):
            data = denoiser(state, t, Given(mask=mask)).x0
            new = {}
            for name in state:
                coefs = leaves[name].coefs_of(t)
                g = (coefs.a * data[name] - state[name]) / coefs.s**2
                z = law(name, next(source))
                if predicting:
                    keep = 2 - torch.sqrt(1 - growth["x"]) if name == "x" else torch.tensor(1.0, dtype=F64)
                    mean[name] = keep * state[name] + growth[name] * g
                    new[name] = mean[name] + torch.sqrt(growth[name]) * z
                else:
                    alpha = 1 - betas[k] if name == "x" else 1.0
                    norms = [v.flatten(1).square().sum(1).sqrt().mean() for v in (z, g)]
                    e = 2 * alpha * (snr * norms[0] / norms[1]) ** 2
                    new[name] = state[name] + e * g + scale * torch.sqrt(2 * e) * z
            state = new
    sampler = PredictorCorrector(
        ReverseDiffusion(score_sde_tables), Langevin(snr, 1, "batch", scale=scale, alphas=score_sde_alphas)
    )
    found = sample(sampler, denoiser, process, like, steps=n, grid=[*times, 0.0], given=Given(mask=mask), noise=Recorded(raw))
    for name in like:
        torch.testing.assert_close(found[name], mean[name], rtol=0, atol=1e-12)


def test_score_sde_ancestral_for_ve_is_ddpm_on_its_grid() -> None:
    """m = x + (s_i^2 - s_(i-1)^2) g, variance s_(i-1)^2 (s_i^2 - s_(i-1)^2) / s_i^2, s_(-1) = 0 (Song et al. 2021)."""
    process, n = VE(0.02, 40.0), 12
    denoiser, noise = GaussianDenoiser(process), draws(n + 1, 5, 2)
    levels = torch.logspace(math.log10(0.02), math.log10(40), n, dtype=F64)
    x = levels[-1] * noise[0]
    for i in range(n - 1, -1, -1):
        now, lower = levels[i], levels[i - 1] if i else torch.zeros((), dtype=F64)
        g = process.score(x, denoiser(x, i / (n - 1) if i else 1e-12, Given()).x0, i / (n - 1) if i else 1e-12)
        x = x + (now**2 - lower**2) * g + torch.sqrt(lower**2 * (now**2 - lower**2) / now**2) * noise[n - i]
    found = sample(DDPM(), denoiser, process, x, steps=n, noise=Recorded(noise))
    torch.testing.assert_close(found, x, rtol=0, atol=1e-9)


def test_score_sde_tables_need_enough_steps_and_their_ancestral_rule_agrees_in_the_limit() -> None:
    process = VP()
    with pytest.raises(InputError, match="at least 20 steps"):
        score_sde_tables(process, torch.linspace(1, 0, 11).tolist())
    like = torch.empty(4096, 2, dtype=F64)
    out = sample(ScoreSDEAncestral(), GaussianDenoiser(process), process, like, steps=300, grid=grids.SGMSE(1e-3))
    assert abs(float(out.mean()) - 0.3) < 0.03
    assert abs(float(out.std()) - 0.7) < 0.03


# --- laws ---


def test_predictor_corrector_obeys_the_laws_of_samplers() -> None:
    check_sampler(PredictorCorrector(DDIM(1.0), AnnealedLangevin(0.1)))
    check_sampler(PredictorCorrector(Ancestral(0.5), None))


@pytest.mark.parametrize("reduce", ["sample", "batch"])
def test_langevin_keeps_the_law_of_wide_states(reduce: Any) -> None:
    process = VP()
    sampler = PredictorCorrector(DDIM(1.0), Langevin(0.05, reduce=reduce), last="sample")
    out = sample(sampler, GaussianDenoiser(process), process, torch.empty(256, 64, dtype=F64), steps=100, noise=1)
    assert abs(float(out.mean()) - 0.3) < 5 * 0.7 / 128 + 0.01
    assert abs(float(out.std()) / 0.7 - 1) < 0.03


def test_annealed_langevin_converges_to_the_exact_law_of_a_correlated_gaussian() -> None:
    """The sampler is affine in its draws, so mean and covariance come without sampling error."""
    process = Flow()
    target = JointGaussian(process, torch.tensor([0.5, -1.0], dtype=F64), torch.tensor([[1.0, 0.6], [0.6, 0.5]], dtype=F64))
    errors = []
    for n in (50, 200):
        sampler = PredictorCorrector(DDIM(1.0), AnnealedLangevin(0.1))
        source = Basis()
        out = sample(sampler, target, process, torch.zeros(2 + 4 * n + 2, 2, dtype=F64), steps=n, noise=source)
        mean, cov = law(out, source.row)
        torch.testing.assert_close(mean, target.mean, rtol=0, atol=0.02)
        errors.append(float((cov - target.cov).abs().max()))
    assert errors[1] < 0.3 * errors[0]
    assert errors[1] < 0.02


def test_a_sample_depends_on_its_batch_only_with_batch_norms() -> None:
    process = VP()
    like = torch.empty(6, 32, dtype=F64)
    for corrector, same in ((Langevin(), True), (Langevin(reduce="batch"), False)):
        sampler = PredictorCorrector(corrector=corrector)
        whole = sample(sampler, GaussianDenoiser(process), process, like, steps=8, noise=5)
        part = sample(sampler, GaussianDenoiser(process), process, like[:2], steps=8, noise=7)
        assert torch.equal(part, whole[2:4]) is same


def test_last_is_the_mean_or_the_sample() -> None:
    process, like = VP(), torch.empty(4, 2, dtype=F64)
    grid = grids.SGMSE(0.05)
    runs = [
        [frame.x for frame in trajectory(sampler, GaussianDenoiser(process), process, like, steps=5, grid=grid)]
        for sampler in (PredictorCorrector(), PredictorCorrector(last="sample"))
    ]
    for a, b in zip(runs[0][:-1], runs[1][:-1], strict=True):
        assert torch.equal(a, b)
    assert not torch.allclose(runs[0][-1], runs[1][-1])


def test_a_bridge_has_nothing_to_correct_at_its_start_and_no_drift_there() -> None:
    process = VEBridge()
    y = draws(1, 4, 6)[0]
    denoiser = Counting(GaussianDenoiser(process))
    sampler = PredictorCorrector(DDIM(1.0), AnnealedLangevin(0.2, steps=2))
    out = sample(sampler, denoiser, process, y, steps=5, given=Given(y=y))
    assert torch.isfinite(out).all()
    assert denoiser.calls == 5 * 3 - 2
    with pytest.raises(InputError, match=r"no finite rates at t = 1"):
        sample(PredictorCorrector(), denoiser, process, y, steps=5, given=Given(y=y))


def test_an_empty_sample_of_a_masked_state_stays_empty() -> None:
    process = VP(law=Masked())
    mask = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=F64)

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction(0.5 * x)

    out = sample(PredictorCorrector(), denoiser, process, torch.empty(2, 3, 4, dtype=F64), steps=5, given=Given(mask=mask))
    assert torch.isfinite(out).all()
    assert out[1].abs().max() == 0
    assert out[0, :2].abs().min() > 0


@pytest.mark.parametrize("corrector", [Langevin(0.1), AnnealedLangevin(0.1)])
def test_a_process_with_a_coefficient_per_frequency(corrector: Any) -> None:
    """Equal coefficients for all frequencies: the same run as with the scalar process."""

    class PerFrequency(GaussianProcess):
        law = Normal()

        def coefs(self, t: Tensor) -> Any:
            scalar = VP().coefs(t)
            return type(scalar)(*(c[..., None].expand(*t.shape, 3) for c in scalar))

    like, noise = torch.empty(4, 3, dtype=F64), draws(13, 4, 3)

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction(torch.tanh(x))

    grid = torch.linspace(1, 0.05, 7).tolist()
    runs = [
        sample(PredictorCorrector(corrector=corrector), denoiser, p, like, steps=6, grid=grid, noise=Recorded(noise))
        for p in (VP(), PerFrequency())
    ]
    torch.testing.assert_close(*runs, rtol=0, atol=1e-12)
    spectral = ShortestPath((3,))
    out = sample(PredictorCorrector(DDIM(1.0), corrector), denoiser, spectral, like, steps=6)
    assert torch.isfinite(out).all()


def test_a_predictor_may_remember_its_prediction_in_any_form() -> None:
    """Euler's plan holds the velocity, DDIM's x0; without a corrector each must be its own plan."""
    from polyscore.samplers import Euler

    process = OUVE()
    y = draws(1, 4, 3)[0]
    grid = torch.linspace(0.9, 0.1, 8).tolist()
    for solver in (Euler(), DDIM(0.0)):
        runs = [
            sample(s, GaussianDenoiser(process), process, y, steps=7, grid=grid, given=Given(y=y), init=y)
            for s in (solver, PredictorCorrector(solver, None))
        ]
        torch.testing.assert_close(*runs, rtol=0, atol=1e-12)


def test_an_eps_that_a_prediction_brings_is_put_back_by_the_predictor() -> None:
    process, x = VP(), draws(1, 4, 3)[0]

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction(torch.tanh(x), 0.3 * x)

    plan, stepper = (sample(s, denoiser, process, x, steps=6, init=x) for s in (DDIM(), PredictorCorrector(DDIM(), None)))
    torch.testing.assert_close(plan, stepper, rtol=0, atol=1e-12)


def test_what_predictor_corrector_refuses() -> None:
    process, like = VP(), torch.empty(2, 3, dtype=F64)
    with pytest.raises(InputError, match="one call and one write"):
        sample(PredictorCorrector(Heun()), GaussianDenoiser(process), process, like, steps=4)
    joint = Product(a=process, b=process)
    with pytest.raises(InputError, match="different numbers of steps"):
        sample(
            PredictorCorrector(corrector=Leafwise(a=Langevin(steps=1), b=Langevin(steps=2))),
            GaussianDenoiser(process),
            joint,
            {"a": like, "b": like},
            steps=4,
        )


def test_leafwise_predictors_and_correctors_are_those_of_the_leaves() -> None:
    """Leaves that do not see each other run as they would alone, each with its own predictor and corrector."""
    processes = {"a": VP(), "b": Flow()}
    parts = {"a": (DDIM(1.0), AnnealedLangevin(0.2)), "b": (DDIM(0.0), Langevin(0.05))}
    like = {"a": torch.empty(3, 8, dtype=F64), "b": torch.empty(3, 5, dtype=F64)}

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction({n: torch.tanh(v) * 0.5 for n, v in x.items()})

    def alone(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction(torch.tanh(x) * 0.5)

    grid = torch.linspace(0.95, 0.05, 7).tolist()
    sampler = PredictorCorrector(Leafwise(a=DDIM(1.0), b=DDIM(0.0)), Leafwise(a=AnnealedLangevin(0.2), b=Langevin(0.05)))
    joint = sample(sampler, denoiser, Product(processes), like, steps=6, grid=grid, noise=3)
    for name, process in processes.items():
        single = sample(PredictorCorrector(*parts[name]), alone, process, like[name], steps=6, grid=grid, noise=3)
        torch.testing.assert_close(joint[name], single, rtol=0, atol=1e-12)
