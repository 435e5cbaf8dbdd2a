"""StoRM: a predictor and, on top of its estimate, a diffusion model that restores what the predictor took away.

With Y the noisy spectrogram, the predictor gives D = predictor(Y). The process runs between the clean x0 and D,

    x_t = a x0 + b D + s z,        sampling starts at D + s z,

and the network sees x_t with ``condition`` "noisy" (Y), "post_denoiser" (D) or "both" (Y, then D). Skipping the diffusion
leaves D.

The variance-preserving process of the original, `OUVPWithoutRoot`, uses an expression for the variance as the standard
deviation, in training too. A network trained with it has the score of the process with exactly that s, so this is the
process to sample; `original_ouvp_steps` are the increments of the original sampler, which kept the rates of the intended one.

Source: Lemercier, Richter, Welker, Gerkmann 2023, arXiv:2212.11851.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.denoisers import Prediction
from polyscore.errors import ConfigError, InputError
from polyscore.processes import OUVP, GaussianProcess
from polyscore.processes.gaussian import Coefs
from polyscore.samplers.reverse import Increments
from polyscore.state import NONE, Given, LeafTime

__all__ = ["OUVPWithoutRoot", "SpectrogramPredictor", "StochasticRegeneration", "original_ouvp_steps"]


@dataclass(frozen=True)
class OUVPWithoutRoot(OUVP):
    """OUVP with s = (1 - e^(-k B)) / k, the square of what `OUVP` has: StoRM's process as its networks are trained on it."""

    def coefs(self, t: Tensor) -> Coefs:
        a, b, s = super().coefs(t)
        return Coefs(a, b, s.square())


def original_ouvp_steps(process: GaussianProcess, times: Sequence[float]) -> list[Increments]:
    """Increments of StoRM's sampler for its OUVP: f = -k beta / (2 N), h = -f, G^2 = beta / N, whatever the grid.

    A `polyscore.samplers.reverse.Discretisation`.

    Raises:
        InputError: the process is no OUVP.
    """
    if not isinstance(process, OUVP):
        raise InputError(f"original_ouvp_steps: the process is {type(process).__name__}; expected OUVP")
    n = len(times) - 1
    betas = [process.beta_min + t * (process.beta_max - process.beta_min) for t in times[:-1]]
    return [Increments(-process.stiffness * beta / (2 * n), process.stiffness * beta / (2 * n), beta / n) for beta in betas]


class SpectrogramPredictor(nn.Module):
    """A network (B, 1, F, T) -> (B, 1, F, T) without time as a predictor of spectrograms (..., F, T)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, spec: Tensor) -> Tensor:
        """Predicted clean spectrogram of the shape of ``spec`` (..., F, T), complex."""
        out: Tensor = self.network(spec.reshape(-1, 1, *spec.shape[-2:]))
        return out.reshape(spec.shape)


class StochasticRegeneration(nn.Module):
    """Denoiser of complex spectrograms (B, 1, F, T) whose process ends at a predictor's estimate (module docstring).

    Args:
        predictor: maps noisy compressed spectrograms (..., F, T) to estimates of that shape.
        denoiser: of the state, given y = the estimate and the conditioning.
        condition: what its network sees beside the state: "noisy", "post_denoiser" or "both".

    Raises:
        ConfigError: an unknown condition.
    """

    def __init__(
        self,
        predictor: nn.Module,
        denoiser: SpectrogramDenoiser,
        *,
        condition: Literal["noisy", "post_denoiser", "both"] = "both",
    ) -> None:
        super().__init__()
        if condition not in ("noisy", "post_denoiser", "both"):
            raise ConfigError(f"StochasticRegeneration: condition is {condition!r}; expected noisy, post_denoiser or both")
        # In this order: the moving average of published checkpoints lists the predictor's parameters first.
        self.predictor = predictor
        self.denoiser = denoiser
        self.condition = condition

    @property
    def process(self) -> GaussianProcess:
        """The denoiser's process."""
        return self.denoiser.process

    def given(self, noisy: Tensor) -> Given:
        """One call of the predictor: end point and conditioning for the noisy spectrogram (B, 1, F, T)."""
        estimate: Tensor = self.predictor(noisy)
        seen = {"noisy": (noisy,), "post_denoiser": (estimate,), "both": (noisy, estimate)}
        return Given(y=estimate, cond=seen[self.condition])

    def forward(self, x: Tensor, t: LeafTime, given: Given = NONE) -> Prediction:
        """Predict x0 (B, 1, F, T); ``given`` is what the method of that name returned."""
        prediction: Prediction = self.denoiser(x, t, given)
        return prediction

    def score(self, x: Tensor, t: LeafTime, given: Given = NONE) -> Tensor:
        """Score of the marginal at time t."""
        return self.denoiser.score(x, t, given)
