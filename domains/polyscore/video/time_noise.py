r"""First frames that are noised in training, against clips that hardly move.

An image-to-video model that sees a clean first frame at every noise level learns to copy it at high levels, where it
knows nothing else, and its clips hardly move (conditional image leakage). The cure is to noise the frame most where the clip is
noisy: with z standard normal,

    picture + beta eps,    beta = beta_m sigmoid(mu(t) + z),    mu(t) = 2 t^a - 1,

and to tell the network beta. Sources: Zhao et al. 2024, arXiv 2406.15735 (a = 5; beta_m = 15 for a model with levels up to 700).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.denoisers import Denoiser, Prediction
from polyscore.errors import InputError
from polyscore.noise import NoiseLike
from polyscore.processes import GaussianProcess
from polyscore.state import NONE, Given, LeafTime, State, Time
from polyscore.training.draws import generator_of
from polyscore.training.objectives import FlowMatching, Objective

__all__ = ["TimeNoise", "TimeNoised", "noised_picture"]


def noised_picture(picture: Tensor, level: Tensor, eps: Tensor) -> Tensor:
    """The picture (B, C + 1, H, W) with `level` (B,) times eps (B, C, H, W) added to its colours where its mask is 1."""
    colours, mask = picture[:, :-1], picture[:, -1:]
    return torch.cat([colours + level.view(-1, 1, 1, 1).to(picture) * eps * mask, mask], 1)


def usual_level(t: Tensor, most: float, power: float) -> Tensor:
    """The median of beta at times t."""
    return most * torch.sigmoid(2 * t**power - 1)


class TimeNoised(nn.Module):
    """A denoiser whose picture is noised as in training, where its level is not told already: always by the median level.

    The noise of a picture is named by its shape, so it is the same in every call of a run.

    Args:
        denoiser: a `Precondition` trained with `TimeNoise`.
        most, power: those of `TimeNoise`.
    """

    def __init__(self, denoiser: nn.Module, *, most: float = 2.0, power: float = 5.0) -> None:
        super().__init__()
        self.denoiser, self.most, self.power = denoiser, most, power

    @property
    def process(self) -> Any:
        """That of the denoiser."""
        return self.denoiser.process

    def forward(self, x: Tensor, t: LeafTime, given: Given = NONE) -> Prediction:
        """What the denoiser says about clips x (B, C, T, H, W)."""
        cond = given.cond
        if isinstance(cond, dict) and "picture" in cond and "level" not in cond:
            time = torch.as_tensor(t, dtype=torch.float64).expand(len(x))
            level = usual_level(time, self.most, self.power).to(x)
            shape = tuple(cond["picture"][:, :-1].shape)
            eps = torch.randn(shape, generator=generator_of("TimeNoised", *shape)).to(x)
            given = given._replace(cond={**cond, "picture": noised_picture(cond["picture"], level, eps), "level": level})
        return self.denoiser(x, t, given)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class TimeNoise(Objective):
    """`objective` with a first frame that is noisier at later times; the network is told the level as the cue "level".

    The draws are named by the times, which no two samples share.

    Args:
        objective: the loss.
        most: beta_m, in units of the picture's own range [-1, 1].
        power: a of the mean 2 t^a - 1.

    Raises:
        InputError: a batch without "picture" in its condition, or times that are not one a sample.
    """

    objective: Objective = FlowMatching()
    most: float = 2.0
    power: float = 5.0

    def scale(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return self.objective.scale(process, t)

    def level(self, t: Tensor, z: Tensor) -> Tensor:
        """beta at times t for standard normal z, both (B,)."""
        return self.most * torch.sigmoid(2 * t**self.power - 1 + z)

    def __call__(self, denoiser: Denoiser, process: Any, x0: State, *, t: Time, given: Given = NONE, noise: NoiseLike = 0) -> Any:
        """The loss of every entry of clips x0 (B, C, T, H, W) at times (B,)."""
        if not isinstance(given.cond, dict) or "picture" not in given.cond:
            raise InputError("TimeNoise: the batch tells no picture; expected cond with 'picture' (B, C + 1, H, W)")
        if not isinstance(t, Tensor) or t.ndim != 1:
            raise InputError(f"TimeNoise: expected one time a sample, found {type(t).__name__}")
        picture = given.cond["picture"]
        generator = generator_of("TimeNoise", *t.tolist())
        level = self.level(t, torch.randn(len(t), generator=generator, dtype=torch.float64))
        eps = torch.randn(picture[:, :-1].shape, generator=generator).to(picture)
        cond = {**given.cond, "picture": noised_picture(picture, level, eps), "level": level.to(picture)}
        return self.objective(denoiser, process, x0, t=t, given=given._replace(cond=cond), noise=noise)
