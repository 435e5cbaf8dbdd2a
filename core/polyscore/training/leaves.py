"""One objective per leaf of a mapping state, for one joint prediction: continuous and discrete leaves side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Denoiser
from polyscore.errors import InputError
from polyscore.noise import NoiseLike
from polyscore.processes import Product
from polyscore.state import NONE, Given, Time, leaf_time
from polyscore.training.discrete.elbo import CategoricalObjective
from polyscore.training.objectives import Objective

__all__ = ["LeafObjectives"]


@dataclass(frozen=True)
class LeafObjectives:
    """`LeafObjectives({"pos": X0Loss(), "types": CrossEntropy()}, {"types": 0.1})`.

    Args:
        leaves: an objective of each leaf's kind. Those that choose their own time or noise (`DiffusionELBO`, `MaskRatio`, the
        contrasts)
            cannot share a time with other leaves.
        weights: factors of the leaves' losses; 1 for those not named.

    Raises:
        InputError: an objective that chooses its own noise, or weights of leaves that are not there.
    """

    leaves: Mapping[str, Objective | CategoricalObjective]
    weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for name, objective in self.leaves.items():
            if isinstance(objective, CategoricalObjective) and type(objective).noised is not CategoricalObjective.noised:
                raise InputError(f"LeafObjectives: {name}={type(objective).__name__} chooses its own time; expected another")
        if set(self.weights or {}) - set(self.leaves):
            raise InputError(f"LeafObjectives: weights of {sorted(self.weights or {})}, expected some of {sorted(self.leaves)}")

    def __call__(
        self,
        denoiser: Denoiser,
        process: Product,
        x0: Mapping[str, Tensor],
        *,
        t: Time,
        given: Given = NONE,
        noise: NoiseLike = 0,
    ) -> dict[str, Tensor]:
        """The weighted loss of every entry of every leaf that is not known data; arguments as those of an `Objective`.

        Raises:
            InputError: the process has other leaves.
        """
        if set(process) != set(self.leaves):
            raise InputError(f"LeafObjectives: the process has leaves {sorted(process)}, the objectives {sorted(self.leaves)}")
        x: Any = process.perturb(x0, t, given=given, noise=noise).x
        prediction, losses = denoiser(x, t, given), {}
        for name, objective in self.leaves.items():
            part: Any = process[name]
            time = leaf_time(t, name)
            if not isinstance(time, Tensor) and time == 0:
                continue
            if isinstance(objective, CategoricalObjective):
                times = torch.as_tensor(time, dtype=torch.float64).expand(len(x0[name]))
                loss = objective.entries(part, x0[name], x[name], prediction.x0[name], times)
            else:
                loss = objective.entries(part, x0[name], prediction.x0[name], time)
            losses[name] = (self.weights or {}).get(name, 1.0) * loss
        return losses
