"""PESQ as a differentiable loss: how much louder and how much quieter than the clean signal an estimate sounds.

At 16 kHz, for the estimate e and the clean signal s alike:

1. level: scaled so that the power between 325 and 3250 Hz is 10^7, then a fixed high-pass filter;
2. Bark powers P_bt: power spectrum (Hann, 512 samples, half of them shared), summed to 49 bands;
3. equalisation: s takes over the mean spectrum of e, by at most 20 dB a band; e takes over the level of s, frame by frame;
4. loudness: L = 0.1866 (2 T)^g ((P / 2T + 1/2)^g - 1) above the threshold of hearing T, else 0; g = 0.23 times a band's factor;
5. disturbance: d = sign(L_e - L_s) max(|L_e - L_s| - min(L_e, L_s) / 4, 0), and d a with a = ((P_e + 50) / (P_s + 50))^1.2,
   0 below 3 and at most 12, for what was added (codecs and noise disturb more by what they add);
6. sums: d over bands by the 2-norm, d a by the 1-norm, each weighted by the bands' width, over the frame's power^0.04, at most
   45; over 20 frames (320 ms) by the mean of sixth powers, over the whole by the mean of squares: D and A.

    loss = 0.1 D + 0.0309 A        MOS = 0.999 + 4 / (1 + exp(-1.3669 (4.5 - loss) + 3.8224))

The loss is 0 for equal signals and does not change with the level of either. It differs from ITU-T P.862.2 as the reference
implementation does: there is no alignment in time.

Sources: Rix, Beerends, Hollier, Hekstra 2001 (PESQ), ITU-T P.862.2; Martin-Donas, Gomez, Gonzalez, Peinado 2018 (as a loss);
International Audio Laboratories Erlangen, torch-pesq, whose numbers this module gives.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from polyscore.audio.losses.bark import BARKS, BINS, HERTZ, LOUDNESS_SCALE, POWER_SCALE, THRESHOLD
from polyscore.audio.losses.rates import Resample
from polyscore.errors import InputError

__all__ = ["PesqLoss"]

RATE = 16000
FRAME, HOP = 512, 256
SEGMENT, STRIDE = 20, 10  # frames
SHORTEST = FRAME + (SEGMENT - 1) * HOP
RAMP = 16  # samples
TAIL = 1024  # samples in which the filters' responses fall below 1e-12
# Filters as coefficients of z^0, z^-1, ... above and below the fraction line. The band-pass is Butterworth's of order 5 from
# 325 to 3250 Hz; its single precision is part of the definition, for it moves the band's power by 0.24 %.
HIGH_PASS = ((2.740826, -5.4816519, 2.740826), (1.0, -1.9444777, 0.94597794))
BAND_PASS = (
    (0.015360199, 0.0, -0.076800995, 0.0, 0.15360199, 0.0, -0.15360199, 0.0, 0.076800995, 0.0, -0.015360199),
    (1.0, -5.752629, 15.015483, -23.855875, 25.98068, -20.408026, 11.656143, -4.7485204, 1.3240253, -0.22934994, 0.018095171),
)


class PesqLoss(nn.Module):
    """The loss of waves (B, L) at `sample_rate` Hz, shape (B,), from 0 to 5.9; `mos` turns it into an opinion score.

    A pair with a silent clean wave costs nothing: PESQ finds no utterance there. Waves shorter than 0.336 s are
    continued with silence. The computation is float32 at least, whatever autocast says. The loss of SGMSE's bridge
    takes it with weight 5e-4.

    Raises:
        InputError: a rate that is not positive; shapes that differ or are not (B, L).
    """

    bands: Tensor
    widths: Tensor
    threshold: Tensor
    exponent: Tensor
    window: Tensor
    ramp: Tensor

    def __init__(self, sample_rate: int = RATE) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.resample = Resample(sample_rate, RATE)
        hertz, barks, bins = (torch.tensor(values, dtype=torch.float64) for values in (HERTZ, BARKS, BINS))
        centre = barks.cumsum(0) - barks / 2
        last = bins.cumsum(0)
        index = torch.arange(FRAME // 2 + 1)
        inside = (index >= (last - bins)[:, None]) & (index < last[:, None])
        inside[:, 0] = False  # the constant part is not heard
        tables = {
            "bands": inside * (POWER_SCALE * hertz / barks / bins)[:, None],
            "widths": barks,
            "threshold": 10 ** (torch.tensor(THRESHOLD, dtype=torch.float64) / 10),
            "exponent": 0.23 * (6 / (centre + 2)).clamp(1, 2) ** 0.15,
            "window": torch.hann_window(FRAME, dtype=torch.float64),
            "ramp": torch.arange(1, RAMP, dtype=torch.float64) / RAMP,
        }
        for name, table in tables.items():
            self.register_buffer(name, table.float(), persistent=False)  # not every device has float64

    def forward(self, estimate: Tensor, clean: Tensor) -> Tensor:
        """0.1 D + 0.0309 A of every pair."""
        symmetric, asymmetric = self.disturbances(estimate, clean)
        return 0.1 * symmetric + 0.0309 * asymmetric

    def mos(self, estimate: Tensor, clean: Tensor) -> Tensor:
        """Mean opinion score of every pair, 1 to 4.64."""
        return 0.999 + 4 / (1 + torch.exp(-1.3669 * (4.5 - self(estimate, clean)) + 3.8224))

    def disturbances(self, estimate: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """D and A of every pair, (B,) each."""
        if estimate.shape != clean.shape or clean.dim() != 2:
            raise InputError(
                f"PesqLoss: the waves have shapes {tuple(estimate.shape)} and {tuple(clean.shape)}; expected equal ones (B, L)"
            )
        with torch.autocast(clean.device.type, enabled=False):
            kind = torch.promote_types(torch.promote_types(estimate.dtype, clean.dtype), torch.float32)
            heard = clean.abs().amax(dim=1) > 0
            found, sought = (self._powers(wave.to(kind)) for wave in (estimate, clean))
            symmetric, asymmetric = self._compare(found, sought)
            return symmetric.where(heard, 0.0), asymmetric.where(heard, 0.0)

    def _powers(self, wave: Tensor) -> Tensor:
        """Powers (B, T, 49) of Bark bands after steps 1 and 2."""
        wave = self.resample(wave)
        count = wave.shape[1]
        ramp = torch.ones_like(wave[0])
        ramp[: RAMP - 1] *= self.ramp.to(wave)[:count]
        ramp[max(count - RAMP + 1, 0) :] *= self.ramp.to(wave).flip(0)[-count:]
        band = _filtered(wave, BAND_PASS)
        # the count of samples and the factor are those of the reference program
        power = band.square().sum(dim=1, keepdim=True) / (count + 5120) / 1.04684
        level = (1e7 / power.clamp_min(1e-20)).sqrt()
        wave = _filtered(level * ramp * wave, HIGH_PASS)
        wave = nn.functional.pad(wave, (0, max(count % HOP, SHORTEST - count)))
        spec = torch.stft(wave, FRAME, HOP, window=self.window.to(wave), center=False, return_complex=True)
        power_spectrum = spec.real.square() + spec.imag.square()
        return power_spectrum.transpose(1, 2) @ self.bands.to(wave).T

    def _compare(self, found: Tensor, sought: Tensor) -> tuple[Tensor, Tensor]:
        """Steps 3 to 6 on Bark powers (B, T, 49)."""
        spoken = self._audible(sought, 100).sum(dim=2, keepdim=True) >= 1e7
        means = [(self._audible(power, 100) * spoken).mean(dim=1, keepdim=True) for power in (found, sought)]
        sought = ((means[0] + 1000) / (means[1] + 1000)).clamp(0.01, 100) * sought
        totals = [self._audible(power, 1).sum(dim=2) for power in (sought, found)]
        ratio = (totals[0] + 5e3) / (totals[1] + 5e3)
        ratio = torch.cat([ratio[:, :1], 0.8 * ratio[:, 1:] + 0.2 * ratio[:, :-1]], dim=1).clamp(3e-4, 5)
        found = ratio[:, :, None] * found

        loud, wanted = self._loudness(found), self._loudness(sought)
        difference = loud - wanted
        disturbance = difference.sign() * (difference.abs() - torch.minimum(loud, wanted) / 4).clamp_min(0)
        asymmetry = ((found + 50) / (sought + 50)) ** 1.2
        asymmetry = torch.where(asymmetry < 3, 0.0, asymmetry.clamp_max(12))
        share = ((totals[0] + 1e5) / 1e7) ** 0.04
        widths = self.widths.to(found)[1:]
        total = widths.sum()
        # the p-norm of widths * d / total^(1/p), times total
        symmetric = total.sqrt() * (widths * disturbance[..., 1:]).norm(2, dim=2)
        asymmetric = (widths * (disturbance * asymmetry)[..., 1:]).norm(1, dim=2)
        return _pooled(symmetric / share), _pooled(asymmetric / share)

    def _audible(self, power: Tensor, factor: float) -> Tensor:
        return power.where(power > factor * self.threshold.to(power), 0.0)

    def _loudness(self, power: Tensor) -> Tensor:
        threshold, exponent = self.threshold.to(power), self.exponent.to(power)
        loudness = (2 * threshold) ** exponent * ((0.5 + 0.5 * power / threshold) ** exponent - 1)
        return LOUDNESS_SCALE * loudness.where(power > threshold, 0.0)


def _filtered(wave: Tensor, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """The recursive filter over (B, L), as a product of spectra: the added silence takes up what would wrap around."""
    wide = wave.shape[1] + TAIL
    z = torch.exp(-2j * math.pi / wide * torch.arange(wide // 2 + 1, dtype=torch.float64))
    above, below = (_polynomial(torch.tensor(part, dtype=torch.float32).double(), z) for part in coefficients)
    response = (above / below).to(wave.device, torch.promote_types(wave.dtype, torch.complex64))
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(wave, wide) * response, wide)
    return filtered[:, : wave.shape[1]]


def _polynomial(coefficients: Tensor, z: Tensor) -> Tensor:
    value = torch.zeros_like(z)
    for coefficient in coefficients.flip(0):
        value = coefficient + z * value
    return value


def _pooled(disturbance: Tensor) -> Tensor:
    """Frames (B, T) to one number: sixth powers over segments, squares over the whole."""
    segments = disturbance.clamp(1e-20, 45).unfold(1, SEGMENT, STRIDE)
    return _power_mean(_power_mean(segments, 6), 2)


def _power_mean(x: Tensor, p: float) -> Tensor:
    # divided by the maximum first: powers of small numbers vanish, and the root has no gradient at zero
    top = x.detach().amax(dim=-1, keepdim=True)
    return top.squeeze(-1) * (x / top).pow(p).mean(dim=-1).pow(1 / p)
