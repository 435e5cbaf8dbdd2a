"""Weights w of a rule, functions of the coefficients a, s (ac = a^2, 1 - ac = s^2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from polyscore.processes import Coefs

__all__ = ["Weight", "amplitude", "clean_view", "fantasia", "level", "quarter_level", "uniform", "variance"]

Weight: TypeAlias = Callable[[Coefs], Tensor]


def uniform(c: Coefs) -> Tensor:
    """1."""
    return torch.ones_like(c.s)


def variance(c: Coefs) -> Tensor:
    """s^2 = 1 - ac: DreamFusion's."""
    return c.s**2


def fantasia(c: Coefs) -> Tensor:
    """a s^2 = sqrt(ac) (1 - ac): Latent-NeRF's and Fantasia3D's."""
    return c.a * c.s**2


def amplitude(c: Coefs) -> Tensor:
    """1 - a = 1 - sqrt(ac): what threestudio's unified guidance computes (its table is a square root already)."""
    return 1 - c.a


def level(c: Coefs) -> Tensor:
    """s / a: the noise level; interval score matching's. Makes an eps difference one of clean views: (s / a)(eps_a - eps_b)."""
    return c.s / c.a


def quarter_level(c: Coefs) -> Tensor:
    """s / (4 a): RED-diff's."""
    return 0.25 * c.s / c.a


def clean_view(weight: Weight) -> Weight:
    """The weight of the eps difference that equals `weight` on the difference of clean views: w_eps = w s / a."""
    return lambda c: weight(c) * c.s / c.a
