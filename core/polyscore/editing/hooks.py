"""What a chosen part of a network says, read or changed for as long as a block of code runs; then the network is as before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

__all__ = ["passed", "recorded"]


@contextmanager
def passed(module: nn.Module, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """`module` answers `function(output)`."""

    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        return function(output)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def recorded(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """The outputs of `modules`, in the order in which they were made, differentiable."""
    kept: list[Tensor] = []

    def hook(_: nn.Module, __: Any, output: Any) -> None:
        kept.append(output)

    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
