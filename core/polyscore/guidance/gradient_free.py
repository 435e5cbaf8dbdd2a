"""Guidance by a classifier without its gradient: away from the class that the sample is most easily taken for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers.base import Prediction
from polyscore.guidance.calibrated import asked_class
from polyscore.guidance.wrapper import Wrapper, each_alike
from polyscore.state import Given, State, Time, map_state

__all__ = ["GradientFreeClassifier", "as_label"]


def as_label(given: Given, classes: Tensor) -> Given:
    """`given` with these classes (B,) as its condition."""
    return given._replace(cond=classes)


@dataclass(frozen=True)
class GradientFreeClassifier(Wrapper):
    """x0 = x0(c) + scale (1 - p_c) (x0(c) - x0(r)), p = softmax f(x0(c)), r the likeliest class but c.

    Gradient-free classifier guidance (Shenoy et al. 2024, arXiv 2411.15393): the classifier of clean data only names the class r
    that takes the place of CFG's null condition, and says how much guidance is needed still; each sample has its own. Two calls
    of the model and one of the classifier, none backwards. Around `CFG` or `Autoguidance` both of its predictions are guided.
    scale = 0 is the model, bit for bit. `extra` holds the two x0 as "cond" and "null", and the weights (B,) as "weight".

    Args:
        denoiser: the conditional model.
        classifier: x0 (B, ...) to logits (B, K).
        scale: strength where p_c = 0.
        classes: `given` to the classes (B,) asked for.
        told: `given` and classes (B,) to what the model is given for these.
    """

    classifier: Callable[[Any], Tensor]
    scale: float = 2.0
    classes: Callable[[Given], Tensor] = asked_class
    told: Callable[[Given, Tensor], Given] = as_label

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        good = self.denoiser(x, t, given)
        if self.scale == 0.0:
            return good
        with torch.no_grad():
            p = self.classifier(good.x0).double().softmax(1)
            wanted = self.classes(given).to(p.device).expand(len(p))
            reference = p.scatter(1, wanted[:, None], -1.0).argmax(1)
            weight = self.scale * (1 - p.gather(1, wanted[:, None])[:, 0])
        bad = self.denoiser(x, t, self.told(given, reference))
        x0 = map_state(lambda a, b: a + each_alike(weight, a) * (a - b), good.x0, bad.x0)
        return Prediction(x0, good.eps, {**good.extra, "cond": good.x0, "null": bad.x0, "weight": weight})
