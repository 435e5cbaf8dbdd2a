"""Losses of speech enhancers: their minimisers on a Gaussian, their conventions, and the density with an atom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore import hub
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.consistency import ConsistencyModel
from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.audio.losses import PesqLoss
from polyscore.audio.networks.dualpath_refiner import DualPathRefiner
from polyscore.audio.pipeline import SpeechEnhancer
from polyscore.audio.training import Consistency, DataPrediction, HalfSum, MeanLoss, OftenAtStart, Regeneration, StateEDMWeight
from polyscore.denoisers import Denoiser, Prediction
from polyscore.errors import ConfigError, InputError
from polyscore.processes import OUVE, RDDM, FlowToEndPoint, GaussianProcess, Resfusion, ResShift, VEBridge
from polyscore.state import NONE, Given, LeafTime
from polyscore.training.objectives import FlowMatching, Objective, ScoreMatching, X0Loss
from polyscore.training.times import Uniform
from polyscore.training.weightings import Variance

MEAN, SPREAD, END = 0.4 + 0.2j, 0.3, -0.5 + 0.1j


@dataclass(frozen=True)
class Posterior:
    """E[x0 | x_t] + offset, for complex x0 ~ N(MEAN, SPREAD^2)."""

    process: GaussianProcess
    offset: complex = 0.0

    def __call__(self, x: Tensor, t: LeafTime, given: Given = NONE) -> Prediction:
        a, b, s = (c.reshape(-1, 1, 1, 1).float() for c in self.process.coefs_of(t))
        gain = a * SPREAD**2 / (a**2 * SPREAD**2 + s**2)
        return Prediction(MEAN + gain * (x - a * MEAN - b * given.y) + self.offset)


def gaussian(count: int = 256) -> tuple[Tensor, Given]:
    noise = torch.randn(count, 1, 32, 16, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    return MEAN + SPREAD * noise, Given(y=torch.full_like(noise, END))


CASES: list[tuple[GaussianProcess, Objective, Callable[[float, float, float], float]]] = [
    # |d target / d x0|^2 times the weight, as a function of a, s, t
    (OUVE(), ScoreMatching(Variance()), lambda a, s, t: (a / s) ** 2),
    (OUVE(), MeanLoss(), lambda a, s, t: a**2),
    (OUVE(), MeanLoss(Variance()), lambda a, s, t: (a * s) ** 2),
    (OUVE(), MeanLoss(StateEDMWeight(0.2)), lambda a, s, t: a**2 * (s**2 + 0.04) / (s * 0.2) ** 2),
    (VEBridge(), X0Loss(), lambda a, s, t: 1.0),
    (FlowToEndPoint(), FlowMatching(), lambda a, s, t: 1 / t**2),
    (ResShift(kappa=0.5), X0Loss(), lambda a, s, t: 1.0),
    (RDDM(0.3), X0Loss(), lambda a, s, t: 1.0),
    (Resfusion(), X0Loss(), lambda a, s, t: 1.0),
]


@pytest.mark.parametrize(("process", "objective", "factor"), CASES)
def test_the_closed_form_denoiser_has_the_closed_form_loss_and_no_other_has_less(
    process: GaussianProcess, objective: Objective, factor: Callable[[float, float, float], float]
) -> None:
    x0, given = gaussian()
    for t in (0.2, 0.7):
        time = torch.full((len(x0),), t, dtype=torch.float64)
        a, _, s = (float(c) for c in process.coefs_of(t))
        variance = SPREAD**2 * s**2 / (a**2 * SPREAD**2 + s**2)
        best = float(objective(Posterior(process), process, x0, t=time, given=given, noise=1).mean())
        assert best == pytest.approx(factor(a, s, t) * variance, rel=0.01)
        for offset in (0.1, -0.1, 0.1j, -0.1j):
            off = float(objective(Posterior(process, offset), process, x0, t=time, given=given, noise=1).mean())
            assert off == pytest.approx(best + factor(a, s, t) * 0.01, rel=0.03)


def test_half_a_sum_is_the_mean_up_to_the_number_of_entries() -> None:
    process, (x0, given) = OUVE(), gaussian(3)
    time = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    entries = MeanLoss(Variance())(Posterior(process), process, x0, t=time, given=given, noise=1)
    found = HalfSum(MeanLoss(Variance()))(Posterior(process), process, x0, t=time, given=given, noise=1)
    assert found.shape == (3, 1)
    assert found[:, 0].tolist() == pytest.approx((0.5 * entries.sum(dim=(1, 2, 3))).tolist(), rel=1e-6)


@pytest.mark.parametrize("distance", ["mse", "mae"])
def test_the_joint_loss_weighs_the_diffusion_and_the_predictor(distance: str) -> None:
    process, (x0, given) = OUVE(), gaussian(2)
    time = torch.tensor([0.2, 0.9], dtype=torch.float64)
    score = ScoreMatching(Variance())
    arguments: dict[str, Any] = {"t": time, "given": given, "noise": 1}
    alone = score(Posterior(process), process, x0, **arguments)
    joint = Regeneration(score, 0.3, distance)(Posterior(process), process, x0, **arguments)  # type: ignore[arg-type]
    apart = (x0 - END).abs() ** (2 if distance == "mse" else 1)
    assert torch.allclose(joint, 0.7 * alone + 0.3 * apart, rtol=1e-5)
    by_sample = Regeneration(HalfSum(score), 0.3, distance)(Posterior(process), process, x0, **arguments)  # type: ignore[arg-type]
    expected = 0.35 * alone.flatten(1).sum(1) + 0.3 * apart.flatten(1).mean(1)
    assert by_sample[:, 0].tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    with pytest.raises(ConfigError, match="share 2"):
        Regeneration(score, 2)


def test_the_bridge_s_loss_has_the_published_terms() -> None:
    codec = SpectrogramCodec()
    waves = 0.2 * torch.randn(2, 2, 127 * 128, generator=torch.Generator().manual_seed(0))
    clean, other = (codec.encode(wave)[:, None] for wave in waves)
    process, time = VEBridge(), torch.tensor([0.3, 1.0], dtype=torch.float64)

    def says(x: Tensor, t: LeafTime, given: Given) -> Prediction:
        return Prediction(other)

    def loss(l1: float, pesq: float) -> Tensor:
        objective = DataPrediction(l1_weight=l1, pesq_weight=pesq)
        out: Tensor = objective(says, process, clean, t=time, given=Given(y=clean), noise=1)
        return out[:, 0]

    plain = 0.5 * (clean - other).abs().square().mean(dim=(1, 2, 3))
    assert loss(0, 0).tolist() == pytest.approx(plain.tolist(), rel=1e-5)
    distance = 0.5 * (waves[0] - waves[1]).abs().mean(dim=1)
    assert (loss(1, 0) - plain).tolist() == pytest.approx(distance.tolist(), rel=1e-3)
    quality = PesqLoss()(waves[1], waves[0])
    assert (loss(0, 1) - plain).tolist() == pytest.approx(quality.tolist(), rel=1e-2)


def test_a_network_of_the_velocity_gives_the_clean_spectrogram() -> None:
    process, (x0, given) = FlowToEndPoint(0.1, 0.5), gaussian(3)
    time = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    x, z = process.perturb(x0, time, given=given, noise=2)

    class Velocity(nn.Module):
        def forward(self, inputs: Tensor, t: Tensor) -> Tensor:
            out: Tensor = given.y - x0 + 0.4 * z
            return out

    model = SpectrogramDenoiser(Velocity(), process, predicts="velocity")
    assert torch.allclose(model(x, time, given).x0, x0, atol=1e-5)


# ---------------------------------------------------------------------- consistency


class Constant(nn.Module):
    """Says one complex number."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def forward(self, inputs: Tensor, t: Tensor) -> Tensor:
        return torch.full_like(inputs[:, :1], self.value)


