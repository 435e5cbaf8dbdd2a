"""A picture of what enhancement changed: the spectrograms before and after, one above the other, on one colour scale.

Shown is 10 log10 of the power |STFT|² (Hann window of 32 ms, mean over channels), relative to the loudest point of both
pictures, down to -80 dB, on the mel scale 2595 log10(1 + f / 700 Hz), which gives speech its room at every sampling rate. Where
several draws of a model were averaged, the lower picture is painted cyan in proportion to how much they differ there
(`polyscore.audio.posterior`): that is where the model invented.
"""

from __future__ import annotations

import importlib.util
import math
import os

import torch
from torch import Tensor

from polyscore.errors import InputError, MissingExtraError
from polyscore.hub.files import atomic_path

__all__ = ["check_matplotlib", "complex_spectrogram", "draw_before_after", "on_mel_scale", "power_db"]

_COLUMNS = 1600  # as many as the picture has pixels; longer recordings use longer hops
_FLOOR = -80.0  # dB
_ROWS = 320  # of a picture
_TICKS = (0, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000)  # Hz


def complex_spectrogram(wave: Tensor, sample_rate: int) -> Tensor:
    """What the pictures show of ``wave`` (C, L), before the power: (C, F, columns)."""
    n_fft = max(64, 2 * round(0.016 * sample_rate))
    wave = torch.nn.functional.pad(wave, (0, max(0, n_fft - wave.shape[-1])))
    hop = max(n_fft // 4, wave.shape[-1] // _COLUMNS)
    return torch.stft(wave, n_fft, hop, window=torch.hann_window(n_fft), center=True, return_complex=True)


def power_db(wave: Tensor, sample_rate: int) -> Tensor:
    """Power of ``wave`` (C, L) in dB, mean over channels: (F, columns), F from 0 Hz to half of ``sample_rate``."""
    spec = complex_spectrogram(wave, sample_rate)
    return 10.0 * spec.abs().square().mean(dim=0).clamp_min(1e-20).log10()


def on_mel_scale(picture: Tensor, sample_rate: int) -> Tensor:
    """``picture`` (F, columns), F from 0 Hz to half of the rate, on rows evenly spaced in mel: (rows, columns).

    A row takes the largest value of the band it stands for, so that no tone falls between rows.
    """
    bins, top = len(picture), _mel(sample_rate / 2)
    edges = 700 * (10 ** (torch.linspace(0, top, _ROWS + 1, dtype=torch.float64) / 2595) - 1) / (sample_rate / 2) * (bins - 1)
    middle = (edges[:-1] + edges[1:]) / 2
    first = torch.minimum(edges[:-1].ceil(), middle.round()).long()
    last = torch.maximum(edges[1:].ceil() - 1, middle.round()).long().clamp_max(bins - 1)
    return torch.stack([picture[a : b + 1].amax(0) for a, b in zip(first.tolist(), last.tolist(), strict=True)])


def _mel(frequency: float) -> float:
    return 2595 * math.log10(1 + frequency / 700)


def check_matplotlib() -> None:
    """Say now that the pictures will not be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("drawing spectrograms needs the package matplotlib: pip install matplotlib")


def draw_before_after(
    path: str | os.PathLike[str], before: Tensor, after: Tensor, sample_rate: int, *, doubt: Tensor | None = None
) -> None:
    """Write a PNG with the spectrograms of ``before`` and ``after``, waves (C, L) of one rate (Hz) and shape.

    ``doubt`` (F, columns), 0 to 1, is painted over the second.

    Raises:
        InputError: the waves differ in shape.
        MissingExtraError: matplotlib is not installed.
        PolyscoreError: the place cannot be written.
    """
    if before.shape != after.shape or before.dim() != 2:
        raise InputError(f"{path}: waves of shapes {tuple(before.shape)} and {tuple(after.shape)}; expected one (C, L)")
    check_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pictures = [on_mel_scale(power_db(wave, sample_rate), sample_rate) for wave in (before, after)]
    top = max(float(picture.max()) for picture in pictures)
    extent = (0.0, before.shape[-1] / sample_rate, 0.0, _mel(sample_rate / 2))
    figure = Figure(figsize=(10, 6.4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 1, sharex=True)
    ticks = [tick for tick in _TICKS if tick <= sample_rate / 2]
    for axis, picture, title in zip(axes, pictures, ("before", "after"), strict=True):
        image = axis.imshow(
            (picture - top).numpy(), origin="lower", aspect="auto", extent=extent, vmin=_FLOOR, vmax=0.0, cmap="magma"
        )
        axis.set_title(title, loc="left")
        axis.set_ylabel("frequency (kHz)")
        axis.set_yticks([_mel(tick) for tick in ticks], [f"{tick / 1000:g}" for tick in ticks])
    axes[1].set_xlabel("time (s)")
    figure.colorbar(image, ax=axes, label="power (dB)")
    if doubt is not None:
        share = on_mel_scale(doubt, sample_rate)
        paint = torch.zeros(*share.shape, 4)
        paint[..., 1:3] = 1.0
        # Where next to nothing sounds, nobody hears what the draws disagree on; what is below the paint stays visible.
        paint[..., 3] = 0.8 * share * ((pictures[1] - top - _FLOOR) / -_FLOOR).clamp(0, 1)
        axes[1].imshow(paint.numpy(), origin="lower", aspect="auto", extent=extent)
        axes[1].set_title("after: the mean; cyan, where the draws differ", loc="left")
    with atomic_path(path) as name:
        figure.savefig(name, format="png")
