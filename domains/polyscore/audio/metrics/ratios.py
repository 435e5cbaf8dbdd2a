"""Scale-invariant ratios of energies.

With the estimate e, the clean signal s and the noise n = noisy - s,

    target = <e,s>/<s,s> s      interference = <e,n>/<n,n> n      artefacts = e - target - interference

    SI-SDR = |target|^2 / |e - target|^2    SI-SIR = |target|^2 / |interference|^2    SI-SAR = |target|^2 / |artefacts|^2

in dB. No mean is removed.

Source: Le Roux, Wisdom, Erdogan, Hershey 2019, arXiv 1811.02508; the interference is that of SGMSE.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from polyscore.audio.metrics.shapes import check_equal

__all__ = ["Ratios", "si_ratios", "si_sdr"]


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
    check_equal(estimate, clean)
    target = _project(estimate, clean)
    return _decibels(target, estimate - target)


def si_ratios(estimate: Tensor, clean: Tensor, noisy: Tensor) -> Ratios:
    """SI-SDR, SI-SIR and SI-SAR in dB of an estimate of `clean` made from `noisy`.

    Raises:
        InputError: the shapes differ.
    """
    check_equal(estimate, clean)
    check_equal(noisy, clean)
    target, interference = _project(estimate, clean), _project(estimate, noisy - clean)
    error = estimate - target
    return Ratios(_decibels(target, error), _decibels(target, interference), _decibels(target, error - interference))


def _project(wave: Tensor, onto: Tensor) -> Tensor:
    tiny = torch.finfo(onto.dtype).tiny
    return (wave * onto).sum(-1, keepdim=True) / onto.square().sum(-1, keepdim=True).clamp_min(tiny) * onto


def _decibels(signal: Tensor, rest: Tensor) -> Tensor:
    tiny = torch.finfo(signal.dtype).tiny
    return 10 * (signal.square().sum(-1).clamp_min(tiny).log10() - rest.square().sum(-1).clamp_min(tiny).log10())
