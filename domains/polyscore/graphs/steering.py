r"""Steering: molecules of a wanted property by the gradient of a regressor of noisy graphs (MOOD).

    score <- (1 - sqrt(away)) score + w 0.1^t (|score|_1 / |grad|_1) grad,      grad = d P(x_t, A_t) / d leaf

leaf by leaf, the norms of every graph by itself. P predicts the property from the noisy graph; `w` is the strength, a share of
the score at t = 0 that falls to a tenth of it in the noise; `away` > 0 weakens the pull of the training data, for novelty.

Source: Lee et al. 2023 (MOOD), arXiv 2206.07632, with w = .4 to .7 for nodes, 0 for the adjacency, and away = .04.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyscore import hub
from polyscore.denoisers import Denoiser, Prediction
from polyscore.errors import CheckpointError, ConfigError, InputError
from polyscore.graphs.networks import PropertyRegressor
from polyscore.graphs.pipeline import GraphGenerator
from polyscore.graphs.upstream import read_regressor
from polyscore.guidance import Wrapper
from polyscore.processes import expand
from polyscore.state import Given, Time, leaf_time

__all__ = ["PropertyGuidance", "Steering"]


@dataclass(frozen=True)
class PropertyGuidance(Wrapper):
    """The denoiser with the score above.

    Args:
        denoiser: of the leaves "x" (B, N, F) and "adj" (B, N, N).
        process: the process of the run.
        regressor: (x, adj, mask) to the property, (B,), differentiable.
        weights: w per leaf; a leaf without one keeps its score.
        away: at least 0, below 1.

    With all weights and `away` 0 it is the plain denoiser, bit for bit.

    Raises:
        ConfigError: a negative weight, or `away` out of range.
        InputError: a call without `given.mask`.
    """

    process: Any
    regressor: Any
    weights: Mapping[str, float] = field(default_factory=lambda: {"x": 0.5})
    away: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.away < 1 or any(weight < 0 for weight in self.weights.values()):
            raise ConfigError(f"PropertyGuidance: weights {dict(self.weights)}, away {self.away}; expected >= 0, away below 1")

    def __call__(self, x: Any, t: Time, given: Given) -> Prediction:
        if given.mask is None:
            raise InputError("PropertyGuidance: given.mask is None; expected the mask of nodes (B, N)")
        prediction = self.denoiser(x, t, given)
        steered = [name for name, weight in self.weights.items() if weight > 0 and leaf_time(t, name) != 0.0]
        if not steered and self.away == 0:
            return prediction
        gradients = self._gradients(x, steered, given.mask)
        x0 = dict(prediction.x0)
        for name in x:
            time = leaf_time(t, name)
            if isinstance(time, float) and time == 0.0:
                continue  # held: it is known
            moment = torch.as_tensor(time, dtype=torch.float64)
            a, _, s = (expand(c, moment, x[name]).to(x[name].dtype) for c in self.process[name].coefs_of(moment))
            score = (a * x0[name] - x[name]) / s**2
            total = (1 - self.away**0.5) * score
            if name in gradients:
                strength = expand(self.weights[name] * 0.1**moment, moment, x[name]).to(x[name].dtype)
                total = total + strength * _norm(score) / _norm(gradients[name]).clamp(min=1e-30) * gradients[name]
            x0[name] = (x[name] + s**2 * total) / a
        return replace(prediction, x0=x0)

    def _gradients(self, x: Mapping[str, Tensor], names: list[str], mask: Tensor) -> dict[str, Tensor]:
        """Of the property in the named leaves, on graphs: masked, symmetric, without diagonal."""
        if not names:
            return {}
        with torch.inference_mode(False), torch.enable_grad():
            own = {name: value.detach().clone().requires_grad_(name in names) for name, value in x.items()}
            value = self.regressor(own["x"], own["adj"], mask).sum()
            found = dict(zip(names, torch.autograd.grad(value, [own[name] for name in names]), strict=True))
        if "x" in found:
            found["x"] = found["x"] * mask.unsqueeze(-1)
        if "adj" in found:
            both = (found["adj"] + found["adj"].mT) / 2 * mask.unsqueeze(-1) * mask.unsqueeze(1)
            found["adj"] = both - torch.diag_embed(both.diagonal(dim1=1, dim2=2))
        return found


def _norm(value: Tensor) -> Tensor:
    return value.abs().sum((1, 2), keepdim=True)


@dataclass(frozen=True, eq=False)
class Steering:
    """A regressor and how strongly it steers a model.

    Attributes:
        regressor: of the property.
        model: what it steers.
        weight: w of the nodes.
        away: as above.

    Raises:
        InputError: a regressor of other features, or of smaller graphs.
    """

    regressor: PropertyRegressor
    model: GraphGenerator
    weight: float = 0.5
    away: float = 0.0

    def __post_init__(self) -> None:
        knows = (self.regressor.max_feat_num, self.regressor.max_node_num)
        if knows[0] != self.model.features or knows[1] < self.model.nodes:
            raise InputError(
                f"the regressor knows {knows[0]} features and {knows[1]} nodes; expected {self.model.features} and at least "
                f"{self.model.nodes}, as the model has"
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: GraphGenerator, *, weight: float = 0.5, away: float = 0.0) -> Steering:
        """By a regressor of MOOD (a file) or a saved one (a folder), on the model's device.

        Raises:
            CheckpointError: nothing there, damaged, or something else.
        """
        found: Any = read_regressor(path) if Path(path).is_file() else hub.load(path)
        if not isinstance(found, PropertyRegressor):
            raise CheckpointError(f"{path}: is a {type(found).__name__}; expected a PropertyRegressor")
        return cls(found.to(next(model.parameters()).device).eval(), model, weight, away)

    def around(self, denoiser: Denoiser, mask: Tensor) -> Denoiser:
        """The steered denoiser, for `GraphGenerator.sample(around=...)`."""
        return PropertyGuidance(denoiser, self.model.denoiser.process, self.regressor, {"x": self.weight}, self.away)

    @torch.no_grad()
    def predict(self, x: Tensor, adj: Tensor, mask: Tensor) -> list[float]:
        """The property of graphs, such as one-hot molecules."""
        device = next(self.regressor.parameters()).device
        values: list[float] = self.regressor(x.to(device), adj.to(device), mask.to(device)).tolist()
        return values
