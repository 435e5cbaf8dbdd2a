"""Selection while graphs are drawn: a sampling method with Feynman-Kac steering (`polyscore.steering`).

Islands of graphs of one size compete; r may be anything that can be computed of a molecule.
"""

from __future__ import annotations

from dataclasses import replace

from polyscore.graphs.methods import Method
from polyscore.samplers import DDIM, Ancestral
from polyscore.steering import FeynmanKac, Reward, Rewarded

__all__ = ["resampled"]


def resampled(method: Method, reward: Reward, scale: float, *, island: int, every: int = 10) -> Method:
    """The method with selection; ancestral sampling is made the stepper it equals.

    Raises:
        ConfigError: the method's sampler has no single steps (the multistep ones), or numbers out of range.
    """
    sampler = Ancestral(method.sampler.eta) if isinstance(method.sampler, DDIM) else method.sampler
    return replace(method, sampler=FeynmanKac(sampler, Rewarded(reward, scale), island, every))
