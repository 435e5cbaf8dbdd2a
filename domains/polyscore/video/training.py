"""Training of video models from saved ones, whole or by parts."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from polyscore.errors import CheckpointError
from polyscore.hub import load
from polyscore.training import ScoreTraining
from polyscore.video.networks.blocks import TimeAttention, TimeConv

__all__ = ["VideoTraining"]


class VideoTraining(ScoreTraining):
    """`ScoreTraining` that may begin from a saved model and train its layers in space, or in time, alone.

    AnimateLCM's decoupled scheme (Wang et al. 2024, arXiv 2402.00769) distils what pictures look like first, on pictures, with
    the layers in space, and how they move after that, with the layers in time.

    Args:
        model, settings: those of `ScoreTraining`.
        start: a saved model whose weights are taken; None begins anew. What the saved model has not (attention at more levels,
            say) stays as it begins.
        layers: which are trained: "all", those in "space", or those in "time".

    Raises:
        CheckpointError: no such model, or one with weights that have no place in `model`.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        start: str | None = None,
        layers: Literal["all", "space", "time"] = "all",
        **settings: Any,
    ) -> None:
        super().__init__(model, **settings)
        self.start, self.layers = start, layers
        if start is not None:
            wanted, found = model.state_dict(), load(start).state_dict()
            strange = sorted(name for name, value in found.items() if name not in wanted or wanted[name].shape != value.shape)
            if strange:
                raise CheckpointError(f"VideoTraining: {start} holds {strange[0]}, which the model of this configuration has not")
            model.load_state_dict(wanted | found)
        in_time = {id(p) for part in model.modules() if isinstance(part, TimeConv | TimeAttention) for p in part.parameters()}
        for parameter in model.parameters():
            parameter.requires_grad_(layers == "all" or (id(parameter) in in_time) == (layers == "time"))
