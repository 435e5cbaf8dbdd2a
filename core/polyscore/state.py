"""States, times and what is given.

A state is a tensor whose first axis is the batch, or a flat mapping of such tensors (`{"x": ..., "adj": ...}`).
A time is one number for all, a tensor of one value per sample, token or frequency (its shape is aligned with the
state's *leading* axes), or a mapping with one time per leaf. A leaf at t = 0 is known data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor

__all__ = ["NONE", "Given", "LeafTime", "State", "Time", "leaf_given", "leaf_time", "map_state"]

State: TypeAlias = Tensor | Mapping[str, Tensor]
LeafTime: TypeAlias = float | Tensor
Time: TypeAlias = LeafTime | Mapping[str, LeafTime]


class Given(NamedTuple):
    """What is given besides the state: three roles that are never mixed.

    Attributes:
        y: second end point of the process (noisy speech, first frame), shaped like the state; a mapping for a mapping state.
        cond: conditioning of the network, of any type; processes and samplers never look at it.
        mask: structure of the state (which nodes exist), read by noise laws and networks.
    """

    y: Any = None
    cond: Any = None
    mask: Any = None


NONE = Given()


def map_state(function: Callable[..., Tensor], state: State, *others: State) -> State:
    """Apply `function` to the tensor, or leaf by leaf to mappings with the same keys."""
    if not isinstance(state, Mapping):
        return function(state, *others)
    rest = [other for other in others if isinstance(other, Mapping)]
    return {name: function(leaf, *(other[name] for other in rest)) for name, leaf in state.items()}


def leaf_time(t: Time, name: str) -> LeafTime:
    """The time of leaf `name`: `t[name]` of a mapping, else `t` itself."""
    return t[name] if isinstance(t, Mapping) else t


def leaf_given(given: Given, name: str) -> Given:
    """The part of `given` that concerns leaf `name`: `y` and `mask` may be mappings by leaf, `cond` is shared."""

    def part(value: Any) -> Any:
        return value.get(name) if isinstance(value, Mapping) else value

    return Given(part(given.y), given.cond, part(given.mask))
