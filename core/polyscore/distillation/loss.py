r"""Score distillation: the gradient of a frozen diffusion model for anything that renders a view.

With a view z, a noise level t and the state x at that level (`polyscore.distillation.paths`),

    grad = w(t) (eps_a - eps_b),        loss = |z - sg[z - grad]|^2 / 2,        dloss / dz = grad,

one rule for the whole family: which eps stands where, at which t, with which w is the choice (`polyscore.distillation.rules`).
In clean views, with x0_k = (x - s eps_k) / a, the same gradient is w (a / s)(x0_b - x0_a): SDS pulls z = x0_b towards x0_a.

The view may be of any kind (image, latent, spectrogram, cloud), the model any denoiser of the core.
Poole et al. 2022 (DreamFusion, arXiv 2209.14988).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Denoiser
from polyscore.distillation import weights
from polyscore.distillation.paths import Forward, Path
from polyscore.distillation.point import Point
from polyscore.distillation.terms import Drawn, Term
from polyscore.distillation.times import TimeSchedule, Window
from polyscore.distillation.weights import Weight
from polyscore.errors import InputError
from polyscore.noise import NoiseLike, as_noise
from polyscore.processes import GaussianProcess

__all__ = ["Distilled", "ScoreDistillation"]


@dataclass(frozen=True)
class Distilled:
    """One step of a rule.

    Attributes:
        loss: (B,), |grad|^2 / 2 in value, grad as its gradient in the view; the originals take the mean over B.
        gradient: dloss/dz, shaped like the view.
        x0: the clean view that eps_a means: what the model would like to see there.
        t: times (B,).
    """

    loss: Tensor
    gradient: Tensor
    x0: Tensor
    t: Tensor

    @property
    def norm(self) -> Tensor:
        """|grad| a sample, (B,)."""
        size: Tensor = torch.linalg.vector_norm(self.gradient.flatten(1), dim=1)
        return size


@dataclass(frozen=True)
class ScoreDistillation:
    """A rule: grad = w (eps_a - eps_b) at times of a schedule.

    Args:
        eps_a: what pulls (usually the guided model).
        eps_b: what it is compared with (the drawn noise, another model, another time).
        weight: w of the coefficients.
        times: t by the progress of the run.
        path: how the view is noised.
        clip: largest norm of the gradient at a pixel (over the channel axis); None leaves it.
    """

    eps_a: Term
    eps_b: Term = Drawn
    weight: Weight = weights.variance
    times: TimeSchedule = field(default_factory=Window)
    path: Path = field(default_factory=Forward)
    clip: float | None = None

    def __call__(
        self,
        z: Tensor,
        prompts: Mapping[str, Any],
        *,
        denoiser: Denoiser,
        process: GaussianProcess,
        noise: NoiseLike = 0,
        generator: torch.Generator | None = None,
        progress: float = 0.0,
        t: Tensor | None = None,
    ) -> Distilled:
        """The loss of views z (B, ...), which carry the gradient.

        Args:
            z: views, scaled as the model's data.
            prompts: name to what the model is given under it (a `Given`, or its `cond`).
            denoiser, process: the frozen model.
            noise: source of n; a `Recorded` or the same seed keeps n fixed for a run.
            generator: source of the uniform numbers behind t; needed unless t is given.
            progress: share of the run that is over, 0 to 1.
            t: times (B,) instead of the schedule's.

        Raises:
            InputError: neither t nor a generator, progress outside [0, 1], t outside (0, 1], views that are not finite.
        """
        if not 0 <= progress <= 1:
            raise InputError(f"distillation: progress is {progress}; expected the share of the run that is over, 0 to 1")
        view = z.detach()
        if not bool(torch.isfinite(view).all()):
            raise InputError("distillation: the view holds numbers that are not finite; check the renderer and its learning rate")
        u = torch.zeros(2, len(z), dtype=torch.float64)
        if generator is not None:
            u = torch.rand(2, len(z), generator=generator, dtype=torch.float64)
        elif t is None:
            raise InputError("distillation: give a generator for the times, or the times themselves")
        times = self.times(u[0], progress) if t is None else torch.as_tensor(t, dtype=torch.float64).expand(len(z))
        if not bool(((times > 0) & (times <= 1)).all()):
            raise InputError(f"distillation: times run from {float(times.min())} to {float(times.max())}; expected (0, 1]")
        with torch.no_grad():
            drawn = process.law(as_noise(noise), view)
            point = self.path(Point(view, view, times, drawn, denoiser, process, prompts, progress, u[1]))
            eps = self.eps_a(point)
            gradient = self.weight(point.coefs()) * (eps - self.eps_b(point))
            if self.clip is not None:
                size = torch.linalg.vector_norm(gradient, dim=1, keepdim=True).clamp_min(1e-12)
                gradient = gradient * (self.clip / size).clamp(max=1)
            clean = point.clean(eps)
        loss = 0.5 * (z - (view - gradient)).square().flatten(1).sum(1)
        return Distilled(loss, gradient, clean, times)
