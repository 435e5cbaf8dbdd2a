from __future__ import annotations
import torch
from torch import Tensor
__all__ = ["si_sdr"]
def si_sdr(estimate: Tensor, clean: Tensor) -> Tensor:
    scale = (estimate * clean).sum(-1, keepdim=True) / (clean.square().sum(-1, keepdim=True) + 1e-12)
    target = scale * clean
    return 10 * torch.log10((target.square().sum(-1) + 1e-12) / ((target - estimate).square().sum(-1) + 1e-12))