def test_a_consistency_model_is_the_identity_at_the_beginning_whatever_its_network() -> None:
    x, given = gaussian(2)
    model = ConsistencyModel(Constant(7.0), VEBridge(), width=0.2)
    assert torch.equal(model(x, 0.0, given).x0, x)
    half = model(x, 0.2, given).x0  # t = w: skip 1/2, scale 1/sqrt(2)
    assert torch.allclose(half, 0.5 * x + 7 * 0.5**0.5, atol=1e-5)


@pytest.mark.parametrize("process", [VEBridge(), OUVE(), FlowToEndPoint()])
def test_the_true_consistency_function_loses_nothing(process: GaussianProcess) -> None:
    """Of data that is one point, the function is that point; a constant off it costs at the tied end alone."""
    _, given = gaussian(4)
    x0 = torch.full_like(given.y, MEAN)
    times = torch.tensor([1.0, 0.5, 0.1, 0.05], dtype=torch.float64)

    def off(by: float) -> Denoiser:
        def function(x: Tensor, t: LeafTime, given: Given) -> Prediction:
            inside = torch.as_tensor(t).reshape(-1, 1, 1, 1) > 0
            return Prediction(torch.where(inside, x0 + by, x))

        return function

    objective = Consistency(steps=10)
    loss = [objective(off(by), process, x0, t=times, given=given, noise=3).mean(dim=(1, 2, 3)) for by in (0.0, 0.2)]
    assert loss[0].max() < 1e-12
    assert loss[1].tolist() == pytest.approx([0, 0, 0.04, 0.04], abs=1e-6)


