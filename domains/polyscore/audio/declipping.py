r"""Declipping: the peaks that a recorder cut off, rebuilt from what sound is like.

    y = min(max(x, low), high),        x sought; known where y lies between, above high or below low elsewhere

Speech is sparse in time and frequency, and its partials lie together. A denoiser that knows no more than that keeps of the
short-time Fourier transform S of a wave with noise of level s what stands out of the noise with its neighbourhood,

    x0hat = S^-1( S [mean |S|^2 over n x m bins > (k s)^2 |w|^2] ),            |w|^2 the energy of the window,

and around it `polyscore.inverse.Skipped` puts the estimate back to what is known at every level s, from the loud to the faint:
louder bins are laid down first, fainter ones find their place among them. No model is asked, nothing is drawn.

Sources: Kitic et al. 2013 (consistent iterative hard thresholding); Siedenburg, Kowalski and Doerfler 2014 (social sparsity:
thresholds of neighbourhoods); Chung et al. 2023, arXiv 2206.02679, for projections between steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from polyscore.audio.windows import Windows
from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.inverse import Clip, Measurement, Skipped
from polyscore.noise import Silent
from polyscore.processes import VE, GaussianProcess, grids
from polyscore.samplers import DDIM, sample
from polyscore.state import Given, LeafTime

__all__ = ["SparseWaves", "clipped", "declip"]

_LOUD, _FAINT = 2.0, 0.005  # levels, in units of the wave's root mean square
_FLAT = 1e-4  # of the largest value: what counts as equal to it
_RUN = 3  # samples in a row that are equal to it: a plateau
_RESTART = 1e6  # of DDIM's eta: nothing of the state before is kept, each step starts at the estimate


@dataclass(frozen=True)
class SparseWaves:
    """The denoiser above, of waves (B, L).

    Args:
        process: with one level for all of a wave, such as `VE`.
        n_fft: length of the Hann window, in hops of a quarter.
        near: frequencies and frames of a neighbourhood, odd.
        threshold: k.
    """

    process: GaussianProcess
    n_fft: int = 1024
    near: tuple[int, int] = (3, 5)
    threshold: float = 2.0

    def __call__(self, x: Tensor, t: LeafTime, given: Given) -> Prediction:
        window = torch.hann_window(self.n_fft, dtype=x.dtype, device=x.device)
        length = x.shape[-1]
        padded = functional.pad(x, (0, max(0, self.n_fft - length)))
        spec = torch.stft(padded, self.n_fft, self.n_fft // 4, window=window, return_complex=True)
        half = [n // 2 for n in self.near]
        power = functional.avg_pool2d(
            functional.pad(spec.abs().square()[:, None], (half[1], half[1], half[0], half[0]), mode="replicate"), self.near, 1
        )[:, 0]
        level = self.process.coefs_of(t).s.to(x.dtype).reshape(-1, 1, 1)
        kept = spec * (power > (self.threshold * level) ** 2 * window.square().sum())
        wave = torch.istft(kept, self.n_fft, self.n_fft // 4, window=window, length=padded.shape[-1])
        return Prediction(wave[:, :length])


def clipped(wave: Tensor) -> Tensor:
    """1 where a wave (C, L) lies on the plateau of its largest values, -1 on that of its smallest, 0 elsewhere.

    A plateau is three samples in a row within 1e-4 of the extreme. Channels are looked at one by one; without a plateau there
    is nothing but 0. A recording that was resampled or coded after it was clipped has no plateaus any more.
    """
    found = torch.zeros_like(wave, dtype=torch.int8)
    for sign in (1, -1):
        high = (sign * wave).amax(-1, keepdim=True)
        top = (sign * wave >= high * (1 - _FLAT)) & (high > 0)
        runs = top.unfold(-1, _RUN, 1).all(-1).any(-1, keepdim=True) if wave.shape[-1] >= _RUN else top[..., :1] & False
        found = torch.where(top & runs, sign, found)
    return found.to(torch.int8)


@torch.no_grad()
def declip(wave: Tensor, sample_rate: int, *, steps: int = 100) -> Tensor:
    """A wave (C, L) or (L,) with its plateaus rebuilt; all other samples stay as they are, bit for bit.

    The peaks come out above full scale: scale before an integer format is written. Windows of ten seconds are solved by
    themselves, so the memory does not grow with the length.

    Args:
        wave: real floating point.
        sample_rate: Hz; windows of the transform are 64 ms.
        steps: levels.

    Raises:
        InputError: no such wave, values that are not finite, no steps, or no rate.
    """
    if wave.ndim not in (1, 2) or wave.shape[-1] == 0 or not wave.is_floating_point() or not bool(torch.isfinite(wave).all()):
        raise InputError(f"declip: a wave {tuple(wave.shape)} of {wave.dtype}; expected (C, L) or (L,), real and finite")
    if steps < 1 or sample_rate <= 0:
        raise InputError(f"declip: {steps} steps, {sample_rate} Hz; expected at least 1, and a positive rate")
    flat = wave.reshape(-1, wave.shape[-1]).float()
    places, out = clipped(flat), flat.clone()
    windows = Windows(10 * sample_rate, sample_rate - sample_rate % 2)
    for channel in places.any(-1).nonzero()[:, 0].tolist():
        found = windows(lambda y, place: _solved(y, place, sample_rate, steps), flat[channel], places[channel].float())
        out[channel] = torch.where(places[channel] == 0, flat[channel], found)
    return torch.where(out == flat, wave.reshape(flat.shape), out.to(wave)).reshape(wave.shape)


def _solved(y: Tensor, place: Tensor, sample_rate: int, steps: int) -> Tensor:
    """Windows (B, L) rebuilt where `place` is not 0."""
    size = y.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-12)
    seen, process = y / size, VE(_FAINT, _LOUD)

    def consistent(known: Tensor, x0: Tensor) -> Tensor:
        beyond = torch.where(place > 0, torch.maximum(x0, known), torch.minimum(x0, known))
        return torch.where(place == 0, known, beyond)

    measurement = Measurement(Clip(float(seen.abs().amax())), seen)
    prior = SparseWaves(process, n_fft=4 * max(8, round(0.016 * sample_rate)))
    denoiser = Skipped(prior, process, (measurement,), repeats=0, inverse=consistent)
    found: Tensor = sample(
        DDIM(_RESTART), denoiser, process, seen, steps=steps, grid=grids.uniform, noise=Silent(), init=seen
    )
    return found * size
