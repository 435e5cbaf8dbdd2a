"""Scores of enhanced speech against its clean reference, and one without a reference.

With the estimate e, the clean signal s and the noise n = noisy - s,

    target = <e,s>/<s,s> s      interference = <e,n>/<n,n> n      artefacts = e - target - interference

    SI-SDR = |target|^2 / |e - target|^2    SI-SIR = |target|^2 / |interference|^2    SI-SAR = |target|^2 /
    |artefacts|^2    (in dB).

No mean is removed. All functions take waves (..., L) of one shape and return (...,).

Sources: Le Roux, Wisdom, Erdogan, Hershey 2019, arXiv 1811.02508 (SI-SDR); Jensen, Taal 2016 (ESTOI); ITU-T P.862.2
(PESQ-wb); Gray, Markel 1976 (log-spectral distance); Reddy, Gopal, Cutler 2022, arXiv 2110.01763 (DNSMOS P.835).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from polyscore.errors import InputError, MissingExtraError

__all__ = ["DNSMOS", "Ratios", "estoi", "lsd", "pesq", "si_ratios", "si_sdr", "stoi"]


class Ratios(NamedTuple):
    """Scale-invariant ratios in dB, each of shape (...,)."""

    sdr: Tensor
    sir: Tensor
    sar: Tensor


def si_sdr(estimate: Tensor, clean: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB, differentiable; an exact estimate gives a large finite number.

    Raises:
        InputError: the shapes differ.
    """
    _check(estimate, clean)
    target = _project(estimate, clean)
    return _decibels(target, estimate - target)


def si_ratios(estimate: Tensor, clean: Tensor, noisy: Tensor) -> Ratios:
    """SI-SDR, SI-SIR and SI-SAR in dB of an estimate of `clean` made from `noisy`.

    Raises:
        InputError: the shapes differ.
    """
    _check(estimate, clean)
    _check(noisy, clean)
    target, interference = _project(estimate, clean), _project(estimate, noisy - clean)
    error = estimate - target
    return Ratios(_decibels(target, error), _decibels(target, interference), _decibels(target, error - interference))


def lsd(estimate: Tensor, clean: Tensor, *, n_fft: int = 512, hop: int = 128) -> Tensor:
    """Log-spectral distance in dB: root mean square over frequency of the log power's difference, mean over frames.

    Powers are floored 100 dB under the clean signal's largest. A gain of g dB gives exactly |g| where nothing is
    floored.
    """
    _check(estimate, clean)
    window = torch.hann_window(n_fft, dtype=clean.dtype, device=clean.device)

    def power(wave: Tensor) -> Tensor:
        flat = wave.reshape(-1, wave.shape[-1])
        flat = torch.nn.functional.pad(flat, (0, max(n_fft - flat.shape[-1], 0)))
        return torch.stft(flat, n_fft, hop, window=window, center=False, return_complex=True).abs().square()

    first, second = power(estimate), power(clean)
    floor = second.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(second.dtype).tiny) * 1e-10
    difference = 10 * torch.log10(first.maximum(floor) / second.maximum(floor))
    return difference.square().mean(dim=1).sqrt().mean(dim=1).reshape(clean.shape[:-1])


def stoi(estimate: Tensor, clean: Tensor, rate: int) -> Tensor:
    """Short-time objective intelligibility, about 0 to 1; NaN for a clip with less than 0.4 s of speech."""
    return _intelligibility(estimate, clean, rate, extended=False)


def estoi(estimate: Tensor, clean: Tensor, rate: int) -> Tensor:
    """Extended short-time objective intelligibility, about 0 to 1; NaN for a clip with less than 0.4 s of speech."""
    return _intelligibility(estimate, clean, rate, extended=True)


