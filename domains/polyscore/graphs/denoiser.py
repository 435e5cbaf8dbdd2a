"""From networks of graphs to a denoiser of the joint state.

    predicts "eps":   x0 = (v - s F) / a          (the VP models of GDSS: score = -F / s)
    predicts "score": x0 = (v + s^2 F) / a        (its VE models)

for each leaf v of {"x": (B, N, F), "adj": (B, N, N)}; the rows of `polyscore.denoisers.scalings` are all allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.denoisers import Prediction, scalings
from polyscore.errors import ConfigError, InputError
from polyscore.processes import Product, expand
from polyscore.state import NONE, Given, Time, leaf_time

__all__ = ["GraphDenoiser", "ScoreNetworks"]


class ScoreNetworks(nn.Module):
    """Two networks, one per leaf, that see the same joint state; they are not told the time.

    Args:
        x: (x, adj, mask) to (B, N, F).
        adj: (x, adj, mask) to (B, N, N).
    """

    def __init__(self, x: nn.Module, adj: nn.Module) -> None:
        super().__init__()
        self.x, self.adj = x, adj

    def forward(self, state: Mapping[str, Tensor], t: Time, mask: Tensor) -> dict[str, Tensor]:
        """The outputs of both."""
        return {"x": self.x(state["x"], state["adj"], mask), "adj": self.adj(state["x"], state["adj"], mask)}


class GraphDenoiser(nn.Module):
    """A network of both leaves and their process make a denoiser.

    Args:
        network: (state, t, mask) to a mapping of outputs, such as `ScoreNetworks`.
        process: one Gaussian process per leaf.
        predicts: per leaf, what the output means.

    Raises:
        ConfigError: leaves that do not fit.
    """

    def __init__(self, network: nn.Module, process: Product, predicts: Mapping[str, Any]) -> None:
        super().__init__()
        if set(predicts) != set(process):
            raise ConfigError(f"GraphDenoiser: predicts {sorted(predicts)}, the process has the leaves {sorted(process)}")
        self.network, self.process, self.predicts = network, process, dict(predicts)

    def forward(self, x: Mapping[str, Tensor], t: Time, given: Given = NONE) -> Prediction:
        """x0 of both leaves; `given.mask` (B, N) says which nodes exist.

        Raises:
            InputError: no mask.
        """
        if given.mask is None:
            raise InputError("GraphDenoiser: given.mask is None, expected a (B, N) mask of nodes; pass given=Given(mask=...)")
        outputs = self.network(x, t, given.mask)
        x0 = {}
        for name, value in x.items():
            time = torch.as_tensor(leaf_time(t, name), dtype=torch.float64)
            process: Any = self.process[name]
            skip, out, _ = (expand(c, time, value).to(value.dtype) for c in scalings(self.predicts[name], process.coefs_of(time)))
            x0[name] = torch.addcmul(skip * value, out, outputs[name])
        return Prediction(x0)

    def score(self, x: Mapping[str, Tensor], t: Time, given: Given = NONE) -> dict[str, Tensor]:
        """Scores of both leaves at (x, t)."""
        x0 = self(x, t, given).x0
        processes: Mapping[str, Any] = self.process.leaves
        return {name: processes[name].score(value, x0[name], leaf_time(t, name)) for name, value in x.items()}
