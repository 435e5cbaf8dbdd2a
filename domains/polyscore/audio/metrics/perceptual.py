"""Scores that model a listener: intelligibility (pystoi) and quality (the ITU's program in the package pesq)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscore.audio.metrics.shapes import check_equal
from polyscore.errors import MissingExtraError

__all__ = ["PESQ_RATE", "estoi", "pesq", "pesq_nb", "stoi"]

PESQ_RATE = 16000  # Hz


def stoi(estimate: Tensor, clean: Tensor, rate: int) -> Tensor:
    """Short-time objective intelligibility, about 0 to 1; NaN for a clip with less than 0.4 s of speech."""
    return _intelligibility(estimate, clean, rate, extended=False)


def estoi(estimate: Tensor, clean: Tensor, rate: int) -> Tensor:
    """Extended short-time objective intelligibility, about 0 to 1; NaN for a clip with less than 0.4 s of speech."""
    return _intelligibility(estimate, clean, rate, extended=True)


def pesq(estimate: Tensor, clean: Tensor) -> Tensor:
    """Wide-band PESQ (P.862.2) at 16 kHz, 1.04 to 4.64 (mean opinion score); NaN where it finds no utterance.

    Raises:
        MissingExtraError: the package pesq is not installed.
    """
    return _pesq(estimate, clean, "wb")


def pesq_nb(estimate: Tensor, clean: Tensor) -> Tensor:
    """Narrow-band PESQ (P.862.1), that of a telephone, of waves at 16 kHz, 1.02 to 4.55; NaN where it finds no utterance.

    Raises:
        MissingExtraError: the package pesq is not installed.
    """
    return _pesq(estimate, clean, "nb")


def _intelligibility(estimate: Tensor, clean: Tensor, rate: int, *, extended: bool) -> Tensor:
    check_equal(estimate, clean)
    try:
        compute: Callable[..., float] = import_module("pystoi").stoi
    except ImportError as error:
        raise MissingExtraError("stoi and estoi need pystoi: pip install 'polyscore[audio]'") from error

    def one(e: np.ndarray[Any, Any], s: np.ndarray[Any, Any]) -> float:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Not enough STFT frames")
            try:
                return float(compute(s, e, rate, extended=extended))
            except RuntimeWarning:
                return float("nan")

    return _each(one, estimate, clean)


def _pesq(estimate: Tensor, clean: Tensor, band: str) -> Tensor:
    check_equal(estimate, clean)
    try:
        package = import_module("pesq")
    except ImportError as error:
        raise MissingExtraError("PESQ needs the package pesq and a C compiler: pip install 'polyscore[pesq]'") from error

    def one(e: np.ndarray[Any, Any], s: np.ndarray[Any, Any]) -> float:
        try:
            return float(package.pesq(PESQ_RATE, s, e, band))
        except (package.NoUtterancesError, package.BufferTooShortError):
            return float("nan")

    return _each(one, estimate, clean)


def _each(function: Callable[[Any, Any], float], estimate: Tensor, clean: Tensor) -> Tensor:
    pairs = zip(estimate.reshape(-1, estimate.shape[-1]), clean.reshape(-1, clean.shape[-1]), strict=True)
    values = [function(e.detach().cpu().numpy(), s.detach().cpu().numpy()) for e, s in pairs]
    return torch.tensor(values, dtype=torch.float64).reshape(clean.shape[:-1])