def _intelligibility(estimate: Tensor, clean: Tensor, rate: int, *, extended: bool) -> Tensor:
    _check(estimate, clean)
    try:
        compute: Callable[..., float] = import_module("pystoi").stoi
    except ImportError as error:
        raise MissingExtraError("stoi and estoi need pystoi: pip install polyscore[audio]") from error

    def one(e: np.ndarray[Any, Any], s: np.ndarray[Any, Any]) -> float:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Not enough STFT frames")
            try:
                return float(compute(s, e, rate, extended=extended))
            except RuntimeWarning:
                return float("nan")

    return _each(one, estimate, clean)


def pesq(estimate: Tensor, clean: Tensor) -> Tensor:
    """Wide-band PESQ at 16 kHz, 1.04 to 4.64 (mean opinion score); NaN where it finds no utterance.

    Raises:
        MissingExtraError: the package pesq is not installed.
    """
    _check(estimate, clean)
    try:
        package = import_module("pesq")
    except ImportError as error:
        raise MissingExtraError("PESQ needs the package pesq and a C compiler: pip install polyscore[pesq]") from error

    def one(e: np.ndarray[Any, Any], s: np.ndarray[Any, Any]) -> float:
        try:
            return float(package.pesq(16000, s, e, "wb"))
        except (package.NoUtterancesError, package.BufferTooShortError):
            return float("nan")

    return _each(one, estimate, clean)


class DNSMOS:
    """The reference-free quality predictor P.835 of the DNS challenge, from the file `sig_bak_ovr.onnx` a user brings.

    Calling it with a wave (L,) at 16 kHz gives `{"sig", "bak", "ovrl"}`, each about 1 to 5, averaged over windows of
    9.01 s that start a second apart; a shorter wave is repeated.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        InputError: the file does not exist.
    """

    WINDOW = 144160
    POLYNOMIALS = (
        ("sig", (-0.08397278, 1.22083953, 0.0052439)),
        ("bak", (-0.13166888, 1.60915514, -0.39604546)),
        ("ovrl", (-0.06766283, 1.11546468, 0.04602535)),
    )

    def __init__(self, path: str | Path) -> None:
        try:
            onnxruntime = import_module("onnxruntime")
        except ImportError as error:
            raise MissingExtraError("DNSMOS needs onnxruntime: pip install onnxruntime") from error
        if not Path(path).is_file():
            raise InputError(f"DNSMOS: {path} does not exist; expected sig_bak_ovr.onnx of microsoft/DNS-Challenge")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, wave: Tensor) -> dict[str, float]:
        samples = wave.detach().cpu().float()
        while len(samples) < self.WINDOW:
            samples = torch.cat([samples, samples])
        windows = samples.unfold(0, self.WINDOW, 16000).contiguous().numpy()
        raw = np.mean([self.session.run(None, {"input_1": w[None]})[0][0] for w in windows], axis=0)
        return {name: float(np.polyval(p, raw[i])) for i, (name, p) in enumerate(self.POLYNOMIALS)}


def _check(estimate: Tensor, clean: Tensor) -> None:
    if estimate.shape != clean.shape:
        raise InputError(
            f"metrics: the waves have shapes {tuple(estimate.shape)} and {tuple(clean.shape)}; expected equal ones (..., L)"
        )


def _project(wave: Tensor, onto: Tensor) -> Tensor:
    tiny = torch.finfo(onto.dtype).tiny
    return (wave * onto).sum(-1, keepdim=True) / onto.square().sum(-1, keepdim=True).clamp_min(tiny) * onto


def _decibels(signal: Tensor, rest: Tensor) -> Tensor:
    tiny = torch.finfo(signal.dtype).tiny
    return 10 * (signal.square().sum(-1).clamp_min(tiny).log10() - rest.square().sum(-1).clamp_min(tiny).log10())


def _each(function: Callable[[Any, Any], float], estimate: Tensor, clean: Tensor) -> Tensor:
    pairs = zip(estimate.reshape(-1, estimate.shape[-1]), clean.reshape(-1, clean.shape[-1]), strict=True)
    values = [function(e.detach().cpu().numpy(), s.detach().cpu().numpy()) for e, s in pairs]
    return torch.tensor(values, dtype=torch.float64).reshape(clean.shape[:-1])
