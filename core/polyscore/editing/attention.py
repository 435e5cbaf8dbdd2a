r"""Attention while editing: told what to see, seeing what the source sees, or written down.

    UniformAttention    A = 1 / n: what tokens say no longer depends on how they are aligned. With cross-attention made uniform
                        while inverting and reconstructing, the model is smoother in x, and steps up and down agree better
    SharedAttention     of pairs: the target's maps are the source's, its values are its own, so that the layout stays
    maps_of             the maps that a call makes

Sources: Mo et al. 2024 (uniform attention maps), arXiv 2411.19652; Hertz et al. 2022 (prompt-to-prompt), arXiv 2208.01626.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.denoisers.base import Denoiser, Prediction
from polyscore.editing.pairs import halves, joined
from polyscore.guidance.attention import Maps, Uniform, masked, replaced
from polyscore.guidance.wrapper import Wrapper
from polyscore.state import Given

__all__ = ["SharedAttention", "UniformAttention", "maps_of"]


def _asked(denoiser: Denoiser, maps: Maps, modules: Sequence[nn.Module], x: Any, t: Any, given: Given) -> Prediction:
    with replaced(maps, modules) as replacement:
        prediction = denoiser(x, t, given)
    if modules:
        replacement.require()
    return prediction


@dataclass(frozen=True, eq=False)
class UniformAttention(Wrapper):
    """The denoiser with uniform attention in chosen modules.

    Args:
        denoiser: the model.
        modules: where; for the published method its cross-attention. None is the denoiser, bit for bit.

    Raises:
        InputError: no attention map was made there.
    """

    modules: Sequence[nn.Module] = ()

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        return _asked(self.denoiser, Uniform(), self.modules, x, t, given)


@dataclass(frozen=True)
class _OfSource:
    """Maps of the first half of the batch for both."""

    def shares(self, logits: Tensor) -> Tensor:
        source = halves(logits)[0].softmax(-1)
        return torch.cat([source, source])

    def mixed(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        q, k = (joined(part, part) for part in (halves(q)[0], halves(k)[0]))
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)


@dataclass(frozen=True, eq=False)
class SharedAttention(Wrapper):
    """Attention maps of the source for both halves of a batch of pairs, where low < t.

    Args:
        denoiser: of pairs, see `polyscore.editing.pairs`; guidance around it must not double the batch (`passes=2`).
        modules: where. None is the denoiser, bit for bit.
        low: at and below this time each has its own maps.

    Raises:
        InputError: no attention map was made there.
    """

    modules: Sequence[nn.Module] = ()
    low: float = 0.0

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        if not torch.as_tensor(t).max() > self.low:
            return self.denoiser(x, t, given)
        return _asked(self.denoiser, _OfSource(), self.modules, x, t, given)


@dataclass(frozen=True)
class _Written:
    """Writes every map down and replaces none."""

    maps: list[Tensor] = field(default_factory=list)

    def shares(self, logits: Tensor) -> None:
        self.maps.append(logits.softmax(-1))

    def mixed(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> None:
        self.maps.append(masked(q @ k.mT / math.sqrt(q.shape[-1]), mask, causal).softmax(-1))


def maps_of(modules: Sequence[nn.Module], call: Callable[[], Any]) -> list[Tensor]:
    """The attention maps (..., L, S) that `call()` makes inside `modules`, in order, differentiable."""
    written = _Written()
    with replaced(written, modules):
        call()
    return written.maps
