"""Walkers, the chain that EMDM trains on, its sampler, and a fit of two steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore.cli.main import main
from polyscore.denoisers import Precondition, Prediction
from polyscore.errors import InputError
from polyscore.evaluation import frechet
from polyscore.hub import load
from polyscore.processes import VP
from polyscore.robots.motion.metrics import features, gait_shares
from polyscore.robots.motion.model import Latent, MotionModel, few_times
from polyscore.robots.motion.networks import MotionCritic
from polyscore.robots.motion.training import EMDMTraining, Geometry
from polyscore.robots.motion.walkers import GAITS, Walkers, feet, gait_of, slide
from polyscore.robots.networks import ActionDiT
from polyscore.state import Given


def model(latent: int = 3) -> MotionModel:
    torch.manual_seed(0)
    return MotionModel(
        Precondition(ActionDiT(latent, 6, window=16, observed=1, width=16, layers=1), VP(), predicts="x0", time="t"), 4
    )


def test_walkers_stand_on_the_ground_do_not_slide_and_are_told_apart() -> None:
    data = Walkers(800, 16, seed=1)
    assert torch.equal(data.motions, Walkers(800, 16, seed=1).motions)
    low = feet(data.motions)[..., 1].amin(-1)
    torch.testing.assert_close(low, torch.zeros_like(low), atol=1e-5, rtol=0)
    assert float(slide(data.motions).max()) < 1e-10
    assert float((gait_of(data.motions) == data.gaits).float().mean()) > 0.98
    assert gait_shares(data.motions) == pytest.approx(dict.fromkeys(GAITS, 0.25), abs=0.01)
    way = data.motions[:, -1, 0] - data.motions[:, 0, 0]
    assert float(way[data.gaits == 0].mean()) == pytest.approx(-float(way[data.gaits == 1].mean()), rel=0.1)


def test_feet_of_a_straight_and_a_bent_leg() -> None:
    motion = torch.tensor([[[2.0, 1.0, 0.0, torch.pi / 2, 0.0, torch.pi / 2]]])
    torch.testing.assert_close(feet(motion)[0, 0], torch.tensor([[2.0, 0.0], [2.5, 0.5]]))


def test_the_frechet_distance_of_normals() -> None:
    """Of N(0, 1) and N(m, s^2) it is |m|^2 + (s - 1)^2 a feature."""
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(40_000, 3, generator=generator) for _ in range(2))
    assert frechet(one, 2 * other + 1) == pytest.approx(3 * (1 + 1), rel=0.03)
    assert frechet(one, other) < 1e-3


def test_the_chain_has_the_law_of_the_process() -> None:
    """x_u and x_t of the chain are a x0 + s eps at their times, and q(x_u | x_t, x0) maps x_t back to the law of x_u."""
    trainer = EMDMTraining(model(), MotionCritic(6, width=8), geometry=None)
    x0 = torch.full((40_000, 1, 1), 0.7)
    x_u, x_t, u, t, noise = trainer.steps_of(x0, "test")
    process: Any = trainer.model.denoiser.process
    back = process.transition(x_t, Prediction(x0), t, u, noise=noise)
    for level, later in zip(few_times(4)[1:], few_times(4)[:-1], strict=True):
        here = u == level
        assert bool((t[here] == later).all()) and 9000 < int(here.sum()) < 11_000
        for x, time in ((x_u, level), (x_t, later), (back, level)):
            a, _, s = (float(c) for c in process.coefs_of(time))
            assert float(x[here].mean()) == pytest.approx(0.7 * a, abs=0.04)
            assert float(x[here].std()) == pytest.approx(s, abs=0.03)
    first = u == 0
    assert torch.equal(x_u[first], x0[first])
    torch.testing.assert_close(back[first], x0[first])
    # x_u and x_t are of one chain: given x0, their covariance is a_t / a_u s_u^2
    here = u == 0.5
    (a, _, _), (au, _, su) = process.coefs_of(0.75), process.coefs_of(0.5)
    covariance = torch.cov(torch.stack([x_u[here].flatten(), x_t[here].flatten()]))[0, 1]
    assert float(covariance) == pytest.approx(float(a / au * su**2), abs=0.02)


def test_a_latent_is_drawn_at_every_call() -> None:
    """A network that gives back its latent: x0hat is z, so the result is the last z, and draws depend on the seed alone."""

    class Echo(torch.nn.Module):
        state, action, window = 6, 6, 16

        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Tensor] = []

        def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
            self.seen.append(given.cond["state"])
            out: Tensor = given.cond["state"].expand(-1, 16, -1)
            return out

    echo = Echo()
    own = MotionModel(Precondition(echo, VP(), predicts="x0", time="t"), 4)
    own.fit_scale(torch.randn(50, 16, 6) * 2 + 1)
    drawn = own.draw(3, seed=5)
    assert len(echo.seen) == 4
    assert len({z[0, 0, 0].item() for z in echo.seen}) == 4
    torch.testing.assert_close(own.encode(drawn), echo.seen[-1].expand(-1, 16, -1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own.draw(5, seed=5)[:3], drawn)
    given = Given(cond={"text": torch.ones(2)})
    assert set(Latent(own.denoiser, 6, torch.randn_like)(torch.zeros(2, 16, 6), 0.5, given).x0.shape) == {2, 16, 6}


def test_geometry_of_true_motions_is_nothing() -> None:
    real = Walkers(8, 16).motions
    torch.testing.assert_close(Geometry()(real, real), torch.zeros(8), atol=1e-9, rtol=0)
    moved = real.clone()
    moved[..., 0] += 0.1  # places alone
    torch.testing.assert_close(Geometry()(moved, real), torch.full((8,), 0.005), atol=1e-6, rtol=0)


def test_the_critic_sees_both_motions_and_the_time() -> None:
    torch.manual_seed(0)
    critic = MotionCritic(6, width=8)
    one, other, time = torch.randn(2, 16, 6), torch.randn(2, 16, 6), torch.tensor([0.25, 0.5])
    judged = critic(one, other, time)
    for changed in (critic(one + 0.5, other, time), critic(one, other + 0.5, time), critic(one, other, time + 0.25)):
        assert bool(((changed - judged).abs() > 1e-6).all())
    with pytest.raises(InputError, match="expected twice"):
        critic(one, other[:, :8], time)


def test_the_configuration_trains_and_its_model_draws(tmp_path: Path) -> None:
    sizes = ["--data.init_args.count", "16", "--data.init_args.batch_size", "8", "--trainer.max_epochs", "1"]
    words = ["fit", "--config", "robots/emdm_walkers", "--out", str(tmp_path / "run"), "--trainer.accelerator", "cpu", "--quiet"]
    assert main([*words, *sizes]) == 0
    back = load(tmp_path / "run" / "model")
    assert isinstance(back, MotionModel)
    torch.testing.assert_close(back.shift, Walkers(16, 16).motions.mean((0, 1)))
    drawn = back.draw(4, seed=1)
    assert drawn.shape == (4, 16, 6) and bool(torch.isfinite(features(drawn)).all())
