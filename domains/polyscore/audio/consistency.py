r"""Consistency models on spectrograms: one call from any time of a process to its beginning.

A consistency function f is constant along every trajectory of the probability flow, f(x_t, t) = x_0, and is the identity at t = 0
by construction:

    f(x, t) = c_skip x + c_out F(cat[x, cond], t),    c_skip = w^2 / (t^2 + w^2),    c_out = t / sqrt(t^2 + w^2),

the scalings of EDM with the time in the place of the noise level, so that they are finite on processes which end at a point, too.
One call from t = 1 enhances; more calls take turns with noise (`sampler "sde"`).

Sources: Song, Dhariwal, Chen, Sutskever 2023, arXiv 2303.01469; for speech, Lay, Lemercier, Richter, Gerkmann 2024,
arXiv 2309.09677, and Nishigori, Saito, Murata, Hirano, Takahashi, Mitsufuji 2025, arXiv 2507.11925.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscore.audio.denoiser import spectrogram_inputs
from polyscore.denoisers import Prediction
from polyscore.errors import ConfigError
from polyscore.processes import GaussianProcess, expand
from polyscore.state import NONE, Given, LeafTime

__all__ = ["ConsistencyModel"]


class ConsistencyModel(nn.Module):
    """A denoiser of complex spectrograms (B, 1, F, T) whose prediction is the end of the trajectory (module docstring).

    Args:
        network: of the state and the conditioning, such as `NCSNpp`, and the time (B,).
        process: the forward process.
        width: w, the time at which state and network count alike.

    Raises:
        ConfigError: a width that is not positive.
    """

    def __init__(self, network: nn.Module, process: GaussianProcess, *, width: float = 0.1) -> None:
        super().__init__()
        if width <= 0:
            raise ConfigError(f"ConsistencyModel: width is {width}; expected a positive number")
        self.network, self.process, self.width = network, process, width

    def given(self, noisy: Tensor) -> Given:
        """End point and conditioning for the noisy spectrogram (B, 1, F, T): itself, both times."""
        return Given(y=noisy, cond=noisy)

    def forward(self, x: Tensor, t: LeafTime, given: Given = NONE) -> Prediction:
        """f(x, t), for a time that is a number or one per sample."""
        time = torch.as_tensor(t, dtype=torch.float64).expand(x.shape[0])
        square = time.square() + self.width**2
        skip, scale = (expand(c, time, x).to(x.real.dtype) for c in (self.width**2 / square, time / square.sqrt()))
        out: Tensor = self.network(spectrogram_inputs(x, given), time.to(x.device, x.real.dtype))
        return Prediction(skip * x + scale * out)
