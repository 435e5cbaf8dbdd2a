r"""Guidance by an ordinary classifier of clean data, made fit for the purpose: EluCD.

A classifier f of clean data is asked at x0 = E[x0 | x_t], where it knows what it sees, and not at x_t. Its gradient there moves
x0 itself, so there is no pass backwards through the network:

    x0 <- x0 + w(t) r(t) g / rms(g),      g = grad_x0 ln p,     ln p = joint f_c - ln sum_j exp(marginal f_j)
    w(t) = scale (1 + bump sin(pi angle)),  r = s / sqrt(a^2 + s^2) = sin(pi/2 angle),  angle = 2/pi atan2(s, a)

Normalised, the gradient of a sure classifier is as strong as that of an unsure one. marginal < joint weighs p(c, x) more than
p(c | x), which keeps the gradient from vanishing where p(c | x) is near 1; `softened` makes the classifier smooth, so that the
gradient means something.

Source: Ma et al. 2023, arXiv 2310.11311.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from polyscore.denoisers.base import Prediction
from polyscore.errors import InputError
from polyscore.guidance.wrapper import Wrapper, real
from polyscore.state import Given, LeafTime

__all__ = ["CalibratedClassifier", "asked_class", "softened"]

M = TypeVar("M", bound=nn.Module)


def asked_class(given: Given) -> Tensor:
    """The classes (B,) that are asked for: `given.cond`, where it is a tensor of labels.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(given.cond, Tensor) or given.cond.is_floating_point():
        found = given.cond.dtype if isinstance(given.cond, Tensor) else type(given.cond).__name__
        raise InputError(f"classes: given.cond is {found}; expected labels (B,), or pass a function of `given` that finds them")
    return given.cond


@dataclass(frozen=True)
class CalibratedClassifier(Wrapper):
    """x0 moved along the normalised gradient of a classifier of clean data (module docstring).

    Args:
        denoiser: any; conditional or not (`CFG(model, null, 0.0)` is a conditional model without its condition).
        process: the process of the run.
        classifier: (B, ...) clean data to logits (B, K).
        scale: how far x0 moves at most, as root mean square over its entries; 0 is the plain denoiser, bit for bit.
        joint: temperature of the logit of the class.
        marginal: temperature of the logits in the sum.
        bump: how much more it moves in the middle of the run than at its ends.
        classes: `given` to the classes (B,) asked for.
    """

    process: Any
    classifier: Callable[[Tensor], Tensor]
    scale: float = 0.3
    joint: float = 1.0
    marginal: float = 0.5
    bump: float = 0.5
    classes: Callable[[Given], Tensor] = asked_class

    def __call__(self, x: Tensor, t: LeafTime, given: Given) -> Prediction:
        prediction = self.denoiser(x, t, given)
        if self.scale == 0.0:
            return prediction
        with torch.inference_mode(False), torch.enable_grad():
            own = prediction.x0.detach().clone().requires_grad_()
            logits = self.classifier(own)
            wanted = self.classes(given).to(logits.device).expand(len(logits))
            log_p = self.joint * logits.gather(1, wanted[:, None])[:, 0] - (self.marginal * logits).logsumexp(1)
            (gradient,) = torch.autograd.grad(log_p.sum(), own)
        size = gradient.square().flatten(1).mean(1).sqrt().view(-1, *[1] * (x.ndim - 1))
        direction = torch.where(size > 0, gradient / size, torch.zeros_like(gradient))  # no opinion, no move
        a, _, s = (real(c, t, x) for c in self.process.coefs_of(t))
        angle = torch.atan2(s, a)
        width = self.scale * (1 + self.bump * torch.sin(2 * angle)) * torch.sin(angle)
        return replace(prediction, x0=prediction.x0 + width * direction)


def softened(classifier: M, beta: float = 5.0) -> M:
    """A copy whose ReLUs are softplus(beta x) / beta: with the same weights, but smooth (Ma et al. 2023, section 3.1).

    Raises:
        InputError: it has no `nn.ReLU` module, or beta is not positive.
    """
    if not (0 < beta < math.inf):
        raise InputError(f"softened: beta {beta}; expected a positive number")
    copy, found = deepcopy(classifier), 0
    for parent in list(copy.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU):
                setattr(parent, name, nn.Softplus(beta=beta))
                found += 1
    if not found:
        raise InputError(f"softened: {type(classifier).__name__} has no nn.ReLU; a classifier that is smooth needs none of this")
    return copy
