r"""Muon for the matrices inside a network, AdamW for the rest.

A matrix W with gradient G moves along the nearest orthogonal matrix to its momentum,

    M <- mu M + (1 - mu) G,      W <- (1 - lr weight_decay) W - lr sqrt(max(1, rows / columns)) U V^T,      U S V^T = M
                                 (Nesterov),

where U V^T comes from five Newton-Schulz steps, so that every direction of the matrix is learnt at the same speed. Embeddings and
heads, whose rows belong to single categories, and vectors stay with AdamW. The step itself is `torch.optim.Muon`.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from polyscore.errors import ConfigError, InputError
from polyscore.training.optimiser import AdamW

__all__ = ["Joined", "Muon"]


class Joined(torch.optim.Optimizer):
    """Several optimisers of disjoint parameters as one: their groups in a row, each stepped by its own."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = list(parts)
        super().__init__([group for part in parts for group in part.param_groups], {})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of each part, after the closure, whose value is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of the parts in their order; the groups once more, for those who read the rates of any optimiser."""
        parts = [part.state_dict() for part in self.parts]
        return {"parts": parts, "state": {}, "param_groups": [group for part in parts for group in part["param_groups"]]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`.

        Raises:
            InputError: a state of another number of parts.
        """
        states = state_dict.get("parts", [])
        if len(states) != len(self.parts):
            found = f"a state of {len(states)} parts, expected {len(self.parts)}"
            raise InputError(f"optimiser: {found}; was the run begun with another one?")
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


@dataclass(frozen=True)
class Muon(AdamW):
    """Muon for the weights of two axes whose names contain `inside`; the other settings are AdamW's, for all other parameters.

    Warm-up and decay act on both rates.

    Args:
        matrix_rate: learning rate of the matrices.
        momentum: mu.
        matrix_decay: weight decay of the matrices.
        inside: part of the names of the parameters that Muon moves.

    Raises:
        InputError: a rate that is not positive, or a momentum outside [0, 1).
    """

    matrix_rate: float = 0.015
    momentum: float = 0.95
    matrix_decay: float = 0.05
    inside: str = "blocks."

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.matrix_rate > 0 or not 0 <= self.momentum < 1:
            raise InputError(f"Muon: matrix_rate {self.matrix_rate}, momentum {self.momentum}; expected > 0 and in [0, 1)")

    def build_for(self, model: nn.Module) -> Joined:
        """The optimiser of a whole model.

        Raises:
            ConfigError: no parameter is a matrix of that name, or all are.
        """
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        matrices = [p for name, p in trained if p.ndim == 2 and self.inside in name]
        chosen = {id(p) for p in matrices}
        rest = [p for _, p in trained if id(p) not in chosen]
        if not matrices or not rest:
            found = f"{len(matrices)} matrices named *{self.inside}*, {len(rest)} other parameters"
            raise ConfigError(f"Muon: {found}; expected some of both")
        muon = torch.optim.Muon(matrices, self.matrix_rate, self.matrix_decay, self.momentum)
        return Joined([muon, self.build(rest)])
