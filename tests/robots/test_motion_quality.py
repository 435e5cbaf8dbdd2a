"""EMDM in four calls against a plain diffusion in four calls, both after a minute of training on planar walkers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from polyscore.denoisers import Precondition
from polyscore.evaluation import frechet
from polyscore.processes import VP
from polyscore.robots.motion import EMDMTraining, MotionCritic, MotionModel, WalkerData, Walkers
from polyscore.robots.motion.metrics import features, gait_shares
from polyscore.robots.motion.model import few_times
from polyscore.robots.networks import ActionDiT
from polyscore.samplers import DDIM, sample
from polyscore.state import Given
from polyscore.training.optimiser import AdamW

pytestmark = pytest.mark.slow


def network() -> ActionDiT:
    torch.manual_seed(1)
    return ActionDiT(4, 6, window=16, observed=1, width=48, layers=3, heads=4)


def plain(motions: torch.Tensor, steps: int) -> torch.Tensor:
    """500 motions by DDIM in four calls of a diffusion of the same network, trained with the same batch size."""
    model = MotionModel(Precondition(network(), VP(), predicts="eps", time="t"), 4)
    model.fit_scale(motions)
    denoiser: Any = model.denoiser
    optimiser = torch.optim.Adam(denoiser.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator, data = torch.Generator().manual_seed(0), model.encode(motions)
    given = Given(cond={"state": torch.zeros(64, 1, 4)})
    for step in range(steps):
        x0 = data[torch.randint(0, len(data), (64,), generator=generator)]
        t = 1e-3 + (1 - 1e-3) * torch.rand(64, generator=generator, dtype=torch.float64)
        noised = denoiser.process.perturb(x0, t, noise=step)
        loss = (denoiser.raw(noised.x, t, given) - noised.eps).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        given = Given(cond={"state": torch.zeros(500, 1, 4)})
        like = torch.zeros(500, 16, 6)
        x: Any = sample(DDIM(), denoiser.eval(), denoiser.process, like, steps=4, grid=few_times(4), given=given, noise=3)
    return model.decode(x)


def test_four_calls_are_nearer_to_the_data_than_those_of_a_diffusion() -> None:
    """Frechet distances of features that tell gaits and steadiness; every gait is drawn. 6.6 against 26.7 when it was written.

    Ancestral steps of the same diffusion were at 1.1: eight epochs do not show EMDM's worth, only that its chain works.
    """
    motions = Walkers(4096, 16).motions
    model = MotionModel(Precondition(network(), VP(), predicts="x0", time="t"), 4)
    rate = AdamW(5e-4, (0.5, 0.9), decay="cosine", floor=0.1)
    training = EMDMTraining(model, MotionCritic(6), optimiser=rate, critic_optimiser=rate)
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", max_epochs=8, enable_model_summary=False, limit_val_batches=0, **options)
    trainer.fit(training, datamodule=WalkerData(4096, 16))
    drawn, real = model.eval().draw(500, seed=3), features(Walkers(2000, 16, seed=9).motions)
    shares = gait_shares(drawn)
    assert min(shares.values()) > 0.02, shares
    own, other = frechet(features(drawn), real), frechet(features(plain(motions, 900)), real)
    assert own < other, (own, other)
