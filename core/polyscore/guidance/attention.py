"""Other attention maps in chosen modules, for as long as a block of code runs.

Attention is out = A v with A = softmax(q k^T). Within `replaced`, every A that is made inside the chosen modules is another one:

    Identity    A = I: a token sees itself alone. Maps that are not square (cross-attention) stay.
    Uniform     A = 1 / n over the n places that the row may see: every token sees the mean. Maps of cross-attention too.

It reads the calls and not the classes, so it works on any network: `scaled_dot_product_attention`, and softmax over the last
axis of three axes or more. Weights, masks and code of the modules stay as they are. Not seen are the insides of
`nn.MultiheadAttention` and of exported or compiled networks; `Replaced.require` refuses a block in which nothing was replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from polyscore.errors import InputError

__all__ = ["Identity", "Maps", "Replaced", "Uniform", "masked", "replaced"]

_SOFTMAX = {torch.softmax, torch.Tensor.softmax, functional.softmax, torch.special.softmax}
_HIDDEN = 1e4  # a logit this far below the greatest of its row is a mask


class Maps(Protocol):
    """What stands in for attention."""

    def shares(self, logits: Tensor) -> Tensor | None:
        """A (..., L, S) in place of softmax(logits); None: leave it."""
        ...

    def mixed(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor | None:
        """A v (..., L, c) in place of attention of q (..., L, d), k (..., S, d), v (..., S, c); None: leave it."""
        ...


@dataclass(frozen=True)
class Identity:
    """A = I where L = S (Ahn et al. 2024, arXiv 2403.17377)."""

    def shares(self, logits: Tensor) -> Tensor | None:
        """I."""
        if logits.shape[-1] != logits.shape[-2]:
            return None
        return torch.eye(logits.shape[-1], dtype=logits.dtype, device=logits.device).expand(logits.shape)

    def mixed(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor | None:
        """V."""
        return v.expand(*q.shape[:-1], v.shape[-1]) if q.shape[-2] == k.shape[-2] else None


@dataclass(frozen=True)
class Uniform:
    """A = 1 / n over the n places a row may see (Mo et al. 2024, arXiv 2411.19652, for cross-attention)."""

    def shares(self, logits: Tensor) -> Tensor | None:
        """Equal shares of what is not masked."""
        seen = (logits >= logits.amax(-1, keepdim=True) - _HIDDEN).to(logits.dtype)
        return seen / seen.sum(-1, keepdim=True)

    def mixed(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor | None:
        """The mean of the v that are not masked."""
        shares = self.shares(masked(q.new_zeros(*q.shape[:-1], k.shape[-2]), mask, causal))
        return None if shares is None else shares @ v


def masked(logits: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Logits (..., L, S) with what a row may not see at -inf, as `scaled_dot_product_attention` takes its masks."""
    if causal:
        logits = logits.masked_fill(~torch.ones_like(logits, dtype=torch.bool).tril(), -torch.inf)
    if mask is None:
        return logits
    return logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask


class Replaced(TorchFunctionMode):
    """The replacement while it lasts; `count` says how many maps were replaced."""

    def __init__(self, maps: Maps, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.maps, self.modules, self.count, self._depth = maps, modules, 0, 0

    def require(self) -> None:
        """See that there was something to replace.

        Raises:
            InputError: no attention map was made inside the modules.
        """
        if self.count == 0:
            names = ", ".join(sorted({type(module).__name__ for module in self.modules})) or "no module"
            raise InputError(
                f"no attention map was made inside {names}; expected modules of the denoiser's network whose attention is a "
                "scaled_dot_product_attention or a softmax (nn.MultiheadAttention hides its maps)"
            )

    def enter(self, *_: Any) -> None:
        """A chosen module begins."""
        self._depth += 1

    def leave(self, *_: Any) -> None:
        """A chosen module ends."""
        self._depth -= 1

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = self._instead(func, args, kwargs) if self._depth else None
        self.count += made is not None
        return func(*args, **kwargs) if made is None else made

    def _instead(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Tensor | None:
        if func is functional.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        return self._softmax(*args, **kwargs) if func in _SOFTMAX else None

    def _softmax(
        self, input: Tensor, dim: int | None = None, *_: Any, dtype: torch.dtype | None = None, **__: Any
    ) -> Tensor | None:
        if input.ndim < 3 or dim not in (-1, input.ndim - 1):
            return None
        return self.maps.shares(input if dtype is None else input.to(dtype))

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor | None:
        if enable_gqa:  # each head of keys and values serves several queries
            key, value = (part.repeat_interleave(query.shape[-3] // part.shape[-3], -3) for part in (key, value))
        return self.maps.mixed(query, key, value, attn_mask, is_causal)


@contextmanager
def replaced(maps: Maps, modules: Sequence[nn.Module]) -> Iterator[Replaced]:
    """Attention made anywhere inside `modules` uses `maps` until the block ends, whatever ends it.

    Args:
        maps: `Identity()`, `Uniform()`, or any object with their two methods.
        modules: of one network or several, whole networks too.

    Yields:
        the replacement, whose `count` tells how many maps it replaced so far.
    """
    mode = Replaced(maps, modules)
    hooks = [module.register_forward_pre_hook(mode.enter, prepend=True) for module in modules]
    hooks += [module.register_forward_hook(mode.leave, always_call=True) for module in modules]
    try:
        with mode:
            yield mode
    finally:
        for hook in hooks:
            hook.remove()
