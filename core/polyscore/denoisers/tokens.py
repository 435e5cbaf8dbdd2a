"""From a network of tokens to a denoiser of categories."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from polyscore.denoisers.base import Prediction
from polyscore.errors import InputError
from polyscore.processes.discrete.categorical import CategoricalProcess
from polyscore.state import NONE, Given, LeafTime

__all__ = ["TokenDenoiser", "TokenTime"]

TokenTime: TypeAlias = Literal["none", "t", "index"]


class TokenDenoiser(nn.Module):
    """A network that gives logits of x0, and a discrete process, make a denoiser.

    The network is called as `network(x, time, given)` with x (B, ...) int64 (MASK is `process.mask_token`) and time (B,)
    float32, or None; it gives logits (B, ..., N) or `polyscore.processes.discrete.Rows`. The masked cells' optimal x0 does not
    depend on the time in an absorbing process (Ou et al. 2025, arXiv 2406.03736; Zheng et al. 2025, arXiv 2409.02908), so "none"
    is the default.

    Args:
        network: the network.
        process: the forward process it was, or will be, trained on.
        time: its second input: "none" (None), "t", "index" (T t - 1 of a table of T = `steps`).
        steps: T of "index".

    Raises:
        InputError: an unknown kind of time.
    """

    def __init__(
        self, network: nn.Module, process: CategoricalProcess, *, time: TokenTime = "none", steps: int = 100
    ) -> None:
        super().__init__()
        if time not in ("none", "t", "index"):
            raise InputError(f"time: {time!r}, expected one of none, t, index")
        self.network, self.process, self.time, self.steps = network, process, time, steps

    def forward(self, x: Tensor, t: LeafTime, given: Given = NONE) -> Prediction:
        """`x0` of the prediction is logits."""
        logits: Any = self.network(x, self.time_input(t, x), given)
        return Prediction(logits)

    def time_input(self, t: LeafTime, x: Tensor) -> Tensor | None:
        """What the network is told about the time: None, or float32 (B,) (or of t's shape)."""
        if self.time == "none":
            return None
        value = torch.as_tensor(t, dtype=torch.float64)
        value = (value * self.steps - 1 if self.time == "index" else value).to(x.device, torch.float32)
        return value.expand(len(x)) if value.ndim == 0 else value
