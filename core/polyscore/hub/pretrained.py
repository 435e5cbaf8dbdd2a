"""`from_pretrained` for models that are read from one place alone: a saved folder, or a shipped name."""

from __future__ import annotations

import os
from typing import Self

import torch
from torch import nn

from polyscore.hub.folder import load_as

__all__ = ["Pretrained"]


class Pretrained(nn.Module):
    """A module that `polyscore.hub.save` writes; models that read published files too have a `from_pretrained` of their own."""

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> Self:
        """The model shipped under a name, or saved in a folder; in single precision where the file is in half precision.

        Raises:
            CheckpointError: there is none, or it is of another kind.
        """
        model = load_as(cls, name, device=device)
        return model.float() if any(p.dtype == torch.float16 for p in model.parameters()) else model
