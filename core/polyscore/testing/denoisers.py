"""`check_denoiser`: what samplers rely on when they call a model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.state import NONE, Given
from polyscore.testing._assert import close, keeps_global_rng, true

__all__ = ["check_denoiser"]


def check_denoiser(
    denoiser: Any, like: Tensor, *, t: float = 0.4, given: Given = NONE, tolerance: float = 1e-4, independent: bool = True
) -> None:
    """Run the laws of a denoiser on a state shaped like `like` (B, ...), B >= 2.

    Checked: it returns a `Prediction` of the state's shape, dtype and device, finite; a number and a tensor of times agree; the
    prediction of a sample does not depend on its neighbours; the input is not changed; the global generator is not used.

    Args:
        denoiser: the denoiser (in evaluation mode).
        like: gives shape, dtype and device.
        t: the time of the call.
        given: end point, conditioning, mask for the whole batch.
        tolerance: allowed difference between one sample alone and in the batch, relative to the largest value.
        independent: False for denoisers that couple samples on purpose; `given.cond` is passed whole in that case.

    Raises:
        AssertionError: naming the law that fails and by how much.
    """
    name = type(denoiser).__name__
    x = torch.randn(like.shape, generator=torch.Generator().manual_seed(0), dtype=like.dtype).to(like.device)
    before = x.clone()
    with torch.no_grad(), keeps_global_rng(name):
        prediction = denoiser(x, t, given)
        per_sample = denoiser(x, torch.full((len(x),), t, dtype=torch.float64, device=x.device), given)
    true(isinstance(prediction, Prediction), f"{name}: returned {type(prediction).__name__}, expected a Prediction")
    x0 = prediction.x0
    true(x0.shape == x.shape, f"{name}: x0 has shape {tuple(x0.shape)}, the state has {tuple(x.shape)}")
    true(x0.dtype == x.dtype and x0.device == x.device, f"{name}: x0 is {x0.dtype} on {x0.device}")
    true(torch.isfinite(x0.abs()).all(), f"{name}: x0 is not finite")
    true(torch.equal(x, before), f"{name}: the state was changed in place")
    bound = tolerance * float(x0.abs().max() + 1)
    close(per_sample.x0, x0, bound, f"{name}: a tensor of equal times against one number")
    if independent:
        with torch.no_grad():
            alone = denoiser(x[1:2], t, _row(given, len(x)))
        close(alone.x0, x0[1:2], bound, f"{name}: a sample alone against in a batch")


def _row(given: Given, batch: int) -> Given:
    def one(value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim and len(value) == batch:
            return value[1:2]
        return {k: one(v) for k, v in value.items()} if isinstance(value, dict) else value

    return Given(*(one(value) for value in given))