def test_neighbours_lie_on_one_trajectory_of_the_teacher(tmp_path: Path) -> None:
    """An untrained refiner says y, so the earlier state is the step of the flow towards y: the noise in both is the same."""
    process = VEBridge(regulariser=1e-8)
    teacher = SpectrogramDenoiser(DualPathRefiner(32, 2, (4, 4, 4), hidden=4, depth=1), process, predicts="x0")
    hub.save(tmp_path / "teacher", SpeechEnhancer(teacher, codec=SpectrogramCodec()))
    x0, given = gaussian(2)
    seen: list[tuple[Tensor, Tensor]] = []

    def student(x: Tensor, t: LeafTime, given: Given) -> Prediction:
        seen.append((x, torch.as_tensor(t)))
        return Prediction(x)

    times = torch.tensor([0.8, 0.4], dtype=torch.float64)
    Consistency(steps=5, teacher=str(tmp_path / "teacher"))(student, process, x0, t=times, given=given, noise=3)
    (x, t), (earlier, u) = seen
    assert u.tolist() == pytest.approx([0.6, 0.2])
    noise = [process.eps(state, given.y, time, given=given) for state, time in ((x, t), (earlier, u))]
    assert torch.allclose(noise[0], noise[1], atol=1e-4)
    assert noise[0].abs().mean() > 0.5
    other = Consistency(teacher=str(tmp_path / "teacher"))
    with pytest.raises(ConfigError, match="expected the student's, VEBridge"):
        other(student, VEBridge(k=3.0), x0, t=times, given=given, noise=3)


# ---------------------------------------------------------------------- times


def test_the_start_gets_its_share_and_the_rest_the_density() -> None:
    density = OftenAtStart(0.4, Uniform(0.1))
    times = density.sample(20000, torch.Generator().manual_seed(0), VEBridge())
    rest = times[times < 1]
    assert float((times == 1).double().mean()) == pytest.approx(0.4, abs=0.01)
    assert float(rest.mean()) == pytest.approx(0.55, abs=0.01)
    assert float(rest.std()) == pytest.approx(0.9 / 12**0.5, abs=0.01)
    with pytest.raises(InputError, match="share is 1"):
        OftenAtStart(1)
