r"""Training of EMDM: generator and critic on the steps of a short chain.

With times 0 = t_0 < t_1 < ... < t_n = 1 and a motion x0, draw i, x_u ~ q(x_{t_{i-1}} | x0) and x_t ~ q(x_{t_i} | x_u). The
generator's x0hat = G(x_t, t, z) gives x'_u ~ q(x_u | x_t, x0hat), and

    critic      softplus(-D(x_u, x_t, t)) + softplus(D(x'_u, x_t, t)) + gamma / 2 |grad D(x_u)|^2
    generator   softplus(-D(x'_u, x_t, t)) + r (|x0 - x0hat|^2 + geometric losses of the decoded motion)

The geometric losses are those of the field: velocities |dx0 - dx0hat|^2, places of the feet, and the slide of the standing foot.

Source: Zhou et al. 2023, arXiv:2312.02256; Xiao et al. 2022, arXiv:2112.07804; Mescheder et al. 2018, arXiv:1801.04406 (the
penalty); Tevet et al. 2022, arXiv:2209.14916 (the geometric losses).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from polyscore.denoisers import Prediction
from polyscore.errors import InputError, PolyscoreError
from polyscore.robots.motion.model import MotionModel, few_times
from polyscore.robots.motion.networks import MotionCritic
from polyscore.robots.motion.walkers import Walkers, feet, slide
from polyscore.state import Given
from polyscore.training.draws import SampleNoise, generator_of
from polyscore.training.optimiser import AdamW

__all__ = ["EMDMTraining", "Geometry", "WalkerData"]


@dataclass(frozen=True)
class Geometry:
    """Weights of the geometric losses of walkers.

    Attributes:
        velocity: of the differences of frames.
        feet: of the places of the feet.
        slide: of the slide of the standing foot.
    """

    velocity: float = 1.0
    feet: float = 1.0
    slide: float = 1.0

    def __call__(self, made: Tensor, real: Tensor) -> Tensor:
        """The loss of every motion, (B,), from decoded motions (B, T, 6)."""
        velocity = (made.diff(dim=1) - real.diff(dim=1)).square().mean((1, 2))
        places = (feet(made) - feet(real)).square().mean((1, 2, 3))
        return self.velocity * velocity + self.feet * places + self.slide * slide(made).mean(1)


class EMDMTraining(LightningModule):
    """Trains a `MotionModel` against a critic; the model alone is exported.

    Args:
        model: generator and number of steps.
        critic: D.
        reconstruction: r.
        penalty: gamma.
        geometry: the geometric losses, None for none.
        optimiser: of the generator.
        critic_optimiser: of the critic.
        seed: of all draws.

    Raises:
        PolyscoreError: a loss was not finite.
    """

    def __init__(
        self,
        model: MotionModel,
        critic: MotionCritic,
        *,
        reconstruction: float = 0.3,
        penalty: float = 0.05,
        geometry: Geometry | None = Geometry(),
        optimiser: AdamW = AdamW(3e-4, (0.5, 0.9)),  # noqa: B008
        critic_optimiser: AdamW = AdamW(3e-4, (0.5, 0.9)),  # noqa: B008
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.critic, self.geometry = model, critic, geometry
        self.reconstruction, self.penalty, self.seed = reconstruction, penalty, seed
        self.optimiser, self.critic_optimiser = optimiser, critic_optimiser
        self.times = few_times(model.steps)

    def setup(self, stage: str) -> None:
        """The scale of the motions, from the data (a resumed run then gets that of its checkpoint)."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and hasattr(data, "walkers"):
            self.model.fit_scale(data.walkers.motions)

    def steps_of(self, x0: Tensor, *key: int | str) -> tuple[Tensor, Tensor, Tensor, Tensor, Any]:
        """x_u, x_t, u, t of a chain of x0 (B, T, F), and the source of further noise; draws named by `key`."""
        process: Any = self.model.denoiser.process
        index = torch.randint(0, self.model.steps, (len(x0),), generator=generator_of(self.seed, "times", *key))
        grid = torch.tensor(self.times, dtype=torch.float64)
        t, u = grid[index], grid[index + 1]
        noise = SampleNoise((self.seed, "noise", *key), range(len(x0)))
        x_u = process.perturb(x0, u, noise=noise).x
        (a, _, s), (au, _, su) = process.coefs_of(t), process.coefs_of(u)
        ratio = a / au
        fresh = torch.sqrt((s**2 - ratio**2 * su**2).clamp(min=0))
        shape = (-1, *[1] * (x0.ndim - 1))
        x_t = ratio.to(x0).view(shape) * x_u + fresh.to(x0).view(shape) * noise(x0)
        return x_u, x_t, u, t, noise

    def generate(self, x_t: Tensor, t: Tensor, u: Tensor, noise: Any) -> tuple[Tensor, Tensor]:
        """x0hat and x'_u."""
        process: Any = self.model.denoiser.process
        network: Any = self.model.denoiser.network
        z = noise(x_t.new_empty(len(x_t), 1, network.state))
        x0 = self.model.denoiser(x_t, t, Given(cond={"state": z})).x0
        return x0, process.transition(x_t, Prediction(x0), t, u, noise=noise)

    def training_step(self, batch: Any, index: int) -> None:
        """One step of the critic, one of the generator."""
        optimisers: Any = self.optimizers()
        x0 = self.model.encode(batch)
        x_u, x_t, u, t, noise = self.steps_of(x0, "train", self.current_epoch, index)
        made, made_u = self.generate(x_t, t, u, noise)
        real = x_u.detach().requires_grad_()
        judged = self.critic(real, x_t, t)
        (slope,) = torch.autograd.grad(judged.sum(), real, create_graph=True)
        critic = (F.softplus(-judged) + F.softplus(self.critic(made_u.detach(), x_t, t))).mean()
        critic = critic + self.penalty / 2 * slope.square().sum((1, 2)).mean()
        self._step(optimisers[1], critic, self.critic)
        fooled = F.softplus(-self.critic(made_u, x_t, t)).mean()
        error = (made - x0).square().mean()
        if self.geometry is not None:
            error = error + self.geometry(self.model.decode(made), batch).mean()
        loss = fooled + self.reconstruction * error
        self._step(optimisers[0], loss, self.model)
        if not bool(torch.isfinite(loss + critic)):
            raise PolyscoreError(f"EMDM: the loss was not a finite number in epoch {self.current_epoch + 1}; lower the rates")
        self.log_dict({"train/loss": loss, "train/critic": critic, "train/error": error}, prog_bar=True, batch_size=len(x0))

    def _step(self, optimiser: Any, loss: Tensor, part: nn.Module) -> None:
        optimiser.zero_grad()
        self.manual_backward(loss)
        torch.nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        optimiser.step()
        schedules: Any = self.lr_schedulers()
        schedules[0 if part is self.model else 1].step()

    def validation_step(self, batch: Any, index: int) -> None:
        """The error of x0hat, with the same draws every time."""
        x0 = self.model.encode(batch)
        _, x_t, u, t, noise = self.steps_of(x0, "validation", index)
        self.log("val/loss", (self.generate(x_t, t, u, noise)[0] - x0).square().mean(), batch_size=len(x0))

    def configure_optimizers(self) -> Any:
        steps = int(self.trainer.estimated_stepping_batches)
        built = [self.optimiser.build(self.model.parameters()), self.critic_optimiser.build(self.critic.parameters())]
        settings = (self.optimiser, self.critic_optimiser)
        return built, [setting.schedule(own, steps) for setting, own in zip(settings, built, strict=True)]


class WalkerData(LightningDataModule):
    """Batches of planar walkers (B, T, 6).

    Args:
        count: motions to train with; an eighth as many validate.
        frames: T.
        batch_size: of both.
        seed: of the motions and their order.

    Raises:
        InputError: sizes below 1.
    """

    def __init__(self, count: int = 8192, frames: int = 16, *, batch_size: int = 64, seed: int = 0) -> None:
        super().__init__()
        if batch_size < 1:
            raise InputError(f"WalkerData: batch_size {batch_size}, expected 1 or more")
        self.count, self.frames, self.batch_size, self.seed = count, frames, batch_size, seed
        self.walkers = Walkers(count, frames, seed=seed)

    def train_dataloader(self) -> DataLoader[Any]:
        return self.walkers.loader(self.batch_size, seed=self.seed)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Walkers(max(self.count // 8, 1), self.frames, seed=self.seed + 1), self.batch_size)
