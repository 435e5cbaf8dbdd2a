"""`check_denoiser`: what samplers rely on when they call a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.state import NONE, Given, State, map_state
from polyscore.testing._assert import close, keeps_global_rng, true

__all__ = ["check_denoiser"]


def check_denoiser(
    denoiser: Any,
    like: State,
    *,
    t: float = 0.4,
    given: Given = NONE,
    tolerance: float = 1e-4,
    independent: bool = True,
    differentiable: bool = True,
) -> None:
    """Run the laws of a denoiser on a state shaped like `like` (B, ...), B >= 2, or a mapping of such tensors.

    Checked: it returns a `Prediction` of the state's leaves, shapes, dtypes and device, finite; a number and a tensor of times
    agree; the prediction of a sample does not depend on its neighbours; the input is not changed; the global generator is not
    used; the gradient of x0 agrees with finite differences in float64, and is finite in other precisions.

    Args:
        denoiser: the denoiser (in evaluation mode).
        like: gives shapes, dtypes and device.
        t: the time of the call.
        given: end point, conditioning, mask for the whole batch.
        tolerance: allowed difference between one sample alone and in the batch, relative to the largest value.
        independent: False for denoisers that couple samples on purpose; `given.cond` is passed whole in that case.
        differentiable: False for denoisers without gradients, such as exported networks.

    Raises:
        AssertionError: naming the law that fails and by how much.
    """
    name = type(denoiser).__name__
    x = map_state(_drawn, like)
    before = map_state(torch.clone, x)
    first = next(iter(_leaves(x).values()))
    with torch.no_grad(), keeps_global_rng(name):
        prediction = denoiser(x, t, given)
        true(isinstance(prediction, Prediction), f"{name}: returned {type(prediction).__name__}, expected a Prediction")
        per_sample = denoiser(x, torch.full((len(first),), t, dtype=torch.float64, device=first.device), given)
        alone = denoiser(map_state(lambda leaf: leaf[1:2], x), t, _row(given, len(first))) if independent else None
    found = _leaves(prediction.x0)
    true(found.keys() == _leaves(x).keys(), f"{name}: x0 has leaves {list(found)}, the state has {list(_leaves(x))}")
    for leaf, part in _leaves(x).items():
        x0, label = found[leaf], f"{name}{leaf and ' ' + leaf}"
        true(x0.shape == part.shape, f"{label}: x0 has shape {tuple(x0.shape)}, the state has {tuple(part.shape)}")
        true(x0.dtype == part.dtype and x0.device == part.device, f"{label}: x0 is {x0.dtype} on {x0.device}")
        true(torch.isfinite(x0.abs()).all(), f"{label}: x0 is not finite")
        true(torch.equal(part, _leaves(before)[leaf]), f"{label}: the state was changed in place")
        bound = tolerance * float(x0.abs().max() + 1)
        close(_leaves(per_sample.x0)[leaf], x0, bound, f"{label}: a tensor of equal times against one number")
        if alone is not None:
            close(_leaves(alone.x0)[leaf], x0[1:2], bound, f"{label}: a sample alone against in a batch")
    if differentiable:
        _check_gradient(denoiser, x, t, given, name)


def _check_gradient(denoiser: Any, x: State, t: float, given: Given, name: str) -> None:
    """Along the direction x itself, of the sum of squares of x0."""

    def loss(state: State) -> Tensor:
        return torch.stack([x0.abs().square().sum() for x0 in _leaves(denoiser(state, t, given).x0).values()]).sum()

    own = map_state(lambda leaf: leaf.detach().clone().requires_grad_(), x)
    with torch.enable_grad():
        value = loss(own)
        true(value.requires_grad, f"{name}: x0 carries no gradient")
        gradients = torch.autograd.grad(value, list(_leaves(own).values()), materialize_grads=True)
    true(all(torch.isfinite(g.abs()).all() for g in gradients), f"{name}: the gradient is not finite")
    parts = list(_leaves(x).values())
    if all(part.dtype in {torch.float64, torch.complex128} for part in parts):
        along = torch.stack([(g.conj() * part).real.sum() for g, part in zip(gradients, parts, strict=True)]).sum()
        h = 1e-6
        with torch.no_grad():
            up, down = (loss(map_state(lambda leaf, k=k: leaf * (1 + k), x)) for k in (h, -h))
        bound = 1e-5 * (1 + float(value.detach()) + float(along.abs()))
        close(along, (up - down) / (2 * h), bound, f"{name}: gradient against finite differences")


def _leaves(state: State) -> Mapping[str, Tensor]:
    return state if isinstance(state, Mapping) else {"": state}


def _drawn(like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(0), dtype=like.dtype).to(like.device)


def _row(given: Given, batch: int) -> Given:
    def one(value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim and len(value) == batch:
            return value[1:2]
        return {k: one(v) for k, v in value.items()} if isinstance(value, dict) else value

    return Given(*(one(value) for value in given))
